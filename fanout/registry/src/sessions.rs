//! The seam of recovery sessions: opaque bytes under a name, which one owner at a time keeps alive.
//!
//! A session lives for a window after its owner last kept it. Whoever comes back takes it, and is its owner from
//! then on; the former owner learns that when it next renews. Who may take a session is the caller's to know: a
//! name holds whatever a stranger must not guess.

use std::time::Duration;

use async_trait::async_trait;

use crate::Away;

/// Keeps sessions. Each call is atomic.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Begins a session under a new name, with nothing asked about an older one of that name.
    ///
    /// # Errors
    /// The home is away: the session can't be recovered.
    async fn save(
        &self,
        pid: &str,
        owner: &str,
        value: &[u8],
        window: Duration,
    ) -> Result<(), Away>;

    /// Makes `new_owner` the owner, and tells what was kept; none where the window is over or nothing was kept.
    /// Of two who take at the same time both learn the value, and exactly one is the owner.
    ///
    /// # Errors
    /// The home is away.
    async fn take(
        &self,
        pid: &str,
        new_owner: &str,
        window: Duration,
    ) -> Result<Option<Vec<u8>>, Away>;

    /// Keeps a session for another window, with a new value if there is one. False: it is another owner's now.
    /// A session that the home has forgotten is kept again if the value is given.
    ///
    /// # Errors
    /// The home is away, or has forgotten the session and no value is given: it can't be recovered.
    async fn renew(
        &self,
        pid: &str,
        owner: &str,
        value: Option<&[u8]>,
        window: Duration,
    ) -> Result<bool, Away>;

    /// Ends a session, if this is its owner.
    ///
    /// # Errors
    /// The home is away.
    async fn drop(&self, pid: &str, owner: &str) -> Result<(), Away>;
}
