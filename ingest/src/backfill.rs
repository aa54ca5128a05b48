//! Makes good what was missed before a session that is not the one before resumed: read from Discord's API, published
//! between the gateway's events (decisions.md, backfill).
//!
//! First, guild by guild, the messages that were posted (`missed.rs`), while the lanes of their channels stand still
//! and all others go on; then, in channels that somebody watches or has lately written in, what became of older ones
//! (`compare.rs`). All of it may be done again after a crash: the stream drops the doubles.

use std::sync::Arc;

use broker::Broker;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::event::Event;
use proto::{ChannelId, Envelope, GuildId, Identity};
use runtime::time::now_ms;
use store::Store;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exclusions::Exclusions;
use crate::outcome::Outcomes;
use crate::publish::repair::{Hold, Repair, Snapshot, Standing};
use crate::rest::Rest;
use crate::trace;
use crate::viewers::Viewers;
pub(crate) use book::{Book, Place};
pub(crate) use gaps::{Gaps, Marks};
use pages::Pages;

mod book;
mod compare;
mod difference;
mod gaps;
mod guild;
mod known;
mod missed;
mod pages;

/// Channels that stand still to be compared, at once: the others go on meanwhile.
const COMPARED_AT_ONCE: usize = 4;

/// What it is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) store: Store,
    pub(crate) rest: Rest,
    pub(crate) exclusions: Exclusions,
    pub(crate) outcomes: Outcomes,
    pub(crate) gaps: Gaps,
    pub(crate) book: Book,
    pub(crate) repairs: mpsc::Sender<Repair>,
    /// The last sequence that the stream acknowledged, and the last in SQL.
    pub(crate) acknowledged: watch::Receiver<u64>,
    pub(crate) archived: watch::Receiver<u64>,
    /// Days that messages are kept; 0 for ever.
    pub(crate) retention_days: u32,
}

/// Repairs and compares.
#[derive(Debug)]
pub(crate) struct Backfill {
    parts: Parts,
    pages: Pages,
    turns: Semaphore,
    viewers: Viewers,
}

/// The publisher is gone, and the term with it.
#[derive(Debug, thiserror::Error)]
#[error("nobody publishes any more")]
struct Over;

/// A channel, and the session before which something may be missing in it.
#[derive(Debug, Clone, Copy)]
struct Site {
    place: Place,
    guild: GuildId,
    channel: ChannelId,
}

impl Backfill {
    /// Nothing to do yet.
    pub(crate) fn new(parts: Parts) -> Self {
        let pages = Pages::new(parts.rest.clone(), parts.exclusions.clone());
        Self {
            parts,
            pages,
            turns: Semaphore::new(COMPARED_AT_ONCE),
            viewers: Viewers::default(),
        }
    }

    /// Makes good what the sessions leave behind, until told to stop: lanes that stand still then stay so, and the next
    /// term begins where this one did.
    pub(crate) async fn run(
        self,
        snapshots: mpsc::UnboundedReceiver<Snapshot>,
        stop: CancellationToken,
    ) {
        let work = async {
            tokio::join!(
                self.viewers.listen(&*self.parts.broker),
                self.repair(snapshots),
                self.compare(),
            );
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    async fn repair(&self, mut snapshots: mpsc::UnboundedReceiver<Snapshot>) {
        let mut guilds = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = guilds.next(), if !guilds.is_empty() => {}
                snapshot = snapshots.recv() => match snapshot {
                    Some(snapshot) => guilds.push(self.repair_guild(snapshot)),
                    // The publisher is gone, and the term with it.
                    None => return std::future::pending().await,
                },
            }
        }
    }

    /// Lets a channel stand still, with all of before settled.
    async fn hold(&self, guild: GuildId, channel: ChannelId) -> Result<Standing, Over> {
        let (reply, standing) = oneshot::channel();
        self.ask(Repair::Hold(channel, guild, reply)).await?;
        standing.await.map_err(|_| Over)
    }

    async fn release(&self, hold: Hold) -> Result<(), Over> {
        self.ask(Repair::Release(hold)).await
    }

    async fn ask(&self, repair: Repair) -> Result<(), Over> {
        self.parts.repairs.send(repair).await.map_err(|_| Over)
    }

    /// Publishes events before a hold, in their order. Returns how many the stream has now.
    async fn publish(
        &self,
        site: Site,
        hold: Hold,
        events: Vec<(Identity, Event)>,
        read_at: Instant,
    ) -> Result<usize, Over> {
        let mut replies = Vec::with_capacity(events.len());
        for (identity, event) in events {
            let envelope = Envelope {
                identity,
                trace: trace::aside("backfill"),
                guild: site.guild,
                channel: Some(site.channel),
                received_ms: now_ms(),
                event,
            };
            let (reply, stored) = oneshot::channel();
            let envelope = Box::new(envelope);
            self.ask(Repair::Publish(hold, envelope, read_at, reply))
                .await?;
            replies.push(stored);
        }
        let mut count = 0;
        for stored in replies {
            count += usize::from(stored.await.is_ok());
        }
        Ok(count)
    }
}
