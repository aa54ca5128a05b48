//! Where pages come from: SQL's rows at their position, then the stream's events after it, up to a target.
//!
//! So a page shows exactly what the channel held at a position that is at least the target, whether the
//! archive is ahead of the feed or behind it. Bounded in time; a page is whole or there is none.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Freshness};
use proto::envelope::Opened;
use proto::{ChannelId, MessageId, Subject};
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
    /// `target` at least.
    ///
    /// # Errors
    /// The database or the broker is away, or slower than 3 s.
    pub async fn read(
        &self,
        channel: ChannelId,
        before: Option<MessageId>,
        limit: u32,
        target: Offset,
    ) -> Result<History, NoPage> {
        let reading = read(&self.store, &*self.broker, channel, before, limit, target);
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
    while history.complete_to < target.sequence {
        let read = broker
            .read(
                history.complete_to + 1,
                Some(Subject::Channel(channel)),
                READ_EVENTS,
                Freshness::Any,
            )
            .await;
        let Ok(catchup) = read else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        for stored in &catchup.events {
            let Ok(opened) = Opened::decode(stored.payload.clone()) else {
                continue;
            };
            history.messages.apply_before(&opened.event, before);
        }
        if catchup.complete_to <= history.complete_to {
            // A replica that is behind: it will come on.
            tokio::time::sleep(PAUSE).await;
        }
        history.complete_to = history.complete_to.max(catchup.complete_to);
    }
    Ok(history)
}
