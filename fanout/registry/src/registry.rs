//! The façade: what a service asks, whichever home answers.
//!
//! With Redis, verdicts come from Redis and fall back to the in-process home while it is away; sessions and
//! revocations are then [`Away`], because an answer of one instance alone would be wrong. Without Redis the
//! in-process home answers everything. No call waits longer than a call to Redis may take.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;

use crate::{
    Away, InProcess, Quota, Revocation, Revocations as _, SLOT_TTL, Sessions as _, Slot, Stats,
    Verdict,
};

/// How the shared home is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is none: everything is within this process.
    Off,
    /// It answers.
    Up,
    /// It does not answer: limits hold for each instance by itself.
    Down,
}

/// What instances know together. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    local: InProcess,
    off: watch::Sender<State>,
    stats: Arc<Stats>,
}

impl Registry {
    /// Everything within this process.
    pub fn in_process() -> Self {
        let stats = Arc::new(Stats::default());
        Self {
            inner: Arc::new(Inner {
                local: InProcess::new(SLOT_TTL, stats.clone()),
                off: watch::Sender::new(State::Off),
                stats,
            }),
        }
    }

    /// How the shared home is.
    pub fn state(&self) -> State {
        *self.watch().borrow()
    }

    /// How the shared home is, now and later.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.inner.off.subscribe()
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    /// Spends one event of a key's quota.
    #[expect(clippy::unused_async, reason = "a home over the network waits")]
    pub async fn spend(&self, key: &str, quota: Quota) -> Verdict {
        self.counted(self.inner.local.spend_one(key, quota))
    }

    /// Takes a slot under a key, of which at most `max` are held at a time over all instances. It is free again
    /// [`SLOT_TTL`] after it was last renewed.
    #[expect(clippy::unused_async, reason = "a home over the network waits")]
    pub async fn hold(&self, key: &str, slot: &str, max: u32) -> Verdict {
        self.counted(self.inner.local.hold_one(key, slot, max))
    }

    /// Goes on holding slots; each third of [`SLOT_TTL`] is often enough. Slots of one key are best side by side.
    #[expect(clippy::unused_async, reason = "a home over the network waits")]
    pub async fn renew(&self, slots: &[Slot]) {
        self.inner.local.renew_all(slots);
    }

    /// Gives a slot back.
    #[expect(clippy::unused_async, reason = "a home over the network waits")]
    pub async fn release(&self, key: &str, slot: &str) {
        self.inner.local.release_one(key, slot);
    }

    /// Begins a recovery session under a new name; see [`Sessions::save`](crate::Sessions::save).
    ///
    /// # Errors
    /// Redis is away: the session can't be recovered.
    pub async fn save_session(
        &self,
        pid: &str,
        owner: &str,
        value: &[u8],
        window: Duration,
    ) -> Result<(), Away> {
        self.inner.local.save(pid, owner, value, window).await
    }

    /// Takes a recovery session over; see [`Sessions::take`](crate::Sessions::take).
    ///
    /// # Errors
    /// Redis is away.
    pub async fn take_session(
        &self,
        pid: &str,
        new_owner: &str,
        window: Duration,
    ) -> Result<Option<Vec<u8>>, Away> {
        self.inner.local.take(pid, new_owner, window).await
    }

    /// Keeps a recovery session; whether it is still the owner's. See [`Sessions::renew`](crate::Sessions::renew).
    ///
    /// # Errors
    /// Redis is away, or has forgotten the session and no value is given: it can't be recovered.
    pub async fn renew_session(
        &self,
        pid: &str,
        owner: &str,
        value: Option<&[u8]>,
        window: Duration,
    ) -> Result<bool, Away> {
        self.inner.local.renew(pid, owner, value, window).await
    }

    /// Ends a recovery session, if this is its owner.
    ///
    /// # Errors
    /// Redis is away: it ends by itself when its window is over.
    pub async fn drop_session(&self, pid: &str, owner: &str) -> Result<(), Away> {
        self.inner.local.drop(pid, owner).await
    }

    /// Adds a revocation: until when (seconds since 1970), and for a user's tokens before which time they are
    /// void (0 for a single token). Of two of one key the later times hold.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn put_revocation(&self, key: &str, until: i64, not_before: i64) -> Result<(), Away> {
        let revocation = Revocation {
            key: key.to_owned(),
            until,
            not_before,
        };
        self.inner.local.put(&revocation).await
    }

    /// All revocations that hold at a time (seconds since 1970).
    ///
    /// # Errors
    /// Redis is away.
    pub async fn revocations(&self, now: i64) -> Result<Vec<Revocation>, Away> {
        self.inner.local.all(now).await
    }

    fn counted(&self, verdict: Verdict) -> Verdict {
        if !verdict.is_allowed() {
            self.inner.stats.refusals.fetch_add(1, Relaxed);
        }
        verdict
    }
}
