//! Asks Discord about one member: over the gateway with many others, or else over REST, at most 20 a second.

use std::time::Duration;

use parking_lot::Mutex;
use proto::event::Member;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

use super::chunks::Chunks;
use crate::decode::decode_member;
use crate::rest::{Rest, RestError};
use crate::roster::Key;
use crate::status::Status;

/// How long the gateway's answer is waited for.
const CHUNK: Duration = Duration::from_secs(1);
/// Questions over REST: so far apart (20 a second), and so many at once.
const INTERVAL: Duration = Duration::from_millis(50);
const AT_ONCE: usize = 8;
/// How long one may wait for its turn; whoever waits longer is told that nobody could be asked.
const TURN_MAX: Duration = Duration::from_secs(10);
/// How long Discord may take to answer.
const ASKED: Duration = Duration::from_secs(5);

/// Asks.
#[derive(Debug)]
pub(super) struct Asker {
    chunks: Chunks,
    rest: Rest,
    status: Status,
    at_once: Semaphore,
    next: Mutex<Option<Instant>>,
}

impl Asker {
    pub(super) fn new(chunks: Chunks, rest: Rest, status: Status) -> Self {
        Self {
            chunks,
            rest,
            status,
            at_once: Semaphore::new(AT_ONCE),
            next: Mutex::default(),
        }
    }

    /// The member; none if Discord says that there is none.
    pub(super) async fn ask(&self, key: Key) -> Result<Option<Member>, RestError> {
        let answer = timeout(CHUNK, self.chunks.ask(key)).await;
        if let Ok(Ok(answer)) = answer {
            return Ok(answer);
        }
        self.read(key).await
    }

    async fn read(&self, (guild, user): Key) -> Result<Option<Member>, RestError> {
        let now = Instant::now();
        let turn = self.turn(now).ok_or(RestError::Busy)?;
        sleep_until(turn).await;
        // Closed never: the semaphore lives as long as the asker.
        let _place = self.at_once.acquire().await.map_err(|_| RestError::Busy)?;
        self.status.on_member_read();
        let path = format!("/guilds/{guild}/members/{user}");
        match self.rest.get_text(&path, ASKED).await {
            Ok(text) => decode_member(&text).map(Some).ok_or(RestError::Unfitting),
            Err(error) if is_no_member(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn turn(&self, now: Instant) -> Option<Instant> {
        let mut next = self.next.lock();
        let turn = next.unwrap_or(now).max(now);
        if turn > now + TURN_MAX {
            return None;
        }
        *next = Some(turn + INTERVAL);
        Some(turn)
    }
}

/// Discord says that there is no such member or user; any other 404 says nothing of them
/// (<https://docs.discord.com/developers/topics/opcodes-and-status-codes#json>).
fn is_no_member(error: &RestError) -> bool {
    const UNKNOWN_MEMBER: u64 = 10_007;
    const UNKNOWN_USER: u64 = 10_013;
    matches!(
        error,
        RestError::Missing(Some(UNKNOWN_MEMBER | UNKNOWN_USER))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Commands;
    use crate::rest::tests::answering;

    #[test]
    fn only_discords_own_word_makes_somebody_no_member() {
        for (code, is_none) in [
            (Some(10_007), true),
            (Some(10_013), true),
            (Some(10_004), false),
            (Some(0), false),
            (None, false),
        ] {
            assert_eq!(is_no_member(&RestError::Missing(code)), is_none, "{code:?}");
        }
    }

    #[tokio::test]
    async fn turns_over_rest_are_twenty_a_second_and_bounded() {
        let status = Status::default();
        let chunks = Chunks::new(1, Commands::default(), status.clone());
        let asker = Asker::new(chunks, answering(404, "{}").await, status);
        let now = Instant::now();
        let turns: Vec<_> = std::iter::from_fn(|| asker.turn(now))
            .take(10_000)
            .collect();
        assert_eq!(turns.len(), 201, "ten seconds of them");
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == INTERVAL));
    }
}
