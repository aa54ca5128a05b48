//! The seam of revocations: which keys are void, until when, and of a user since when.

use async_trait::async_trait;

use crate::Away;

/// A key that is void.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revocation {
    /// What is revoked; opaque here.
    pub key: String,
    /// Seconds since 1970: kept until then.
    pub until: i64,
    /// Seconds since 1970: what was issued before is void. 0 where the key alone says what is.
    pub not_before: i64,
}

/// A cache of revocations. Each call is atomic.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Adds a revocation. Of two of one key the later times hold.
    ///
    /// # Errors
    /// The home is away.
    async fn put(&self, revocation: &Revocation) -> Result<(), Away>;

    /// All that hold at a time (seconds since 1970), in no order.
    ///
    /// # Errors
    /// The home is away.
    async fn all(&self, now: i64) -> Result<Vec<Revocation>, Away>;
}
