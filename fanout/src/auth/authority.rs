//! Who the bearer of a token is, everything considered: what verifies it, and whether it still holds.

use super::{AuthError, Keys, Principal};

/// What every entrance asks. Cheap to clone; all workers share it.
#[derive(Debug, Clone)]
pub struct Authority {
    keys: Keys,
}

impl Authority {
    /// An authority over these keys.
    pub fn new(keys: Keys) -> Self {
        Self { keys }
    }

    /// The viewer that a token names at this time (seconds since 1970).
    ///
    /// # Errors
    /// A row of the contract's table.
    #[expect(clippy::unused_async, reason = "a key may have to be fetched")]
    pub async fn open(&self, token: &str, now: i64) -> Result<Principal, AuthError> {
        Principal::of_token(&self.keys, token, now)
    }
}
