//! Where pages come from: SQL's rows at their position, then the stream's events after it, up to a target.
//!
//! So a page shows exactly what the channel held at a position that is at least the target, whether the
//! archive is ahead of the feed or behind it. Bounded in time; a page is whole or there is none.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Freshness, Stored};
use proto::envelope::Opened;
use proto::{ChannelId, Identity, MessageId, Subject};
use store::Store;

use super::{Fills, History, Links, Messages};
use crate::offset::Offset;

/// A page that takes longer is answered with `UNAVAILABLE` (the viewer waits for it).
const PAGE_TIME_MAX: Duration = Duration::from_secs(3);

/// Between two reads of the stream that did not reach the target.
const PAUSE: Duration = Duration::from_millis(20);

/// Events a read of the stream.
const READ_EVENTS: usize = 500;

/// The sources of an instance. Clones share them.
#[derive(Debug, Clone)]
pub struct Library {
    /// SQL.
    pub store: Store,
    /// The stream.
    pub broker: Arc<dyn Broker>,
    /// Links of files that hold.
    pub links: Links,
    /// Channels that have what was posted before anybody listened.
    pub fills: Fills,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum NoPage {
    /// The database is away.
    #[error("the database is away")]
    Store(#[from] store::StoreError),
    /// SQL is at another generation of the stream.
    #[error("the archive has not reached this stream")]
    Generation,
    /// The broker did not answer in time.
    #[error("the stream could not be read in time")]
    Late,
}

impl Library {
    /// Asked of nothing yet.
    pub fn new(store: Store, broker: Arc<dyn Broker>) -> Self {
        Self {
            links: Links::new(broker.clone()),
            fills: Fills::new(broker.clone()),
            store,
            broker,
        }
    }

    /// Reads the newest `limit` messages of a channel (those before a message, if one is named), complete to
    /// `target` at least. `parent` is the channel that a thread is in, whose message it may quote.
    ///
    /// # Errors
    /// The database or the broker is away, or slower than 3 s.
    pub async fn read(
        &self,
        channel: ChannelId,
        parent: Option<ChannelId>,
        before: Option<MessageId>,
        limit: u32,
        target: Offset,
    ) -> Result<History, NoPage> {
        let (store, broker) = (&self.store, &*self.broker);
        let reading = async {
            let mut history = read(store, broker, channel, before, limit, target).await?;
            if let (Some(parent), Some(start)) = (parent, MessageId::new(channel.get()))
                && start_is_deleted(store, broker, parent, start, &history).await?
            {
                history.messages.on_start_deleted(start.get());
            }
            Ok(history)
        };
        let read = tokio::time::timeout(PAGE_TIME_MAX, reading).await;
        read.map_err(|_| NoPage::Late)?
    }
}

async fn read(
    store: &Store,
    broker: &dyn Broker,
    channel: ChannelId,
    before: Option<MessageId>,
    limit: u32,
    target: Offset,
) -> Result<History, NoPage> {
    let page = store.page(channel, before, limit).await?;
    let known = page.position.generation == target.generation;
    if !known && page.position.sequence > 0 {
        return Err(NoPage::Generation);
    }
    let mut history = History {
        messages: Messages::new(page.messages, page.has_more),
        complete_to: if known { page.position.sequence } else { 0 },
        is_partial: false,
        links_until_ms: None,
    };
    if history.complete_to < target.sequence {
        let first = broker.state().await.map_err(|_| NoPage::Late)?.first;
        // What lies between SQL and the stream's first event would be missing from the page.
        if history.complete_to + 1 < first {
            return Err(NoPage::Generation);
        }
    }
    let (after, until) = (history.complete_to, target.sequence);
    let messages = &mut history.messages;
    let complete_to = follow(broker, channel, after, until, |stored| {
        if let Ok(opened) = Opened::decode(stored.payload.clone()) {
            messages.apply_before(&opened.event, before);
        }
    });
    history.complete_to = complete_to.await;
    Ok(history)
}

/// Shows the events of a channel after a sequence and up to another at least; tells how far they are complete.
async fn follow(
    broker: &dyn Broker,
    channel: ChannelId,
    after: u64,
    until: u64,
    mut show: impl FnMut(&Stored),
) -> u64 {
    let mut complete_to = after;
    while complete_to < until {
        let subject = Some(Subject::Channel(channel));
        let read = broker.read(complete_to + 1, subject, READ_EVENTS, Freshness::Any);
        let Ok(catchup) = read.await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        catchup.events.iter().for_each(&mut show);
        if catchup.complete_to <= complete_to {
            // A replica that is behind: it will come on.
            tokio::time::sleep(PAUSE).await;
        }
        complete_to = complete_to.max(catchup.complete_to);
    }
    complete_to
}

/// Whether the message that a thread began at is deleted: its events are its own channel's, and SQL may be behind.
async fn start_is_deleted(
    store: &Store,
    broker: &dyn Broker,
    parent: ChannelId,
    start: MessageId,
    thread: &History,
) -> Result<bool, NoPage> {
    let position = store.position().await?;
    if store.is_deleted(start).await? {
        return Ok(true);
    }
    let mut is_deleted = false;
    follow(
        broker,
        parent,
        position.sequence,
        thread.complete_to,
        |stored| {
            is_deleted |= Identity::deleted(&stored.identity) == Some(start);
        },
    )
    .await;
    Ok(is_deleted)
}
