//! Homes that are broken on purpose, each in one way. A case of the contract that passes on its double proves
//! nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use registry::{Away, InProcess, Limiter, Quota, Revocation, Revocations, Sessions, Slot, Verdict};

use super::home::{SLOT_TTL, in_process};

/// In what a double is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Each client has a home of its own.
    Separate,
    /// It says a wait that is a tenth too short.
    Hasty,
    /// A refused event is counted all the same.
    Punishing,
    /// All keys are one.
    OneKey,
    /// A debt is never paid off.
    Unforgiving,
    /// What was owed of a larger quota is still owed.
    Grudging,
    /// Taking one's own slot again takes another.
    Counting,
    /// What is given back stays taken.
    Hoarding,
    /// Slots never end by themselves.
    Immortal,
    /// Renewing slots does nothing.
    Idle,
    /// Everybody is the owner of every session.
    Ownerless,
    /// A former owner is told so, and its value kept all the same.
    Overwriting,
    /// Windows never end.
    Endless,
    /// Renewing a session does not begin its window again.
    Fixed,
    /// Renewing what is not there succeeds.
    Pretending,
    /// Ending a session does nothing.
    Undying,
    /// The last times of a key hold, earlier or not.
    LastWins,
    /// What has ended is told for ever.
    Unending,
    /// Only a first page is told.
    Paging,
    /// Times that are too large are an end at once.
    Overflowing,
}

/// The in-process home with a flaw.
#[derive(Clone)]
pub(crate) struct Double {
    home: InProcess,
    flaw: Flaw,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    refusals: u32,
    takes: u32,
    largest: Duration,
    revoked: HashMap<String, Revocation>,
}

const LONG: Duration = Duration::from_hours(1000);

impl Double {
    pub(crate) fn new(flaw: Flaw) -> Self {
        let slot_ttl = if flaw == Flaw::Immortal {
            LONG
        } else {
            SLOT_TTL
        };
        Self {
            home: in_process(slot_ttl),
            flaw,
            log: Arc::default(),
        }
    }

    fn window(&self, window: Duration) -> Duration {
        match self.flaw {
            Flaw::Endless => LONG,
            Flaw::Overflowing if window > LONG => Duration::ZERO,
            _ => window,
        }
    }
}

#[async_trait]
impl Limiter for Double {
    async fn spend(&self, key: &str, quota: Quota) -> Result<Verdict, Away> {
        let key = if self.flaw == Flaw::OneKey {
            "one"
        } else {
            key
        };
        let quota = if self.flaw == Flaw::Unforgiving {
            Quota::new(4, LONG).unwrap()
        } else {
            quota
        };
        let verdict = self.home.spend(key, quota).await?;
        let largest = {
            let mut log = self.log.lock();
            log.largest = log.largest.max(quota.burst());
            log.largest
        };
        let Verdict::Refused { mut retry_after } = verdict else {
            return Ok(verdict);
        };
        if self.flaw == Flaw::Hasty {
            retry_after = retry_after * 9 / 10;
        }
        if self.flaw == Flaw::Grudging {
            retry_after += largest.saturating_sub(quota.burst());
        }
        if self.flaw == Flaw::Punishing {
            let mut log = self.log.lock();
            retry_after += quota.interval() * log.refusals;
            log.refusals += 1;
        }
        Ok(Verdict::Refused { retry_after })
    }

    async fn hold(&self, key: &str, slot: &str, max: u32) -> Result<Verdict, Away> {
        if self.flaw != Flaw::Counting {
            return self.home.hold(key, slot, max).await;
        }
        let number = {
            let mut log = self.log.lock();
            log.takes += 1;
            log.takes
        };
        self.home.hold(key, &format!("{slot} {number}"), max).await
    }

    async fn renew(&self, slots: &[Slot]) -> Result<(), Away> {
        if self.flaw == Flaw::Idle {
            return Ok(());
        }
        Limiter::renew(&self.home, slots).await
    }

    async fn release(&self, key: &str, slot: &str) -> Result<(), Away> {
        if self.flaw == Flaw::Hoarding {
            return Ok(());
        }
        self.home.release(key, slot).await
    }
}

#[async_trait]
impl Sessions for Double {
    async fn save(
        &self,
        pid: &str,
        owner: &str,
        value: &[u8],
        window: Duration,
    ) -> Result<(), Away> {
        self.home.save(pid, owner, value, self.window(window)).await
    }

    async fn take(
        &self,
        pid: &str,
        new_owner: &str,
        window: Duration,
    ) -> Result<Option<Vec<u8>>, Away> {
        self.home.take(pid, new_owner, self.window(window)).await
    }

    async fn renew(
        &self,
        pid: &str,
        owner: &str,
        value: Option<&[u8]>,
        window: Duration,
    ) -> Result<bool, Away> {
        let renewed = match self.flaw {
            Flaw::Fixed => Ok(true),
            _ => Sessions::renew(&self.home, pid, owner, value, window).await,
        };
        match (self.flaw, renewed) {
            (Flaw::Ownerless, Ok(_)) | (Flaw::Pretending, Err(Away)) => Ok(true),
            (Flaw::Overwriting, Ok(false)) => {
                // The owner stays: only the value is lost.
                let value = value.unwrap_or_default();
                self.home.save(pid, "owner", value, window).await?;
                Ok(false)
            }
            (_, renewed) => renewed,
        }
    }

    async fn drop(&self, pid: &str, owner: &str) -> Result<(), Away> {
        if self.flaw == Flaw::Undying {
            return Ok(());
        }
        Sessions::drop(&self.home, pid, owner).await
    }
}

#[async_trait]
impl Revocations for Double {
    async fn put(&self, revocation: &Revocation) -> Result<(), Away> {
        let mut given = revocation.clone();
        if self.flaw == Flaw::Overflowing {
            given.until = given.until.wrapping_add(30);
        }
        let log = || self.log.lock();
        log().revoked.insert(given.key.clone(), given.clone());
        self.home.put(&given).await
    }

    async fn all(&self, now: i64) -> Result<Vec<Revocation>, Away> {
        let revoked: Vec<Revocation> = self.log.lock().revoked.values().cloned().collect();
        match self.flaw {
            Flaw::Unending => Ok(revoked),
            Flaw::LastWins => Ok(revoked.into_iter().filter(|one| one.until > now).collect()),
            Flaw::Paging => {
                let mut all = self.home.all(now).await?;
                all.truncate(1_000);
                Ok(all)
            }
            _ => self.home.all(now).await,
        }
    }
}
