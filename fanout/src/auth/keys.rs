//! The keys that verify tokens, and the one that signs them. Exactly one family: shared secrets, or key pairs.
//!
//! Each key has one algorithm, and a token's header must equal it, so that nobody signs an HS256 token with
//! the text of a public key. What a header says of where keys are (`jku`, `x5u`) is not read.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use runtime::settings::{Settings, SettingsError, malformed};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::AuthError;
use super::client::Client;
use super::jwks::Jwks;
use super::token::Claims;
use super::verifier::Verifier;

/// RFC 7518 §3.2: a key of at least the hash's length.
const SECRET_BYTES_MIN: usize = 32;

/// What verifies and signs. Clones are for each worker.
#[derive(Clone)]
pub struct Keys {
    verifiers: Vec<Verifier>,
    jwks: Option<Jwks>,
    signer: Option<Signer>,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Clone)]
struct Signer {
    header: Header,
    key: EncodingKey,
    /// A hash of the signing secret, from which other keys of ours are made.
    seed: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("verifiers", &self.verifiers.len())
            .field("jwks", &self.jwks.is_some())
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys that the settings name.
    ///
    /// # Errors
    /// None, both families, a short secret, or a key that can't be read.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingsError> {
        const PAIRS: [&str; 3] = ["JWT_PUBLIC_KEY", "JWT_JWKS_URL", "JWT_PRIVATE_KEY"];
        let pair = PAIRS.into_iter().find(|name| settings.text(name).is_some());
        let (verifiers, signer) = match (settings.text("JWT_SECRET"), pair) {
            (Some(_), Some(name)) => return Err(SettingsError::Conflict("JWT_SECRET", name)),
            (None, None) => return Err(SettingsError::Missing("JWT_SECRET")),
            (Some(secrets), None) => shared(secrets)?,
            (None, Some(_)) => pairs(settings)?,
        };
        Ok(Self {
            verifiers,
            jwks: jwks(settings)?,
            signer,
            issuer: settings.text("JWT_ISSUER").map(str::to_owned),
            audience: settings.text("JWT_AUDIENCE").map(str::to_owned),
        })
    }

    /// The claims of a token that one of the known keys has signed, for the configured issuer and audience.
    pub(super) fn open(&self, token: &str) -> Result<Value, AuthError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Invalid)?;
        // Extensions that must be understood, of which none is (RFC 7515 §4.1.11).
        if header.crit.is_some() {
            return Err(AuthError::Invalid);
        }
        let fetched = self.jwks.as_ref().map(Jwks::keys).unwrap_or_default();
        let mut all = self.verifiers.iter().chain(fetched.iter());
        let claims = all.find_map(|verifier| verifier.open(token, &header));
        claims
            .filter(|claims| self.is_for_us(claims))
            .ok_or(AuthError::Invalid)
    }

    /// As [`Self::open`], after the issuer was asked for a key that is not known yet.
    pub(super) async fn open_fetching(&self, token: &str) -> Result<Value, AuthError> {
        let Some(jwks) = &self.jwks else {
            return self.open(token);
        };
        jwks.refresh_if_old().await;
        let opened = self.open(token);
        if opened.is_err() && self.is_of_another_key(token, jwks) {
            jwks.refresh().await;
            return self.open(token);
        }
        opened
    }

    fn is_of_another_key(&self, token: &str, jwks: &Jwks) -> bool {
        let header = jsonwebtoken::decode_header(token).ok();
        let Some(kid) = header.and_then(|header| header.kid) else {
            return false;
        };
        let is_known = |verifier: &Verifier| verifier.kid.as_deref() == Some(&kid);
        !self.verifiers.iter().any(is_known) && !jwks.keys().iter().any(is_known)
    }

    fn is_for_us(&self, claims: &Value) -> bool {
        let is = |claim: Option<&Value>, wanted: &str| match claim {
            Some(Value::Array(all)) => all.iter().any(|one| one == wanted),
            Some(one) => one == wanted,
            None => false,
        };
        let fits = |wanted: &Option<String>, claim: &str| {
            wanted
                .as_deref()
                .is_none_or(|wanted| is(claims.get(claim), wanted))
        };
        fits(&self.issuer, "iss") && fits(&self.audience, "aud")
    }

    /// Signs claims, with the configured issuer and audience; none without a signing key.
    pub fn sign(&self, mut claims: Claims) -> Option<String> {
        let signer = self.signer.as_ref()?;
        if self.issuer.is_some() {
            claims.iss.clone_from(&self.issuer);
        }
        claims.aud.clone_from(&self.audience);
        jsonwebtoken::encode(&signer.header, &claims, &signer.key).ok()
    }

    /// There is a key that signs.
    pub fn can_sign(&self) -> bool {
        self.signer.is_some()
    }

    /// A secret for this purpose, the same on all instances; none without a signing key.
    pub(crate) fn derived(&self, purpose: &str) -> Option<[u8; 32]> {
        let signer = self.signer.as_ref()?;
        let digest = Sha256::new()
            .chain_update(signer.seed)
            .chain_update(purpose)
            .finalize();
        Some(digest.into())
    }
}

type Family = (Vec<Verifier>, Option<Signer>);

/// Comma-separated, so that a secret can be changed without refusing the tokens of the old one; the first signs.
fn shared(secrets: &str) -> Result<Family, SettingsError> {
    let secrets: Vec<_> = secrets.split(',').map(str::trim).collect();
    if secrets.iter().any(|secret| secret.len() < SECRET_BYTES_MIN) {
        return Err(malformed("JWT_SECRET", "secrets of at least 32 bytes"));
    }
    let verifiers = secrets.iter().map(|s| Verifier::of_secret(s.as_bytes()));
    let signer = secrets.first().map(|secret| Signer {
        header: Header::new(Algorithm::HS256),
        key: EncodingKey::from_secret(secret.as_bytes()),
        seed: Sha256::digest(secret).into(),
    });
    Ok((verifiers.collect(), signer))
}

/// A public key of an issuer's, and a private one of ours whose public half verifies too, under its own name.
fn pairs(settings: &Settings) -> Result<Family, SettingsError> {
    let mut verifiers = Vec::new();
    if let Some(pem) = settings.text("JWT_PUBLIC_KEY") {
        let verifier = Verifier::of_pem(pem.as_bytes());
        verifiers.push(verifier.ok_or_else(|| malformed("JWT_PUBLIC_KEY", "a PEM public key"))?);
    }
    let Some(pem) = settings.text("JWT_PRIVATE_KEY") else {
        return Ok((verifiers, None));
    };
    let (signer, own) =
        private(pem.as_bytes()).ok_or_else(|| malformed("JWT_PRIVATE_KEY", "a PEM private key"))?;
    verifiers.push(own);
    Ok((verifiers, Some(signer)))
}

fn private(pem: &[u8]) -> Option<(Signer, Verifier)> {
    let rsa = EncodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
    let ec = || EncodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key));
    let ed = || EncodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
    let (algorithm, key) = rsa.or_else(|_| ec()).or_else(|_| ed()).ok()?;
    let verifier = Verifier::of_private(&key, algorithm)?;
    let header = Header {
        kid: verifier.kid.clone(),
        ..Header::new(algorithm)
    };
    let seed = Sha256::digest(pem).into();
    Some((Signer { header, key, seed }, verifier))
}

fn jwks(settings: &Settings) -> Result<Option<Jwks>, SettingsError> {
    let Some(url) = settings.text("JWT_JWKS_URL") else {
        return Ok(None);
    };
    let expected = || malformed("JWT_JWKS_URL", "an http or https URL");
    let parsed = url::Url::parse(url).map_err(|_| expected())?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(expected());
    }
    let client = Client::new().map_err(|_| expected())?;
    Ok(Some(Jwks::new(url, client)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for this test alone: P-256 and Ed25519.
    const PAIRS: [(&str, &str); 2] = [(EC_PRIVATE, EC_PUBLIC), (ED_PRIVATE, ED_PUBLIC)];
    const EC_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgLdx7UoIm9CG7w5qh
s+gJWL5u6MrfBXVGS3ui0A1/namhRANCAAQ8IiGTiNXTxg3QOdV+S3cQrcUzZZtM
YN+0fmlmUT+0XtVWHkTmJH6Xe23Z6TuOfMstznuMaVZXVotxrx/z+uvl
-----END PRIVATE KEY-----
";
    const EC_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPCIhk4jV08YN0DnVfkt3EK3FM2Wb
TGDftH5pZlE/tF7VVh5E5iR+l3tt2ek7jnzLLc57jGlWV1aLca8f8/rr5Q==
-----END PUBLIC KEY-----
";
    const ED_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEILqWk+qPTAFj4wg8+uIJvggWNpu0aBmGUq1mq5OMekO0
-----END PRIVATE KEY-----
";
    const ED_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAbLQ+VPfxL1GQ85CRx4OvxnqsneOTJqmUNLSCjQC7GJU=
-----END PUBLIC KEY-----
";

    fn keys(settings: &[(&'static str, &str)]) -> Result<Keys, SettingsError> {
        let mut all = Settings::default();
        for (name, value) in settings {
            all.set(name, *value);
        }
        Keys::from_settings(&all)
    }

    fn claims() -> Claims {
        Claims {
            discord_id: "42".into(),
            username: "ada".into(),
            exp: 1,
            ..Claims::default()
        }
    }

    #[test]
    fn a_pair_verifies_what_it_signs_and_nothing_that_another_signs() {
        for (private, public) in PAIRS {
            let pair = [("JWT_PRIVATE_KEY", private), ("JWT_PUBLIC_KEY", public)];
            let pair = keys(&pair).unwrap();
            let token = pair.sign(claims()).unwrap();
            assert_eq!(pair.open(&token).unwrap()["discord_id"], "42");
            for (_, other) in PAIRS.into_iter().filter(|(_, other)| *other != public) {
                let other = keys(&[("JWT_PUBLIC_KEY", other)]).unwrap();
                assert_eq!(other.open(&token), Err(AuthError::Invalid));
            }
        }
    }

    #[test]
    fn the_text_of_a_public_key_signs_nothing() {
        let forged = keys(&[("JWT_SECRET", EC_PUBLIC)])
            .unwrap()
            .sign(claims())
            .unwrap();
        let verifier = keys(&[("JWT_PUBLIC_KEY", EC_PUBLIC)]).unwrap();
        assert_eq!(verifier.open(&forged), Err(AuthError::Invalid));
        assert!(verifier.sign(claims()).is_none());
    }

    #[test]
    fn the_public_half_of_our_own_key_verifies_beside_an_issuers() {
        let both = [
            ("JWT_PRIVATE_KEY", ED_PRIVATE),
            ("JWT_PUBLIC_KEY", EC_PUBLIC),
        ];
        let both = keys(&both).unwrap();
        let own = both.sign(claims()).unwrap();
        assert!(both.open(&own).is_ok());
        let issuers = keys(&[("JWT_PRIVATE_KEY", EC_PRIVATE)]).unwrap();
        let theirs = issuers.sign(claims()).unwrap();
        assert!(both.open(&theirs).is_ok());
        // Under another name it is another key.
        let header = jsonwebtoken::decode_header(&own).unwrap();
        assert!(header.kid.is_some());
        let renamed = Header {
            kid: Some("another".into()),
            ..header
        };
        let key = EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).unwrap();
        let forged = jsonwebtoken::encode(&renamed, &claims(), &key).unwrap();
        assert_eq!(both.open(&forged), Err(AuthError::Invalid));
    }

    #[test]
    fn a_header_that_asks_for_what_nobody_understands_is_refused() {
        let secret = "0123456789abcdef0123456789abcdef";
        let keys = keys(&[("JWT_SECRET", secret)]).unwrap();
        let header = Header {
            crit: Some(vec!["exp".into()]),
            ..Header::default()
        };
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
        assert_eq!(keys.open(&token), Err(AuthError::Invalid));
        let plain = jsonwebtoken::encode(&Header::default(), &claims(), &key).unwrap();
        assert!(keys.open(&plain).is_ok());
    }

    #[test]
    fn other_keys_of_ours_follow_from_the_one_that_signs() {
        let secret = |secret: &str| keys(&[("JWT_SECRET", secret)]).unwrap();
        let first = "0123456789abcdef0123456789abcdef";
        let rotated = format!("{first},another secret of more than 32 bytes");
        let (one, two) = (secret(first), secret(&rotated));
        assert_eq!(one.derived("cookie"), two.derived("cookie"));
        assert_ne!(one.derived("cookie"), one.derived("another"));
        assert!(
            keys(&[("JWT_PUBLIC_KEY", EC_PUBLIC)])
                .unwrap()
                .derived("cookie")
                .is_none()
        );
    }

    #[test]
    fn no_key_two_families_and_what_is_no_key_stop_the_start() {
        let secret = "0123456789abcdef0123456789abcdef";
        let table: [&[(&'static str, &str)]; 7] = [
            &[],
            &[("JWT_SECRET", "short")],
            &[("JWT_SECRET", secret), ("JWT_PUBLIC_KEY", EC_PUBLIC)],
            &[("JWT_PUBLIC_KEY", "nonsense")],
            &[
                ("JWT_SECRET", secret),
                ("JWT_JWKS_URL", "https://a.example"),
            ],
            &[("JWT_PRIVATE_KEY", EC_PUBLIC)],
            &[("JWT_JWKS_URL", "file:///etc/passwd")],
        ];
        for settings in table {
            assert!(keys(settings).is_err(), "{settings:?}");
        }
    }
}
