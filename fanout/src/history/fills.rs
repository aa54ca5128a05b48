//! Channels that have what was posted before anybody listened: asked of ingest, which reads it from Discord once.
//!
//! A page waits a moment for it; what takes longer is there at the next look.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use bytes::Bytes;
use moka::sync::Cache;
use prost::Message as _;
use proto::event::{HistoryReply, HistoryRequest};
use proto::{ChannelId, subject};

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
    asked: Cache<ChannelId, ()>,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// So many messages were put into SQL.
    With(u32),
    /// It is not done, or can't be.
    NotYet,
}

impl Fills {
    /// Nothing known yet.
    pub(super) fn new(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            filled: Cache::new(CHANNELS_MAX),
            asked: Cache::builder()
                .max_capacity(CHANNELS_MAX)
                .time_to_live(PAUSE)
                .build(),
        }
    }

    /// It is worth a question whether a channel has more than SQL does.
    pub fn is_wanted(&self, channel: ChannelId) -> bool {
        !self.filled.contains_key(&channel) && !self.asked.contains_key(&channel)
    }

    /// As if some time had passed.
    #[cfg(test)]
    pub fn forget_asked(&self) {
        self.asked.invalidate_all();
    }

    /// Has a channel filled.
    pub async fn fill(&self, channel: ChannelId) -> Filled {
        self.asked.insert(channel, ());
        let request = HistoryRequest {
            channel_id: channel.get(),
        };
        let payload = Bytes::from(request.encode_to_vec());
        let answer = self.broker.request(subject::RPC_HISTORY, payload, PATIENCE);
        let answer = answer.await;
        let answer = answer
            .inspect_err(|error| tracing::debug!(%error, "a channel's history is not filled"));
        let reply = answer
            .ok()
            .and_then(|bytes| HistoryReply::decode(bytes).ok());
        match reply {
            Some(reply) if reply.filled => {
                self.filled.insert(channel, ());
                Filled::With(reply.messages)
            }
            _ => Filled::NotYet,
        }
    }
}
