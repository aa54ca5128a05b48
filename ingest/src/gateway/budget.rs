//! How often the bot may IDENTIFY: asked of Discord before each time, shared by all shards, never run down.
//!
//! Whoever goes over the limit loses all sessions and the token with them
//! (<https://docs.discord.com/developers/events/gateway#sessions>). So an alarm is given long before, and a while
//! later nobody IDENTIFYs until the budget is reset. A RESUME costs nothing of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use runtime::Health;
use serde::Deserialize;
use tokio::sync::Mutex as Turnstile;
use tokio::time::Instant;
use twilight_gateway::queue::InMemoryQueue;

use crate::rest::{Rest, RestError};
use crate::status::{Starts, Status};

/// How long to wait before the budget is read again, once no more is taken from it.
const WAIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(10));
/// So long an answer holds, for all shards that begin together: Discord does not want to be asked often, and
/// what was taken since is known.
const FRESH: Duration = Duration::from_secs(5);
/// Between two IDENTIFYs of one key (<https://docs.discord.com/developers/events/gateway#sharding>).
const TURN: Duration = Duration::from_secs(5);
/// Shards at the most: of 2,500 guilds each, that is more than any bot of ours will see.
const SHARDS_MAX: u32 = 1_024;

/// `GET /gateway/bot`.
#[derive(Debug, Deserialize)]
struct GatewayBot {
    url: String,
    #[serde(default)]
    shards: Option<u32>,
    #[serde(default)]
    session_start_limit: Option<StartLimit>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct StartLimit {
    total: u32,
    remaining: u32,
    /// Milliseconds.
    reset_after: u64,
    max_concurrency: u16,
}

/// What Discord says about connecting.
#[derive(Debug, Clone)]
pub(super) struct Advice {
    /// Where to connect.
    pub(super) url: String,
    /// As how many shards; none if it does not say.
    pub(super) shards: Option<u32>,
    pub(super) limit: Option<StartLimit>,
}

/// How the budget is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Level {
    /// Much of it is left.
    #[default]
    Good,
    /// So little is left that something must be wrong.
    Low,
    /// What is left is for whoever mends it: nobody IDENTIFYs.
    Spent,
}

impl Level {
    /// All, as metrics show them.
    pub(crate) const ALL: [Self; 3] = [Self::Good, Self::Low, Self::Spent];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Low => "low",
            Self::Spent => "spent",
        }
    }

    /// Of 1,000 a day a bot in good health takes a handful: `Low` is below a quarter of the total, `Spent` below a
    /// tenth, which is enough for whoever mends it to begin all sessions anew twice. Many shards on a small
    /// total raise both marks, but never so far that a fresh budget is not good.
    fn of(limit: StartLimit, shards: u32, uncounted: u32) -> Self {
        let total = limit.total.max(limit.remaining);
        let left = limit.remaining.saturating_sub(uncounted);
        let spent = (total / 10).max(shards.saturating_mul(2)).min(total / 2);
        let low = (total / 4).max(shards.saturating_mul(4)).min(total / 4 * 3);
        if left == 0 || left < spent {
            return Self::Spent;
        }
        if left < low { Self::Low } else { Self::Good }
    }
}

/// The budget. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    rest: Rest,
    gateway_url: Option<String>,
    status: Status,
    health: Health,
    /// The last answer; whoever asks holds it, so that the others need not.
    known: Turnstile<Option<(Instant, Advice)>>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    queue: Option<InMemoryQueue>,
    level: Level,
    /// IDENTIFYs that may be sent, and have no answer yet.
    under_way: u32,
    /// IDENTIFYs that the last answer may not have counted yet.
    uncounted: u32,
    at_once: u16,
}

/// The right to IDENTIFY once. Given back when Discord has answered, or nobody will.
#[derive(Debug)]
pub(super) struct Permit(Arc<Desk>);

impl Permit {
    /// How long it may take until this one has its turn.
    pub(super) fn turn(&self) -> Duration {
        let book = self.0.book.lock();
        TURN * book.under_way.div_ceil(u32::from(book.at_once.max(1)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.book.lock().under_way -= 1;
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.health.release("discord");
    }
}

impl Budget {
    pub(super) fn new(
        rest: Rest,
        gateway_url: Option<String>,
        status: Status,
        health: Health,
    ) -> Self {
        Self(Arc::new(Desk {
            rest,
            gateway_url,
            status,
            health,
            known: Turnstile::default(),
            book: Mutex::default(),
        }))
    }

    /// Where to connect for a RESUME.
    pub(super) async fn url(&self) -> Result<String, RestError> {
        match &self.0.gateway_url {
            Some(url) => Ok(url.clone()),
            None => Ok(self.advice().await?.url),
        }
    }

    /// Asks Discord, or takes what it has just said.
    pub(super) async fn advice(&self) -> Result<Advice, RestError> {
        let known = &mut *self.0.known.lock().await;
        if let Some((at, advice)) = known
            && at.elapsed() < FRESH
        {
            return Ok(advice.clone());
        }
        let advice = self.ask().await?;
        let book = &mut *self.0.book.lock();
        book.uncounted = book.under_way;
        *known = Some((Instant::now(), advice.clone()));
        Ok(advice)
    }

    /// Asks Discord, whatever it has just said.
    pub(super) async fn fresh_advice(&self) -> Result<Advice, RestError> {
        *self.0.known.lock().await = None;
        self.advice().await
    }

    /// A server that has no such answer leaves us with what the operator has set.
    async fn ask(&self) -> Result<Advice, RestError> {
        let set = self.0.gateway_url.clone();
        match (self.0.rest.get::<GatewayBot>("/gateway/bot").await, set) {
            (Ok(bot), set) => Ok(Advice {
                url: set.unwrap_or(bot.url),
                shards: bot.shards.map(|shards| shards.clamp(1, SHARDS_MAX)),
                limit: bot.session_start_limit,
            }),
            (
                Err(
                    error
                    @ (RestError::Missing(_) | RestError::Unfitting | RestError::Malformed(_)),
                ),
                Some(url),
            ) => {
                tracing::warn!(%error, "Discord's API does not say how often the bot may IDENTIFY");
                Ok(Advice {
                    url,
                    shards: None,
                    limit: None,
                })
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The queue that all IDENTIFYs go through.
    pub(super) fn queue(&self) -> InMemoryQueue {
        let mut book = self.0.book.lock();
        book.queue.get_or_insert_default().clone()
    }

    /// Whether so many IDENTIFYs more would leave enough.
    pub(super) fn has(&self, advice: &Advice, shards: u32) -> bool {
        let uncounted = self.0.book.lock().uncounted.saturating_add(shards);
        let level = |limit| Level::of(limit, shards, uncounted);
        advice.limit.map(level) != Some(Level::Spent)
    }

    /// Takes one of the budget that Discord has just told of.
    ///
    /// # Errors
    /// Too little is left: how long to wait before it is asked again.
    pub(super) fn take(&self, advice: &Advice, shards: u32) -> Result<Permit, Duration> {
        let mut book = self.0.book.lock();
        if let Some(limit) = advice.limit {
            let level = Level::of(limit, shards, book.uncounted);
            let reset = Duration::from_millis(limit.reset_after);
            self.0.tell(&mut book, level, limit, reset);
            if level == Level::Spent {
                return Err(reset.clamp(WAIT.0, WAIT.1));
            }
            book.on_limit(limit, reset);
        }
        book.under_way += 1;
        book.uncounted += 1;
        Ok(Permit(Arc::clone(&self.0)))
    }
}

impl Desk {
    fn tell(&self, book: &mut Book, level: Level, limit: StartLimit, reset: Duration) {
        self.status.on_starts(Starts {
            left: limit.remaining,
            total: limit.total.max(limit.remaining),
            level,
        });
        let was = std::mem::replace(&mut book.level, level);
        let left = limit.remaining;
        match level {
            Level::Good => {}
            _ if was == level => {}
            Level::Low => tracing::error!(
                left,
                ?reset,
                "few IDENTIFYs are left until the limit is reset: something ends the gateway's sessions again and again"
            ),
            Level::Spent => tracing::error!(
                left,
                ?reset,
                "too few IDENTIFYs are left: none is sent until the limit is reset, lest Discord reset the bot's token"
            ),
        }
        if level == Level::Spent {
            let why = "too few IDENTIFYs are left; waiting for the reset of the limit";
            self.health.hold("discord", why);
        } else {
            self.health.release("discord");
        }
    }
}

impl Book {
    /// One queue for all IDENTIFYs of this process, kept at what Discord says.
    fn on_limit(&mut self, limit: StartLimit, reset: Duration) {
        self.at_once = limit.max_concurrency.max(1);
        // The vendor's queue panics over more left than there are.
        let total = limit.total.max(limit.remaining);
        if let Some(queue) = &self.queue {
            queue.update(self.at_once, limit.remaining, reset, total);
        } else {
            let queue = InMemoryQueue::new(self.at_once, limit.remaining, reset, total);
            self.queue = Some(queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::tests::answering;

    fn limit(total: u32, remaining: u32) -> StartLimit {
        StartLimit {
            total,
            remaining,
            reset_after: 30_000,
            max_concurrency: 0,
        }
    }

    #[test]
    fn the_marks_lie_long_before_the_end_and_a_fresh_budget_is_good() {
        use Level::{Good, Low, Spent};
        // Total, left, shards, uncounted.
        let table = [
            ((1_000, 1_000, 1, 0), Good),
            ((1_000, 250, 1, 0), Good),
            ((1_000, 249, 1, 0), Low),
            ((1_000, 100, 1, 0), Low),
            ((1_000, 99, 1, 0), Spent),
            ((1_000, 102, 1, 3), Spent),
            ((1_000, 0, 1, 0), Spent),
            ((1_000, 199, 100, 0), Spent),
            ((1_000, 399, 100, 0), Low),
            ((1_000, 400, 100, 0), Good),
            ((1_000, 500, 900, 0), Low),
            ((1_000, 1_000, 900, 0), Good),
            ((1, 1, 1, 0), Good),
            ((0, 5, 1, 0), Good),
            ((1, 1_000, 1, 0), Good),
        ];
        for ((total, left, shards, uncounted), expected) in table {
            let level = Level::of(limit(total, left), shards, uncounted);
            assert_eq!(level, expected, "{left} of {total}, {shards} shards");
        }
    }

    async fn budget(status: u16, body: &'static str, url: Option<&str>) -> Budget {
        let rest = answering(status, body).await;
        let url = url.map(str::to_owned);
        Budget::new(rest, url, Status::default(), Health::new())
    }

    #[tokio::test]
    async fn what_was_taken_counts_until_discord_has_counted_it() {
        let body = r#"{"url":"ws://x","shards":4,"session_start_limit":
            {"total":1000,"remaining":101,"reset_after":30000,"max_concurrency":2}}"#;
        let budget = budget(200, body, None).await;
        let advice = budget.advice().await.unwrap();
        assert_eq!((advice.url.as_str(), advice.shards), ("ws://x", Some(4)));
        assert!(budget.has(&advice, 1) && !budget.has(&advice, 4));
        let first = budget.take(&advice, 4).unwrap();
        let second = budget.take(&advice, 4).unwrap();
        assert_eq!(second.turn(), TURN);
        let health = &budget.0.health;
        assert!(health.unready().is_empty());
        let wait = budget.take(&advice, 4).unwrap_err();
        assert_eq!(wait, Duration::from_secs(30));
        assert!(health.unready().contains_key("discord"));
        assert_eq!(budget.0.status.facts().starts.unwrap().level, Level::Spent);
        drop((first, second));
        let advice = budget.advice().await.unwrap();
        assert!(
            budget.take(&advice, 4).is_err(),
            "the answer is from before"
        );
        if let Some((at, _)) = &mut *budget.0.known.lock().await {
            *at = at.checked_sub(FRESH).unwrap();
        }
        let advice = budget.advice().await.unwrap();
        let third = budget.take(&advice, 4).unwrap();
        assert!(health.unready().is_empty());
        let health = health.clone();
        assert!(budget.take(&advice, 400).is_err());
        assert!(!health.unready().is_empty());
        drop((third, budget));
        assert!(health.unready().is_empty(), "the term is over");
    }

    #[tokio::test]
    async fn a_server_without_such_an_answer_is_dialled_where_it_was_set_and_one_that_fails_is_not()
    {
        let url = Some("ws://set");
        let missing = budget(404, "{}", url).await.advice().await.unwrap();
        assert_eq!((missing.url.as_str(), missing.shards), ("ws://set", None));
        assert!(budget(404, "{}", None).await.advice().await.is_err());
        assert!(budget(403, "{}", url).await.advice().await.is_err());
        let few = r#"{"url":"ws://x","shards":0}"#;
        let few = budget(200, few, url).await.advice().await.unwrap();
        assert_eq!((few.url.as_str(), few.shards), ("ws://set", Some(1)));
    }
}
