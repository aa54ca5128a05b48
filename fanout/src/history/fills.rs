//! Channels that have what was posted before anybody listened: asked of ingest, which reads it from Discord once.
//!
//! A page waits a moment for it; what takes longer is there at the next look.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use moka::sync::Cache;
use proto::event::{HistoryReply, HistoryRequest};
use proto::{ChannelId, subject};

use crate::upstream;

/// How long a page waits: some pages of Discord's.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// For so long nobody asks again about a channel that could not be filled.
const PAUSE: Duration = Duration::from_secs(10);

/// Channels that are remembered.
const CHANNELS_MAX: u64 = 100_000;

/// What is known of channels. Clones share it.
#[derive(Debug, Clone)]
pub struct Fills {
    broker: Arc<dyn Broker>,
    filled: Cache<ChannelId, ()>,
    resting: Cache<ChannelId, ()>,
}

impl Fills {
    /// Nothing known yet.
    pub(super) fn new(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            filled: Cache::new(CHANNELS_MAX),
            resting: Cache::builder()
                .max_capacity(CHANNELS_MAX)
                .time_to_live(PAUSE)
                .build(),
        }
    }

    /// SQL has what is wanted of a channel.
    pub fn is_filled(&self, channel: ChannelId) -> bool {
        self.filled.contains_key(&channel)
    }

    /// A channel could not be filled just now: nobody asks again for a while.
    pub fn is_resting(&self, channel: ChannelId) -> bool {
        self.resting.contains_key(&channel)
    }

    /// As if some time had passed.
    #[cfg(test)]
    pub fn end_rest(&self) {
        self.resting.invalidate_all();
    }

    /// Has a channel filled; whether it is. Ingest reads a channel once, however many ask.
    pub async fn fill(&self, channel: ChannelId) -> bool {
        let request = HistoryRequest {
            channel_id: channel.get(),
        };
        let reply = upstream::ask(&*self.broker, subject::RPC_HISTORY, &request, PATIENCE);
        let reply: HistoryReply = reply.await.unwrap_or_default();
        if reply.filled {
            self.filled.insert(channel, ());
        } else {
            self.resting.insert(channel, ());
        }
        reply.filled
    }
}
