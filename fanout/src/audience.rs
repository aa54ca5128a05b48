//! Who watches which channel: counted here, told to the other instances, and summed over all of them.
//!
//! An instance says its changed counts in one message at most every 2 s, and all of them now and then, so
//! that one that came later knows them too. An instance that is silent is forgotten.

mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use broker::Broker;
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use proto::event::{ChannelViewers, Viewers};
use proto::{ChannelId, subject};
use runtime::Health;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::instance::Instance;
use crate::notices;
use tally::Tally;
pub use tally::Watcher;

/// Between two messages of an instance (decisions.md, "Kept small on purpose").
const SPEAK: Duration = Duration::from_secs(2);

/// All counts are said again after so long.
const REPEAT: Duration = Duration::from_secs(10);

/// Channels of one message: about 400 KB, where the broker takes 1 MiB.
const CHANNELS_MAX: usize = 20_000;

/// How long saying something may take.
const NOTIFY_TIME_MAX: Duration = Duration::from_secs(1);

/// The viewers of this instance, and what is known of those of others.
#[derive(Debug)]
pub struct Audience {
    id: String,
    tally: Mutex<Tally>,
    /// Counts what may have changed a total.
    moved: watch::Sender<u64>,
    /// Somebody does not know what is here.
    is_wanted: AtomicBool,
}

impl Default for Audience {
    fn default() -> Self {
        Self {
            id: format!("{:016x}", rand::random::<u64>()),
            tally: Mutex::default(),
            moved: watch::Sender::new(0),
            is_wanted: AtomicBool::new(true),
        }
    }
}

impl Audience {
    /// A viewer begins to watch.
    pub fn enter(&self, channel: ChannelId, watcher: Watcher) {
        self.tally.lock().enter(channel, watcher);
        self.on_moved();
    }

    /// A viewer watches no longer.
    pub fn leave(&self, channel: ChannelId, watcher: Watcher) {
        self.tally.lock().leave(channel, watcher);
        self.on_moved();
    }

    /// How many watch a channel, over all instances.
    pub fn total(&self, channel: ChannelId) -> u32 {
        self.tally.lock().total(channel)
    }

    /// Somebody here watches the channel.
    pub fn is_watched(&self, channel: ChannelId) -> bool {
        self.tally.lock().own(channel) > 0
    }

    /// The channels that somebody watches here, and how many do.
    pub fn watched(&self) -> Vec<(ChannelId, usize)> {
        self.tally.lock().watched()
    }

    /// Changes when a total may have changed.
    pub fn moves(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    fn on_moved(&self) {
        self.moved.send_modify(|moves| *moves += 1);
    }

    fn on_notice(&self, payload: Bytes) {
        let Ok(said) = Viewers::decode(payload) else {
            tracing::debug!("the viewers of another instance can't be read");
            return;
        };
        if said.instance == self.id {
            return;
        }
        if self.tally.lock().on_said(said, Instant::now()) {
            self.is_wanted.store(true, Relaxed);
        }
        self.on_moved();
    }

    /// What is to be said now, if anything.
    fn speech(&self, is_whole: bool) -> Vec<Vec<ChannelViewers>> {
        let tally = &mut *self.tally.lock();
        let changes = tally.take_changes();
        let counts = if is_whole { tally.counts() } else { changes };
        let mut parts: Vec<_> = counts.chunks(CHANNELS_MAX).map(<[_]>::to_vec).collect();
        if is_whole && parts.is_empty() {
            parts.push(Vec::new());
        }
        parts
    }
}

/// The conversation of one instance with the others.
#[derive(Debug)]
pub struct Conversation {
    /// What is said, and what is done with what is heard.
    pub instance: Arc<Instance>,
    /// Where it is said.
    pub broker: Arc<dyn Broker>,
    /// Not ready while limits and sessions are kept apart in silence (decisions.md, "Probes").
    pub health: Health,
    /// This instance keeps limits and sessions to itself, for want of a `REDIS_URL`.
    pub is_alone: bool,
}

impl Conversation {
    /// Speaks and listens until told to stop, and takes leave.
    pub async fn run(self, stop: CancellationToken) {
        let instance = self.instance.clone();
        let listening = notices::listen(
            self.broker.clone(),
            subject::VIEWERS,
            stop.clone(),
            move |notice| instance.audience.on_notice(notice.payload),
        );
        tokio::join!(listening, self.speak(&stop));
        if !self.say(Vec::new(), true, true).await {
            tracing::debug!("the other instances were not told of the leave");
        }
    }

    async fn speak(&self, stop: &CancellationToken) {
        let mut ticks = interval(SPEAK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut repeat_at = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let now = Instant::now();
            self.look_around(now);
            let audience = &self.instance.audience;
            let is_whole = audience.is_wanted.swap(false, Relaxed) || now >= repeat_at;
            if is_whole {
                repeat_at = now + REPEAT;
            }
            for (index, counts) in audience.speech(is_whole).into_iter().enumerate() {
                if !self.say(counts, is_whole && index == 0, false).await {
                    audience.is_wanted.store(true, Relaxed);
                }
            }
        }
    }

    /// Forgets who is silent, and sees whether anybody else is there.
    fn look_around(&self, now: Instant) {
        let audience = &self.instance.audience;
        if audience.tally.lock().forget_silent(now) {
            audience.on_moved();
        }
        if !self.is_alone {
            return;
        }
        if audience.tally.lock().has_others() {
            self.health.hold("redis", "off");
        } else {
            self.health.release("redis");
        }
    }

    async fn say(&self, channels: Vec<ChannelViewers>, whole: bool, leaving: bool) -> bool {
        let said = Viewers {
            instance: self.instance.audience.id.clone(),
            channels,
            whole,
            leaving,
            alone: self.is_alone,
        };
        let payload = Bytes::from(said.encode_to_vec());
        let saying = self.broker.notify(subject::VIEWERS, payload);
        matches!(timeout(NOTIFY_TIME_MAX, saying).await, Ok(Ok(())))
    }
}
