//! The keys that verify tokens, and the one that signs them. Exactly one family: shared secrets, or a key pair.
//!
//! Each key has one algorithm, and a token's header must equal it, so that nobody signs an HS256 token with
//! the text of a public key.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use runtime::settings::{Settings, SettingsError, malformed};
use serde_json::Value;

use super::AuthError;
use super::token::Claims;

/// RFC 7518 §3.2: a key of at least the hash's length.
const SECRET_BYTES_MIN: usize = 32;

/// What verifies and signs. Clones are for each worker.
#[derive(Clone)]
pub struct Keys {
    verifiers: Vec<(Algorithm, DecodingKey)>,
    signer: Option<(Algorithm, EncodingKey)>,
    issuer: Option<String>,
    audience: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("verifiers", &self.verifiers.len())
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys that the settings name.
    ///
    /// # Errors
    /// None, both families, a short secret, or a key that can't be read.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingsError> {
        if settings.text("JWT_JWKS_URL").is_some() {
            return Err(malformed(
                "JWT_JWKS_URL",
                "nothing: this version reads JWT_SECRET or JWT_PUBLIC_KEY",
            ));
        }
        let (verifiers, signer) =
            match (settings.text("JWT_SECRET"), settings.text("JWT_PUBLIC_KEY")) {
                (Some(_), Some(_)) => {
                    return Err(SettingsError::Conflict("JWT_SECRET", "JWT_PUBLIC_KEY"));
                }
                (None, None) => return Err(SettingsError::Missing("JWT_SECRET")),
                (Some(secrets), None) => shared(secrets)?,
                (None, Some(public)) => pair(public, settings.text("JWT_PRIVATE_KEY"))?,
            };
        Ok(Self {
            verifiers,
            signer,
            issuer: settings.text("JWT_ISSUER").map(str::to_owned),
            audience: settings.text("JWT_AUDIENCE").map(str::to_owned),
        })
    }

    /// The claims of a token that one of the keys has signed, for the configured issuer and audience.
    pub(super) fn open(&self, token: &str) -> Result<Value, AuthError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Invalid)?;
        let fitting = self
            .verifiers
            .iter()
            .filter(|(algorithm, _)| *algorithm == header.alg);
        let mut opened = fitting.filter_map(|(algorithm, key)| {
            let data = jsonwebtoken::decode::<Value>(token, key, &signature_alone(*algorithm));
            data.ok().map(|data| data.claims)
        });
        let claims = opened.next().ok_or(AuthError::Invalid)?;
        if !self.is_for_us(&claims) {
            return Err(AuthError::Invalid);
        }
        Ok(claims)
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
        let (algorithm, key) = self.signer.as_ref()?;
        if self.issuer.is_some() {
            claims.iss.clone_from(&self.issuer);
        }
        claims.aud.clone_from(&self.audience);
        jsonwebtoken::encode(&Header::new(*algorithm), &claims, key).ok()
    }
}

type Family = (
    Vec<(Algorithm, DecodingKey)>,
    Option<(Algorithm, EncodingKey)>,
);

/// Comma-separated, so that a secret can be changed without refusing the tokens of the old one; the first signs.
fn shared(secrets: &str) -> Result<Family, SettingsError> {
    let secrets: Vec<_> = secrets.split(',').map(str::trim).collect();
    if secrets.iter().any(|secret| secret.len() < SECRET_BYTES_MIN) {
        return Err(malformed("JWT_SECRET", "secrets of at least 32 bytes"));
    }
    let keys = secrets
        .iter()
        .map(|s| (Algorithm::HS256, DecodingKey::from_secret(s.as_bytes())));
    let first = secrets
        .first()
        .map(|s| (Algorithm::HS256, EncodingKey::from_secret(s.as_bytes())));
    Ok((keys.collect(), first))
}

fn pair(public: &str, private: Option<&str>) -> Result<Family, SettingsError> {
    let pem = public.as_bytes();
    let rsa = DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
    let ec = || DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key));
    let ed = || DecodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
    let verifier = rsa.or_else(|_| ec()).or_else(|_| ed());
    let verifier = verifier.map_err(|_| malformed("JWT_PUBLIC_KEY", "a PEM public key"))?;
    let Some(private) = private else {
        return Ok((vec![verifier], None));
    };
    let pem = private.as_bytes();
    let signer = match verifier.0 {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(pem),
        Algorithm::ES256 => EncodingKey::from_ec_pem(pem),
        _ => EncodingKey::from_ed_pem(pem),
    };
    let signer =
        signer.map_err(|_| malformed("JWT_PRIVATE_KEY", "the PEM half of JWT_PUBLIC_KEY"))?;
    Ok((vec![verifier.clone()], Some((verifier.0, signer))))
}

/// Time, issuer, audience and shape are ours to check: each has its own answer in the table.
fn signature_alone(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
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
    fn no_key_two_families_and_what_is_no_key_stop_the_start() {
        let secret = "0123456789abcdef0123456789abcdef";
        let table: [&[(&'static str, &str)]; 5] = [
            &[],
            &[("JWT_SECRET", "short")],
            &[("JWT_SECRET", secret), ("JWT_PUBLIC_KEY", EC_PUBLIC)],
            &[("JWT_PUBLIC_KEY", "nonsense")],
            &[
                ("JWT_PUBLIC_KEY", EC_PUBLIC),
                ("JWT_PRIVATE_KEY", ED_PRIVATE),
            ],
        ];
        for settings in table {
            assert!(keys(settings).is_err(), "{settings:?}");
        }
    }
}
