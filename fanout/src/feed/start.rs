//! How a feed begins: the subscription first, then SQL's directory at its position, and from there the stream.

use std::time::Duration;

use broker::{BrokerError, LiveReceiver, StreamState};
use store::{DirectorySnapshot, StoreError};

use super::Feed;
use crate::access::Directory;
use crate::offset::Offset;

/// Between two tries to begin: another service may have to come first, so a service that starts with it is
/// not slow, and one that waits for long costs nothing.
const RETRY: Duration = Duration::from_millis(200);

/// Why a feed can't begin yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotYet {
    #[error("the broker is away")]
    Broker(#[from] BrokerError),
    #[error("the database is away")]
    Store(#[from] StoreError),
    #[error("the database has not been migrated")]
    NotMigrated,
    #[error("the archive has not reached this stream")]
    ArchiveBehind,
    #[error("the stream has lost events that the database holds")]
    StreamBehind,
}

impl Feed {
    /// Begins, trying until it can. The live feed, and the sequence to catch up to; none when stopped.
    pub(super) async fn start(&mut self) -> Option<(Box<dyn LiveReceiver>, u64)> {
        let mut said = String::new();
        loop {
            let (broker, store) = (self.broker.clone(), self.store.clone());
            let stop = self.stop.clone();
            // On the heap: the stores' futures are large.
            let begin = Box::pin(async move {
                tokio::select! {
                    () = stop.cancelled() => None,
                    begun = begin(&*broker, &store) => Some(begun),
                }
            });
            match self.meanwhile(begin).await? {
                Ok((live, state, snapshot)) => {
                    self.on_broker(false);
                    self.begin_at(state.generation, snapshot);
                    return Some((live, state.last));
                }
                Err(why) => {
                    self.on_broker(matches!(why, NotYet::Broker(_)));
                    let why = why.to_string();
                    if said != why {
                        tracing::info!(why, "the feed can't begin yet");
                        said = why;
                    }
                }
            }
            self.meanwhile(tokio::time::sleep(RETRY)).await;
        }
    }

    fn begin_at(&mut self, generation: u64, snapshot: DirectorySnapshot) {
        let sequence = if snapshot.position.generation == generation {
            snapshot.position.sequence
        } else {
            0
        };
        self.position.send_replace(Offset {
            generation,
            sequence,
        });
        tracing::info!(sequence, guilds = snapshot.guilds.len(), "the feed begins");
        self.head = None;
        self.directory = Some(Directory::new(snapshot).with_cdn(self.cdn.clone()));
    }

    /// The feed stands where the stream stood when it began: workers begin, and the instance is ready.
    pub(super) async fn open(&mut self) {
        self.is_open = true;
        self.health.release("directory");
        if let Some(item) = self.start_item() {
            self.send_all(&item).await;
        }
    }
}

async fn begin(
    broker: &dyn broker::Broker,
    store: &store::Store,
) -> Result<(Box<dyn LiveReceiver>, StreamState, DirectorySnapshot), NotYet> {
    if !store.is_migrated().await? {
        return Err(NotYet::NotMigrated);
    }
    let live = broker.live().await?;
    let snapshot = store.directory().await?;
    // Asked last, so that the stream is at least as long as what SQL has of it.
    let state = broker.state().await?;
    let known = snapshot.position.generation == state.generation;
    let next = if known {
        snapshot.position.sequence + 1
    } else {
        1
    };
    // What lies between SQL and the stream's first event would be missing from the directory.
    if next < state.first {
        return Err(NotYet::ArchiveBehind);
    }
    if known && snapshot.position.sequence > state.last {
        return Err(NotYet::StreamBehind);
    }
    Ok((live, state, snapshot))
}
