//! The seam of limits: events that are spent, and slots that are held.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Away, Quota};

/// Whether something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may, and it is counted.
    Allowed,
    /// It may not, and nothing is counted.
    Refused {
        /// Of an event: after so long, and not before, one passes, unless another one takes it. Of a slot: until
        /// the oldest one ends by itself; held ones are renewed, so that it may be refused again.
        retry_after: Duration,
    },
}

impl Verdict {
    /// It may.
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

/// A slot, by the key that it is held under and its own name.
pub type Slot = (String, String);

/// Counts over everybody who shares a home. Each call is atomic.
#[async_trait]
pub trait Limiter: Send + Sync {
    /// Spends one event of a key's quota.
    ///
    /// # Errors
    /// The home is away.
    async fn spend(&self, key: &str, quota: Quota) -> Result<Verdict, Away>;

    /// Takes a slot under a key, of which at most `max` are held at a time. Taking one's own slot again renews it.
    ///
    /// # Errors
    /// The home is away.
    async fn hold(&self, key: &str, slot: &str, max: u32) -> Result<Verdict, Away>;

    /// Goes on holding slots, also such as the home has forgotten, and also beyond a maximum.
    ///
    /// # Errors
    /// The home is away.
    async fn renew(&self, slots: &[Slot]) -> Result<(), Away>;

    /// Gives a slot back.
    ///
    /// # Errors
    /// The home is away.
    async fn release(&self, key: &str, slot: &str) -> Result<(), Away>;
}
