//! An issuer's keys, fetched from `JWT_JWKS_URL` (RFC 7517), kept, and fetched again when a token names another one.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::Client;
use super::verifier::Verifier;

/// An unknown `kid` causes one fetch a minute at most (decisions.md, "Keys").
const FETCH_SPACING: Duration = Duration::from_mins(1);

/// A key that the issuer has withdrawn is forgotten after so long.
const AGE_MAX: Duration = Duration::from_mins(10);

/// The keys of an issuer. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Jwks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    url: String,
    client: Client,
    keys: RwLock<Arc<[Verifier]>>,
    /// When it was last tried, and when it last succeeded; held while it is fetched, so that all who wait share
    /// one answer.
    fetched: Mutex<Fetched>,
}

#[derive(Debug, Default)]
struct Fetched {
    tried: Option<Instant>,
    done: Option<Instant>,
}

impl Jwks {
    /// The keys at this address, none of which is known yet.
    pub(super) fn new(url: &str, client: Client) -> Self {
        Self(Arc::new(Shared {
            url: url.to_owned(),
            client,
            keys: RwLock::new(Arc::new([])),
            fetched: Mutex::default(),
        }))
    }

    /// The keys that are known.
    pub(super) fn keys(&self) -> Arc<[Verifier]> {
        self.0.keys.read().clone()
    }

    /// Fetches the keys, unless that was tried within the last minute.
    pub(super) async fn refresh(&self) {
        let mut fetched = self.0.fetched.lock().await;
        if fetched.tried.is_some_and(|at| at.elapsed() < FETCH_SPACING) {
            return;
        }
        fetched.tried = Some(Instant::now());
        match self.0.client.get::<Value>(&self.0.url, None).await {
            Ok(set) => {
                *self.0.keys.write() = verifiers(&set).into();
                fetched.done = Some(Instant::now());
            }
            Err(error) => tracing::warn!(%error, "the keys of JWT_JWKS_URL can't be fetched"),
        }
    }

    /// Fetches the keys if they are older than ten minutes.
    pub(super) async fn refresh_if_old(&self) {
        let is_old = {
            let Ok(fetched) = self.0.fetched.try_lock() else {
                return;
            };
            fetched.done.is_none_or(|at| at.elapsed() > AGE_MAX)
        };
        if is_old {
            self.refresh().await;
        }
    }
}

/// The keys of a set that sign and that we know the kind of: one that is odd does not spoil the others.
fn verifiers(set: &Value) -> Vec<Verifier> {
    let keys = set.get("keys").and_then(Value::as_array);
    let each = keys.into_iter().flatten().filter_map(|key| {
        let one = serde_json::json!({ "keys": [key] });
        let set: JwkSet = serde_json::from_value(one).ok()?;
        Verifier::of_jwk(set.keys.first()?)
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_that_do_not_sign_or_are_shared_secrets_verify_nothing() {
        let ec = json!({
            "kty": "EC", "crv": "P-256", "kid": "a",
            "x": "PCIhk4jV08YN0DnVfkt3EK3FM2WbTGDftH5pZlE_tF4",
            "y": "1VYeROYkfpd7bdnpO458yy3Oe4xpVldWi3GvH_P66-U",
        });
        let mut encrypts = ec.clone();
        encrypts["use"] = json!("enc");
        let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "b", "alg": "HS256" });
        let odd = json!({ "kty": "unknown" });
        let set = json!({ "keys": [odd, secret, encrypts, ec, 7] });
        assert_eq!(verifiers(&set).len(), 1);
        assert!(verifiers(&json!([])).is_empty());
    }
}
