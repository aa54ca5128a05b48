//! Where the reactions of a message are found that nobody here has counted: in SQL, or in Discord itself.
//!
//! SQL is believed where it has all that the stream has and has counted since the session began: what happened
//! between two sessions was not told. Otherwise Discord is asked, once, and SQL is what is left where it does
//! not answer. Every step has its bound.

use std::time::Duration;

use proto::event::{Reaction, ReactionMark};
use proto::identity::Dispatch;
use store::Store;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Key;
use crate::decode::decode_reactions;
use crate::exclusions::Exclusions;
use crate::rest::{Rest, RestError};

/// How long the archive may take to what the stream has acknowledged.
const ARCHIVED: Duration = Duration::from_millis(500);
/// How long SQL may take.
const SQL: Duration = Duration::from_secs(1);
/// How long Discord may take. With the rest it is less than what counts as a stall of the publisher.
const DISCORD: Duration = Duration::from_secs(3);
/// A message that is this much younger than its session was posted in it, whatever the clocks say.
const CLOCKS_MS: i64 = 60_000;
/// What SQL has of a message's reactions.
type Stored = (Vec<Reaction>, Option<ReactionMark>);

/// Finds bases. Clones share all of it.
#[derive(Debug, Clone)]
pub(crate) struct Bases {
    pub(crate) store: Store,
    pub(crate) rest: Rest,
    pub(crate) exclusions: Exclusions,
    /// The last sequence in SQL.
    pub(crate) archived: watch::Receiver<u64>,
}

/// What was found.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// The totals, and the last dispatch that is counted in.
    Counted(Vec<Reaction>, Option<Dispatch>),
    /// SQL is not to be believed before Discord was asked; what it has, and whether that is all of the stream.
    Unsure(Option<Stored>, bool),
    /// It is time to ask Discord again.
    Due,
    /// What Discord says.
    Read(Vec<Reaction>),
    /// There is no such message.
    Gone,
    /// Its author is left out.
    Excluded,
    /// Nobody knows.
    Unknown,
}

impl Bases {
    /// Looks in SQL. `acknowledged`: what the stream had when it was asked; `began_ms`: since when the session
    /// of the dispatch is, if that was seen.
    pub(crate) async fn stored(
        mut self,
        key: Key,
        dispatch: Dispatch,
        acknowledged: u64,
        began_ms: Option<i64>,
    ) -> Found {
        let archived = self.archived.wait_for(|to| *to >= acknowledged);
        let is_complete = matches!(timeout(ARCHIVED, archived).await, Ok(Ok(_)));
        let read = timeout(SQL, self.store.reactions(key.0, key.1)).await;
        let stored = match read {
            Ok(Ok(stored)) => stored,
            Ok(Err(error)) => {
                tracing::warn!(%error, "reactions can't be read from SQL");
                None
            }
            Err(_) => None,
        };
        let Some((totals, mark)) = stored else {
            return Found::Unsure(None, is_complete);
        };
        let is_of_session = match &mark {
            Some(mark) => (mark.epoch, mark.shard) == (dispatch.epoch, dispatch.shard),
            None => is_posted_since(key, began_ms),
        };
        if is_complete && is_of_session {
            return Found::Counted(totals, mark.as_ref().map(dispatch_of));
        }
        Found::Unsure(Some((totals, mark)), is_complete)
    }

    /// Asks Discord; where it does not answer, what SQL had is what counts.
    pub(crate) async fn read(self, key: Key, stored: Option<Stored>) -> Found {
        let (channel, message) = key;
        let path = format!("/channels/{channel}/messages/{message}");
        match self.rest.get_text(&path, DISCORD).await {
            Ok(text) => match decode_reactions(&text, &self.exclusions) {
                Some(message) if message.is_excluded => Found::Excluded,
                Some(message) => Found::Read(message.totals),
                None => or_stored(stored),
            },
            Err(error) if is_gone(&error) => Found::Gone,
            Err(error) => {
                tracing::debug!(%error, "a message's reactions can't be read");
                or_stored(stored)
            }
        }
    }
}

fn or_stored(stored: Option<Stored>) -> Found {
    let counted = |(totals, mark): Stored| Found::Counted(totals, mark.as_ref().map(dispatch_of));
    stored.map_or(Found::Unknown, counted)
}

fn dispatch_of(mark: &ReactionMark) -> Dispatch {
    Dispatch {
        epoch: mark.epoch,
        shard: mark.shard,
        sequence: mark.sequence,
    }
}

fn is_posted_since((_, message): Key, began_ms: Option<i64>) -> bool {
    let posted_ms = i64::try_from(message.created_ms()).unwrap_or(i64::MAX);
    began_ms.is_some_and(|began_ms| posted_ms > began_ms.saturating_add(CLOCKS_MS))
}

/// Discord's codes: unknown channel, unknown message
/// (<https://docs.discord.com/developers/topics/opcodes-and-status-codes#json>).
fn is_gone(error: &RestError) -> bool {
    matches!(error, RestError::Missing(Some(10_003 | 10_008)))
}

#[cfg(test)]
mod tests {
    use proto::{ChannelId, MessageId};

    use super::*;
    use crate::rest::tests::answering;

    const DISPATCH: Dispatch = Dispatch {
        epoch: 7,
        shard: 0,
        sequence: 9,
    };

    fn key() -> Key {
        (ChannelId::new(1).unwrap(), MessageId::new(2).unwrap())
    }

    async fn bases(
        status: u16,
        body: &'static str,
    ) -> (Bases, watch::Sender<u64>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("s.sqlite").display());
        let store = Store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let (archived, archived_seen) = watch::channel(5);
        let bases = Bases {
            store,
            rest: answering(status, body).await,
            exclusions: Exclusions::default(),
            archived: archived_seen,
        };
        (bases, archived, folder)
    }

    #[tokio::test]
    async fn what_sql_does_not_know_is_asked_of_discord() {
        let body = r#"{"id":"2","reactions":[{"emoji":{"id":null,"name":"x"},"count":3}]}"#;
        let (bases, _archived, _folder) = bases(200, body).await;
        let stored = bases.clone().stored(key(), DISPATCH, 5, None).await;
        assert_eq!(stored, Found::Unsure(None, true));
        let behind = bases.clone().stored(key(), DISPATCH, 6, None).await;
        assert_eq!(behind, Found::Unsure(None, false));
        let Found::Read(totals) = bases.read(key(), None).await else {
            panic!("Discord knows it");
        };
        assert_eq!((totals[0].emoji.as_str(), totals[0].count), ("x", 3));
    }

    #[tokio::test]
    async fn a_message_that_discord_does_not_show_is_gone_or_counted_on_what_sql_had() {
        let stored = || Some((Vec::new(), None));
        let gone = r#"{"message":"Unknown Message","code":10008}"#;
        for (status, body, expected) in [
            (404, gone, Found::Gone),
            (404, "<html>", Found::Counted(Vec::new(), None)),
            (403, "{}", Found::Counted(Vec::new(), None)),
            (200, "[]", Found::Counted(Vec::new(), None)),
        ] {
            let (bases, _archived, _folder) = bases(status, body).await;
            let found = bases.read(key(), stored()).await;
            assert_eq!(found, expected, "{status} {body}");
        }
        let (bases, _archived, _folder) = bases(403, "{}").await;
        let found = bases.read(key(), None).await;
        assert_eq!(found, Found::Unknown);
    }

    #[test]
    fn only_a_message_of_this_session_is_believed_without_a_mark() {
        let posted_ms = i64::try_from(key().1.created_ms()).unwrap();
        assert!(!is_posted_since(key(), None));
        assert!(!is_posted_since(key(), Some(posted_ms)));
        assert!(is_posted_since(key(), Some(posted_ms - CLOCKS_MS - 1)));
    }
}
