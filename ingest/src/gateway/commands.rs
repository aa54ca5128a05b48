//! What is said to Discord over the gateway, by whoever has something to ask. Knows no connection: without one
//! nothing is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use proto::GuildId;
use twilight_gateway::MessageSender;

use crate::shard::ShardId;

/// The ways to the present connections. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commands(Arc<Mutex<Ways>>);

#[derive(Debug, Default)]
struct Ways {
    shards: u32,
    senders: BTreeMap<u32, MessageSender>,
}

impl Commands {
    /// There are so many shards now, none of which is connected.
    pub(super) fn on_shards(&self, count: u32) {
        *self.0.lock() = Ways {
            shards: count,
            senders: BTreeMap::new(),
        };
    }

    /// A session of this shard is live on this connection.
    pub(super) fn open(&self, shard: ShardId, sender: MessageSender) {
        self.0.lock().senders.insert(shard.number, sender);
    }

    /// There is none any more.
    pub(super) fn close(&self, shard: ShardId) {
        self.0.lock().senders.remove(&shard.number);
    }

    /// The shard that has this guild: only there Discord answers about it.
    pub(crate) fn shard_of(&self, guild: GuildId) -> ShardId {
        ShardId::of(guild, self.0.lock().shards.max(1))
    }

    /// Says it to this shard, if somebody listens; the answer may still not come.
    pub(crate) fn try_send(&self, shard: ShardId, json: String) -> bool {
        let ways = self.0.lock();
        let sender = ways.senders.get(&shard.number);
        sender.is_some_and(|sender| sender.send(json).is_ok())
    }
}
