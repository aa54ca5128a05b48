//! What all workers of this process share: counters, who watches what, and the workers' heartbeats.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use actix_socketio::Stats;
use parking_lot::Mutex;
use proto::ChannelId;
use runtime::metrics::Histogram;
use runtime::time::now_ms;

use crate::delivery::Delivery;
use crate::joins::Joins;

use crate::audience::{Audience, Watcher};
use crate::transport::{Counts, Transport};
use crate::typing::TypingBoard;

/// A worker whose heartbeat is older stands still (decisions.md, "Probes").
const HEARTBEAT_AGE_MAX: Duration = Duration::from_secs(5);

/// One fanout process.
#[derive(Debug, Default)]
pub struct Instance {
    /// Events that rooms handed to their members, times members.
    pub delivered: AtomicU64,
    /// Events that a room knew already.
    pub known: AtomicU64,
    /// States that nobody was told, because a later one took their place.
    pub merged: AtomicU64,
    /// Members of whom nobody could say in time whether they are members still.
    pub lapsed: AtomicU64,
    /// Notices of typing that a worker was too busy to hear.
    pub typing_missed: AtomicU64,
    /// Who types, for the workers.
    pub typing: TypingBoard,
    /// Plain WebSockets and event streams.
    pub open: Arc<Counts>,
    /// Who watches what, here and on the other instances.
    pub audience: Audience,
    /// From Discord's frame in ingest to the members' queues.
    pub feed_delay: Histogram,
    /// From Discord's frame in ingest until a socket was out of a channel, and `channel_left` in its queue.
    pub revocation: Histogram,
    /// From Discord's frame in ingest to the changed `channels_list` in a socket's queue.
    pub list_delay: Histogram,
    /// How joins were answered.
    pub joins: Arc<Joins>,
    workers: Mutex<Vec<Arc<Worker>>>,
}

/// One worker, as others may look at it.
#[derive(Debug)]
pub struct Worker {
    stats: Arc<Stats>,
    heartbeat: Mutex<Heartbeat>,
}

#[derive(Debug, Clone, Copy)]
struct Heartbeat {
    at: Instant,
    delay: Duration,
}

impl Instance {
    /// A worker begins.
    pub fn add_worker(&self, stats: Arc<Stats>) -> Arc<Worker> {
        let worker = Arc::new(Worker {
            stats,
            heartbeat: Mutex::new(Heartbeat {
                at: Instant::now(),
                delay: Duration::ZERO,
            }),
        });
        self.workers.lock().push(worker.clone());
        worker
    }

    /// Every worker's loop goes round.
    pub fn is_alive(&self) -> bool {
        let workers = self.workers.lock();
        workers
            .iter()
            .all(|worker| worker.heartbeat.lock().at.elapsed() < HEARTBEAT_AGE_MAX)
    }

    /// By how much the slowest worker was late at its last heartbeat.
    pub fn loop_delay(&self) -> Duration {
        let workers = self.workers.lock();
        let delays = workers.iter().map(|worker| worker.heartbeat.lock().delay);
        delays.max().unwrap_or_default()
    }

    /// Open transports, and authenticated sockets.
    pub fn connections(&self) -> (u64, u64) {
        let total = self.transports().iter().map(|(_, count)| count).sum();
        let workers = self.workers.lock();
        let sockets: u64 = workers.iter().map(|worker| worker.stats.sockets()).sum();
        (total, sockets + self.open.viewers())
    }

    /// Open transports by their name.
    pub fn transports(&self) -> [(&'static str, u64); 3] {
        let workers = self.workers.lock();
        let socketio = workers.iter().map(|worker| worker.stats.connections());
        [
            ("socketio", socketio.sum()),
            ("websocket", self.open.connections(Transport::WebSocket)),
            ("sse", self.open.connections(Transport::Sse)),
        ]
    }

    /// Socket.IO's open transports that are long polling.
    pub fn polling(&self) -> u64 {
        let workers = self.workers.lock();
        workers.iter().map(|worker| worker.stats.polling()).sum()
    }

    /// Transports that ended, by reason.
    pub fn closes(&self) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        for worker in self.workers.lock().iter() {
            for (reason, count) in worker.stats.closes() {
                *sums.entry(reason).or_default() += count;
            }
        }
        sums
    }

    /// A viewer has joined a channel on some worker.
    pub fn on_joined(&self, channel: ChannelId, watcher: Watcher) {
        self.audience.enter(channel, watcher);
    }

    /// A viewer has left a channel on some worker.
    pub fn on_left(&self, channel: ChannelId, watcher: Watcher) {
        self.audience.leave(channel, watcher);
    }

    /// The channels that somebody watches here, and how many do.
    pub fn rooms(&self) -> Vec<(ChannelId, usize)> {
        self.audience.watched()
    }

    /// Counts an event that a room knew already.
    pub fn on_known(&self) {
        self.known.fetch_add(1, Relaxed);
    }

    /// Counts a state in whose place a later one is told.
    pub fn on_merged(&self) {
        self.merged.fetch_add(1, Relaxed);
    }

    /// Counts members whose standing has lapsed.
    pub fn on_lapsed(&self, members: u64) {
        self.lapsed.fetch_add(members, Relaxed);
    }

    /// Counts notices of typing that a worker has missed.
    pub fn on_typing_missed(&self, missed: u64) {
        self.typing_missed.fetch_add(missed, Relaxed);
    }

    /// Somebody here watches the channel.
    pub fn is_watched(&self, channel: ChannelId) -> bool {
        self.audience.is_watched(channel)
    }

    /// A socket is out of a channel that was taken from it by a frame of Discord's so long ago.
    pub fn on_put_out(&self, delay: Option<Duration>) {
        if let Some(delay) = delay {
            self.revocation.observe(delay);
        }
    }

    /// A socket has the list that a frame of Discord's changed so long ago.
    pub fn on_listed(&self, delay: Option<Duration>) {
        if let Some(delay) = delay {
            self.list_delay.observe(delay);
        }
    }

    /// Counts deliveries of what is no event of the stream by itself.
    pub fn on_told(&self, members: usize) {
        self.delivered.fetch_add(members as u64, Relaxed);
    }

    /// Counts deliveries of an event to so many members.
    pub fn on_delivered(&self, delivery: &Delivery, members: usize) {
        delivery.on_told(members);
        if members > 0 {
            self.delivered.fetch_add(members as u64, Relaxed);
            let delay_ms = u64::try_from(now_ms() - delivery.received_ms).unwrap_or(0);
            self.feed_delay.observe(Duration::from_millis(delay_ms));
        }
    }
}

impl Worker {
    /// The worker's loop has gone round, so much later than it wanted.
    pub fn beat(&self, delay: Duration) {
        *self.heartbeat.lock() = Heartbeat {
            at: Instant::now(),
            delay,
        };
    }
}
