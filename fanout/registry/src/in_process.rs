//! The home within one process: what a single instance needs, and what holds the limits while Redis is away.
//!
//! Clones share it. Its memory is bounded; what would end next goes first, and that is counted. Its clock is
//! tokio's, so that tests can steer it; revocations go by the time that their reader names.

mod bounded;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::bounded::Bounded;
use crate::{
    Away, Limiter, Quota, Revocation, Revocations, SLOT_TTL, Sessions, Slot, Stats, Verdict,
};

/// About 150,000 keys in debt: more would be an attack, and then the smallest debts are forgotten.
const DEBT_BYTES_MAX: usize = 32 << 20;

/// About 100,000 open connections, each with two slots.
const SLOT_BYTES_MAX: usize = 64 << 20;

/// About 50,000 sessions of 1 KiB.
const SESSION_BYTES_MAX: usize = 64 << 20;

/// About 100,000 revoked tokens.
const REVOCATION_BYTES_MAX: usize = 32 << 20;

/// Longer than any process runs.
const LIFETIME: Duration = Duration::from_hours(100 * 365 * 24);

/// What a slot costs beside its name.
const SLOT_BYTES: usize = 64;

/// The in-process home.
#[derive(Debug, Clone)]
pub struct InProcess {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// When everything spent is paid off.
    debts: Mutex<Bounded<Instant, Instant>>,
    slots: Mutex<Bounded<Slots, Instant>>,
    sessions: Mutex<Bounded<Session, Instant>>,
    /// Until when, and not before which time, a key is void.
    revocations: Mutex<Bounded<i64, i64>>,
    slot_ttl: Duration,
    stats: Arc<Stats>,
}

/// The slots of one key: until when each is held.
type Slots = HashMap<String, Instant>;

#[derive(Debug)]
struct Session {
    owner: String,
    value: Vec<u8>,
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new(SLOT_TTL, Arc::default())
    }
}

impl InProcess {
    /// An empty home whose slots are free again after so long.
    pub fn new(slot_ttl: Duration, stats: Arc<Stats>) -> Self {
        Self {
            shared: Arc::new(Shared {
                debts: Mutex::new(Bounded::new(DEBT_BYTES_MAX)),
                slots: Mutex::new(Bounded::new(SLOT_BYTES_MAX)),
                sessions: Mutex::new(Bounded::new(SESSION_BYTES_MAX)),
                revocations: Mutex::new(Bounded::new(REVOCATION_BYTES_MAX)),
                slot_ttl,
                stats,
            }),
        }
    }

    /// What a key owes.
    pub(crate) fn debt(&self, key: &str) -> Duration {
        let now = Instant::now();
        let debts = self.shared.debts.lock();
        let paid = debts.get(key, now).copied();
        paid.map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now))
    }

    /// A key owed so much at least, at that time.
    pub(crate) fn owe(&self, key: &str, then: Instant, debt: Duration) {
        let (now, paid) = (Instant::now(), later(then, debt));
        let mut debts = self.shared.debts.lock();
        if debts.get(key, now).is_none_or(|known| *known < paid) {
            self.evicted(debts.put(key, paid, 0, paid, now));
        }
    }

    pub(crate) fn spend_one(&self, key: &str, quota: Quota) -> Verdict {
        let now = Instant::now();
        let mut debts = self.shared.debts.lock();
        let paid = debts.get(key, now).copied().unwrap_or(now);
        match quota.spend(paid.saturating_duration_since(now)) {
            Ok(debt) => {
                self.evicted(debts.put(key, later(now, debt), 0, later(now, debt), now));
                Verdict::Allowed
            }
            Err(retry_after) => Verdict::Refused { retry_after },
        }
    }

    pub(crate) fn hold_one(&self, key: &str, slot: &str, max: u32) -> Verdict {
        let now = Instant::now();
        let mut all = self.shared.slots.lock();
        let mut slots = all.remove(key).unwrap_or_default();
        slots.retain(|_, ends| *ends > now);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let is_allowed = slots.contains_key(slot) || slots.len() < max;
        let oldest = slots.values().min().copied();
        if is_allowed {
            slots.insert(slot.to_owned(), later(now, self.shared.slot_ttl));
        }
        self.put_slots(&mut all, key, slots, now);
        if is_allowed {
            return Verdict::Allowed;
        }
        let retry_after = oldest.map_or(self.shared.slot_ttl, |oldest| oldest - now);
        Verdict::Refused { retry_after }
    }

    pub(crate) fn renew_all(&self, renewed: &[Slot]) {
        let now = Instant::now();
        let mut all = self.shared.slots.lock();
        for of_one_key in renewed.chunk_by(|(one, _), (next, _)| one == next) {
            let Some((key, _)) = of_one_key.first() else {
                continue;
            };
            let mut slots = all.remove(key).unwrap_or_default();
            let names = of_one_key.iter().map(|(_, slot)| slot.clone());
            slots.extend(names.map(|slot| (slot, later(now, self.shared.slot_ttl))));
            self.put_slots(&mut all, key, slots, now);
        }
    }

    pub(crate) fn release_one(&self, key: &str, slot: &str) {
        let now = Instant::now();
        let mut all = self.shared.slots.lock();
        let mut slots = all.remove(key).unwrap_or_default();
        slots.remove(slot);
        self.put_slots(&mut all, key, slots, now);
    }

    fn put_slots(&self, all: &mut Bounded<Slots, Instant>, key: &str, slots: Slots, now: Instant) {
        let Some(ends) = slots.values().max().copied() else {
            return;
        };
        let names: usize = slots.keys().map(|slot| slot.len() + SLOT_BYTES).sum();
        self.evicted(all.put(key, slots, names, ends, now));
    }

    fn put_session(
        &self,
        sessions: &mut Bounded<Session, Instant>,
        pid: &str,
        session: Session,
        window: Duration,
    ) {
        let now = Instant::now();
        let bytes = session.owner.len() + session.value.len();
        self.evicted(sessions.put(pid, session, bytes, later(now, window), now));
    }

    fn evicted(&self, entries: u64) {
        self.shared.stats.evictions.fetch_add(entries, Relaxed);
    }
}

#[async_trait]
impl Limiter for InProcess {
    async fn spend(&self, key: &str, quota: Quota) -> Result<Verdict, Away> {
        Ok(self.spend_one(key, quota))
    }

    async fn hold(&self, key: &str, slot: &str, max: u32) -> Result<Verdict, Away> {
        Ok(self.hold_one(key, slot, max))
    }

    async fn renew(&self, slots: &[Slot]) -> Result<(), Away> {
        self.renew_all(slots);
        Ok(())
    }

    async fn release(&self, key: &str, slot: &str) -> Result<(), Away> {
        self.release_one(key, slot);
        Ok(())
    }
}

#[async_trait]
impl Sessions for InProcess {
    async fn save(
        &self,
        pid: &str,
        owner: &str,
        value: &[u8],
        window: Duration,
    ) -> Result<(), Away> {
        let session = Session::new(owner, value.to_vec());
        self.put_session(&mut self.shared.sessions.lock(), pid, session, window);
        Ok(())
    }

    async fn take(
        &self,
        pid: &str,
        new_owner: &str,
        window: Duration,
    ) -> Result<Option<Vec<u8>>, Away> {
        let mut sessions = self.shared.sessions.lock();
        sessions.purge(Instant::now());
        let Some(session) = sessions.remove(pid) else {
            return Ok(None);
        };
        let value = session.value.clone();
        let session = Session::new(new_owner, session.value);
        self.put_session(&mut sessions, pid, session, window);
        Ok(Some(value))
    }

    async fn renew(
        &self,
        pid: &str,
        owner: &str,
        value: Option<&[u8]>,
        window: Duration,
    ) -> Result<bool, Away> {
        let now = Instant::now();
        let mut sessions = self.shared.sessions.lock();
        let known = sessions.get(pid, now);
        if known.is_some_and(|session| session.owner != owner) {
            return Ok(false);
        }
        let kept = known.map(|session| session.value.clone());
        let value = value.map(<[u8]>::to_vec).or(kept).ok_or(Away)?;
        self.put_session(&mut sessions, pid, Session::new(owner, value), window);
        Ok(true)
    }

    async fn drop(&self, pid: &str, owner: &str) -> Result<(), Away> {
        let mut sessions = self.shared.sessions.lock();
        let known = sessions.get(pid, Instant::now());
        if known.is_some_and(|session| session.owner == owner) {
            sessions.remove(pid);
        }
        Ok(())
    }
}

#[async_trait]
impl Revocations for InProcess {
    async fn put(&self, revocation: &Revocation) -> Result<(), Away> {
        let Revocation {
            key,
            until,
            not_before,
        } = revocation;
        // Nothing has ended as far as a writer knows: only a reader names the time.
        let never = i64::MIN;
        let mut revocations = self.shared.revocations.lock();
        let known = revocations.remove_entry(key);
        let (not_before, until) = known.map_or((*not_before, *until), |(known, ends)| {
            (known.max(*not_before), ends.max(*until))
        });
        self.evicted(revocations.put(key, not_before, 0, until, never));
        Ok(())
    }

    async fn all(&self, now: i64) -> Result<Vec<Revocation>, Away> {
        let mut revocations = self.shared.revocations.lock();
        revocations.purge(now);
        let all = revocations
            .iter()
            .map(|(key, not_before, until)| Revocation {
                key: key.to_owned(),
                until,
                not_before: *not_before,
            });
        Ok(all.collect())
    }
}

/// Some time later; what is too far to be told is a lifetime away.
fn later(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now + LIFETIME)
}

impl Session {
    fn new(owner: &str, value: Vec<u8>) -> Self {
        Self {
            owner: owner.to_owned(),
            value,
        }
    }
}
