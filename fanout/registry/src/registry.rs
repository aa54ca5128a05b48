//! The façade: what a service asks, whichever home answers.
//!
//! With Redis, verdicts come from Redis and fall back to the in-process home while it is away; sessions and
//! revocations are then [`Away`], because an answer of one instance alone would be wrong. Without Redis the
//! in-process home answers everything. No call waits longer than a call to Redis may take.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::{
    Away, InProcess, Limiter, OpenError, Quota, Redis, RedisSettings, Revocation, Revocations,
    SLOT_TTL, Sessions, Slot, Stats, Verdict,
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
    redis: Option<Redis>,
    off: watch::Sender<State>,
    stats: Arc<Stats>,
}

impl Registry {
    /// Everything within this process.
    pub fn in_process() -> Self {
        let stats = Arc::new(Stats::default());
        Self::new(InProcess::new(SLOT_TTL, stats.clone()), None, stats)
    }

    /// Over Redis, with the in-process home while it is away. Does not wait for the server.
    ///
    /// # Errors
    /// The URL is malformed, or this is no tokio runtime.
    pub fn redis(settings: &RedisSettings) -> Result<Self, OpenError> {
        let stats = Arc::new(Stats::default());
        let redis = Redis::open(settings, stats.clone())?;
        let local = InProcess::new(settings.slot_ttl, stats.clone());
        Ok(Self::new(local, Some(redis), stats))
    }

    fn new(local: InProcess, redis: Option<Redis>, stats: Arc<Stats>) -> Self {
        let off = watch::Sender::new(State::Off);
        let inner = Inner {
            local,
            redis,
            off,
            stats,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// How the shared home is.
    pub fn state(&self) -> State {
        *self.watch().borrow()
    }

    /// How the shared home is, now and later.
    pub fn watch(&self) -> watch::Receiver<State> {
        let redis = self.inner.redis.as_ref();
        redis.map_or_else(|| self.inner.off.subscribe(), Redis::watch)
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    /// Spends one event of a key's quota.
    ///
    /// What Redis says is owed is remembered here, and what is owed here is told to Redis with the next event: an
    /// outage, or a Redis that comes back empty, forgives nobody what this instance knows of. Of debts that
    /// several instances made while it was away the greatest counts, not their sum.
    pub async fn spend(&self, key: &str, quota: Quota) -> Verdict {
        let Inner { local, redis, .. } = &*self.inner;
        if let Some(redis) = redis {
            let asked = Instant::now();
            // Clocks differ in speed by less than this share: what this one says must not refuse the call that
            // Redis' clock has promised to let pass.
            let drift = quota.burst() / 1000;
            let known = local.debt(key).saturating_sub(drift);
            if let Ok((verdict, debt)) = redis.spend_from(key, quota, known).await {
                // Counted from before the question: at no time more than what is owed in Redis.
                local.owe(key, asked, debt);
                return self.counted(verdict);
            }
        }
        self.fallen_back(local.spend_one(key, quota))
    }

    /// Takes a slot under a key, of which at most `max` are held at a time over all instances. It is free again
    /// [`SLOT_TTL`] after it was last renewed. While Redis is away this instance's own slots count.
    pub async fn hold(&self, key: &str, slot: &str, max: u32) -> Verdict {
        let Inner { local, redis, .. } = &*self.inner;
        if let Some(redis) = redis
            && let Ok(verdict) = redis.hold(key, slot, max).await
        {
            if verdict.is_allowed() {
                local.renew_all(&[(key.to_owned(), slot.to_owned())]);
            }
            return self.counted(verdict);
        }
        self.fallen_back(local.hold_one(key, slot, max))
    }

    /// Goes on holding slots; each third of [`SLOT_TTL`] is often enough. Slots of one key are best side by side.
    /// This also brings to Redis what was taken while it was away.
    pub async fn renew(&self, slots: &[Slot]) {
        self.inner.local.renew_all(slots);
        if let Some(redis) = &self.inner.redis
            && Limiter::renew(redis, slots).await.is_err()
        {
            tracing::debug!(slots = slots.len(), "slots are renewed in process alone");
        }
    }

    /// Gives a slot back. While Redis is away it ends there by itself.
    pub async fn release(&self, key: &str, slot: &str) {
        self.inner.local.release_one(key, slot);
        if let Some(redis) = &self.inner.redis
            && redis.release(key, slot).await.is_err()
        {
            tracing::debug!("a slot is given back in process alone");
        }
    }

    /// Begins a recovery session under a new name; see [`Sessions::save`].
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
        self.sessions().save(pid, owner, value, window).await
    }

    /// Takes a recovery session over; see [`Sessions::take`].
    ///
    /// # Errors
    /// Redis is away.
    pub async fn take_session(
        &self,
        pid: &str,
        new_owner: &str,
        window: Duration,
    ) -> Result<Option<Vec<u8>>, Away> {
        self.sessions().take(pid, new_owner, window).await
    }

    /// Keeps a recovery session; whether it is still the owner's. See [`Sessions::renew`].
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
        self.sessions().renew(pid, owner, value, window).await
    }

    /// Ends a recovery session, if this is its owner.
    ///
    /// # Errors
    /// Redis is away: it ends by itself when its window is over.
    pub async fn drop_session(&self, pid: &str, owner: &str) -> Result<(), Away> {
        self.sessions().drop(pid, owner).await
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
        self.revoked().put(&revocation).await
    }

    /// All revocations that hold at a time (seconds since 1970).
    ///
    /// # Errors
    /// Redis is away.
    pub async fn revocations(&self, now: i64) -> Result<Vec<Revocation>, Away> {
        self.revoked().all(now).await
    }

    fn sessions(&self) -> &dyn Sessions {
        match &self.inner.redis {
            Some(redis) => redis,
            None => &self.inner.local,
        }
    }

    fn revoked(&self) -> &dyn Revocations {
        match &self.inner.redis {
            Some(redis) => redis,
            None => &self.inner.local,
        }
    }

    /// A verdict of the in-process home.
    fn fallen_back(&self, verdict: Verdict) -> Verdict {
        if self.inner.redis.is_some() {
            self.inner.stats.fallbacks.fetch_add(1, Relaxed);
        }
        self.counted(verdict)
    }

    fn counted(&self, verdict: Verdict) -> Verdict {
        if !verdict.is_allowed() {
            self.inner.stats.refusals.fetch_add(1, Relaxed);
        }
        verdict
    }
}
