//! Who the bearer of a token is, everything considered: what verifies it, and whether it still holds.

use std::sync::Arc;

use serde_json::Value;

use super::{AuthError, Keys, Principal, Revocations};

/// What every entrance asks. Cheap to clone; all workers share it.
#[derive(Debug, Clone)]
pub struct Authority {
    keys: Arc<Keys>,
    revocations: Revocations,
}

impl Authority {
    /// An authority over these keys, for whom nothing is revoked yet.
    pub fn new(keys: Keys) -> Self {
        Self {
            keys: Arc::new(keys),
            revocations: Revocations::default(),
        }
    }

    /// The viewer that a token names at this time (seconds since 1970). An issuer's keys may have to be fetched.
    ///
    /// # Errors
    /// A row of the contract's table.
    pub async fn open(&self, token: &str, now: i64) -> Result<Principal, AuthError> {
        self.open_with_claims(token, now)
            .await
            .map(|(principal, _)| principal)
    }

    /// As [`Self::open`], with what the token says.
    pub(super) async fn open_with_claims(
        &self,
        token: &str,
        now: i64,
    ) -> Result<(Principal, Value), AuthError> {
        if token.is_empty() {
            return Err(AuthError::Required);
        }
        let claims = self.keys.open_fetching(token).await?;
        let principal = Principal::of_claims(&claims, Principal::key_of(&claims, token), now)?;
        Ok((self.still(principal)?, claims))
    }

    /// The viewer, if nobody has taken their token back meanwhile.
    ///
    /// # Errors
    /// Somebody has.
    pub fn still(&self, principal: Principal) -> Result<Principal, AuthError> {
        if self.revocations.is_revoked(&principal) {
            return Err(AuthError::Revoked);
        }
        Ok(principal)
    }

    /// What signs and verifies.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What was taken back.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }
}
