//! The newest message of a channel that is stored: in SQL, and in the stream above it.
//!
//! Where SQL is away the stream alone is asked, for what is older than it was heard all the same. Too low a number
//! costs a page that is read for nothing, and doubles that the stream drops; too high a one, messages.

use std::time::Duration;

use broker::Freshness;
use proto::envelope::Opened;
use proto::event::Event;
use proto::{ChannelId, MessageId, Subject};
use store::StoreError;
use tokio::time::{sleep, timeout};

use super::Backfill;
use crate::backoff::Backoff;
use crate::leader::bounded;

/// How long SQL may take: a lane stands still meanwhile.
const SQL: Duration = Duration::from_secs(2);
/// How long the broker may take.
const CALL: Duration = Duration::from_secs(5);
/// The first wait before the broker is asked again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Events of one read.
const EVENTS_MAX: usize = 500;

/// What SQL says.
struct Archived {
    newest: Option<u64>,
    /// The first sequence that is not in it.
    next: u64,
}

impl Backfill {
    /// The newest message of a channel that is stored, as far as anybody knows; `last`: Discord's last.
    pub(super) async fn newest_stored(&self, channel: ChannelId, last: u64) -> Option<u64> {
        let archived = match timeout(SQL, self.archived(channel, last)).await {
            Ok(Ok(archived)) => archived,
            Ok(Err(error)) => {
                tracing::debug!(%error, "SQL does not say what is known of a channel");
                Archived {
                    newest: None,
                    next: 1,
                }
            }
            Err(_) => Archived {
                newest: None,
                next: 1,
            },
        };
        if archived.newest.is_some_and(|newest| newest >= last) {
            return archived.newest;
        }
        let streamed = self.newest_streamed(channel, archived.next).await;
        archived.newest.max(streamed)
    }

    async fn archived(&self, channel: ChannelId, last: u64) -> Result<Archived, StoreError> {
        let store = &self.parts.store;
        let page = store.page(channel, None, 1).await?;
        let newest = page.messages.last().map(|message| message.id);
        // Of the last message its tombstone may be all that is left.
        let is_deleted = match MessageId::new(last) {
            Some(last) if newest < Some(last.get()) => store.is_deleted(last).await?,
            _ => false,
        };
        Ok(Archived {
            newest: newest.max(is_deleted.then_some(last)),
            next: page.position.sequence.saturating_add(1),
        })
    }

    /// The newest message that the stream holds of a channel, from this sequence on.
    async fn newest_streamed(&self, channel: ChannelId, from: u64) -> Option<u64> {
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        let (mut from, mut newest) = (from, None);
        let subject = Some(Subject::Channel(channel));
        loop {
            let read = self
                .parts
                .broker
                .read(from, subject, EVENTS_MAX, Freshness::Any);
            let read = match bounded(CALL, read).await {
                Ok(read) => read,
                Err(error) => {
                    tracing::debug!(%error, "the stream does not say what is known of a channel");
                    sleep(retry.next()).await;
                    continue;
                }
            };
            retry.reset();
            let Some(last) = read.events.last() else {
                return newest;
            };
            from = last.sequence + 1;
            for event in read.events {
                if let Ok(opened) = Opened::decode(event.payload)
                    && let Event::MessageCreated(message) = opened.event
                {
                    newest = newest.max(Some(message.id));
                }
            }
        }
    }
}
