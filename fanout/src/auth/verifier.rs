//! One key that verifies signatures, with its one algorithm, and its name where it has one.

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse, ThumbprintHash,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::Value;

/// A key. A token's header must name its algorithm, and its `kid` if both have one.
#[derive(Clone)]
pub(super) struct Verifier {
    pub(super) kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// A shared secret.
    pub(super) fn of_secret(secret: &[u8]) -> Self {
        Self {
            kid: None,
            algorithm: Algorithm::HS256,
            key: DecodingKey::from_secret(secret),
        }
    }

    /// A public key in PEM: RSA, P-256 or Ed25519.
    pub(super) fn of_pem(pem: &[u8]) -> Option<Self> {
        let rsa = DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
        let ec = || DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key));
        let ed = || DecodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
        let (algorithm, key) = rsa.or_else(|_| ec()).or_else(|_| ed()).ok()?;
        Some(Self {
            kid: None,
            algorithm,
            key,
        })
    }

    /// A key of a set: the algorithm is the one that it names, or its kind's. Shared secrets have no place there.
    pub(super) fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let signs = jwk.common.public_key_use.as_ref();
        if signs.is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return None;
        }
        let fits = |named: KeyAlgorithm| {
            let is_named = jwk.common.key_algorithm;
            is_named.is_none_or(|own| own == named)
        };
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => match jwk.common.key_algorithm {
                None | Some(KeyAlgorithm::RS256) => Algorithm::RS256,
                Some(KeyAlgorithm::RS384) => Algorithm::RS384,
                Some(KeyAlgorithm::RS512) => Algorithm::RS512,
                Some(KeyAlgorithm::PS256) => Algorithm::PS256,
                Some(_) => return None,
            },
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 if fits(KeyAlgorithm::ES256) => Algorithm::ES256,
                EllipticCurve::P384 if fits(KeyAlgorithm::ES384) => Algorithm::ES384,
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(_) if fits(KeyAlgorithm::EdDSA) => Algorithm::EdDSA,
            _ => return None,
        };
        Some(Self {
            kid: jwk.common.key_id.clone(),
            algorithm,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }

    /// The public half of a signing key, named by its thumbprint (RFC 7638).
    pub(super) fn of_private(key: &EncodingKey, algorithm: Algorithm) -> Option<Self> {
        let jwk = Jwk::from_encoding_key(key, algorithm).ok()?;
        Some(Self {
            kid: Some(jwk.thumbprint(ThumbprintHash::SHA256).ok()?),
            algorithm,
            key: DecodingKey::from_jwk(&jwk).ok()?,
        })
    }

    /// The claims of a token that this key has signed.
    pub(super) fn open(&self, token: &str, header: &Header) -> Option<Value> {
        let is_named = match (&self.kid, &header.kid) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        };
        if header.alg != self.algorithm || !is_named {
            return None;
        }
        let data = jsonwebtoken::decode::<Value>(token, &self.key, &self.signature_alone());
        data.ok().map(|data| data.claims)
    }

    /// Time, issuer, audience and shape are looked at elsewhere: each has its own answer in the contract's table.
    fn signature_alone(&self) -> Validation {
        let mut validation = Validation::new(self.algorithm);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        validation
    }
}
