//! A token's claims, and the viewer that they make.

use proto::{ChannelId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{AuthError, Keys};
use crate::access::{Embed, Grant};
use crate::limit::Spender;

/// Clocks of issuer and server may differ by this much (decisions.md, "Keys").
pub(super) const SKEW_SECONDS: i64 = 30;

/// The longest time from a login to a token that is renewed from it (decisions.md, "Expiry on an open socket").
const LOGIN_SECONDS_MAX: i64 = 30 * 24 * 60 * 60;

/// The claims of a token of ours.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Claims {
    /// The user, a snowflake as a string.
    pub discord_id: String,
    /// The name to show.
    pub username: String,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// What names this token alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// When the user logged in, in seconds since 1970 (the claim of `OpenID` Connect).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// The address of the account's mail, with `OAUTH_EMAIL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The account is a bot.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_bot: bool,
    /// The channels of an embed token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<String>>,
    /// The channels as far as the bot sees them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private: Option<bool>,
    /// Filled by [`Keys::sign`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Filled by [`Keys::sign`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
}

/// A viewer whose token is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Discord's id of the user.
    pub user: UserId,
    /// The name in the token.
    pub username: String,
    /// The token says that this is a bot.
    pub is_bot: bool,
    /// What the token grants.
    pub grant: Grant,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
    /// Who issued the token.
    pub issuer: Option<String>,
    /// When it was issued, in seconds since 1970; 0 where it does not say.
    pub issued: i64,
    /// When the user logged in, in seconds since 1970; as `issued` where it does not say.
    pub logged_in: i64,
    /// The address of the account's mail, where the token has it.
    pub email: Option<String>,
    /// What a revocation of this token alone names.
    pub token_key: String,
}

/// What a revocation names: a token, or all tokens of a user that were issued before a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// A token's key or a user's.
    pub key: String,
    /// In seconds since 1970: until then it is kept.
    pub until: i64,
    /// For a user's tokens: those issued before are void. 0 for a single token.
    pub not_before: i64,
}

impl Principal {
    /// Whose quota they spend.
    pub fn spender(&self) -> Spender<'_> {
        match self.grant {
            Grant::User(user) => Spender::User(user),
            Grant::Embed(_) => Spender::Embed(&self.token_key),
        }
    }

    /// The keys under which this token can be revoked: its own, and its user's.
    pub fn revocation_keys(&self) -> [String; 2] {
        [self.token_key.clone(), format!("user:{}", self.user)]
    }

    /// Whether this revocation is about this token.
    pub fn is_revoked_by(&self, revocation: &Revocation) -> bool {
        let [token, user] = self.revocation_keys();
        let is_older = self.issued < revocation.not_before;
        revocation.key == token || (revocation.key == user && is_older)
    }

    /// The revocation of this token alone, kept as long as its `exp` could let it in.
    pub fn revocation(&self) -> Revocation {
        Revocation {
            key: self.token_key.clone(),
            until: self.ends(),
            not_before: 0,
        }
    }

    /// The token may be renewed at this time (seconds since 1970).
    pub fn is_renewable(&self, now: i64) -> bool {
        let is_user = matches!(self.grant, Grant::User(_));
        is_user && self.expires > now && now - self.logged_in <= LOGIN_SECONDS_MAX
    }

    /// The viewer that a token names at this time (seconds since 1970).
    ///
    /// # Errors
    /// The first row of the contract's table that fits: signature, then claims, then time.
    pub fn of_token(keys: &Keys, token: &str, now: i64) -> Result<Self, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Required);
        }
        let claims = keys.open(token)?;
        Self::of_claims(&claims, Self::key_of(&claims, token), now)
    }

    /// What a revocation of a token alone names.
    pub(super) fn key_of(claims: &Value, token: &str) -> String {
        token_key(claims, claims.get("iss").and_then(Value::as_str), token)
    }

    /// The viewer of these claims, whose token has this key.
    pub(super) fn of_claims(
        claims: &Value,
        token_key: String,
        now: i64,
    ) -> Result<Self, AuthError> {
        let user = text(claims, "discord_id")?
            .parse()
            .map_err(|_| AuthError::Payload)?;
        let iss = claims.get("iss").and_then(Value::as_str);
        let issued = seconds(claims, "iat")?;
        let principal = Self {
            user,
            username: text(claims, "username")?.to_owned(),
            is_bot: claims.get("is_bot") == Some(&Value::Bool(true)),
            grant: grant(claims, user)?,
            expires: seconds(claims, "exp")?.ok_or(AuthError::Payload)?,
            token_key,
            issuer: iss.map(str::to_owned),
            issued: issued.unwrap_or(0),
            logged_in: seconds(claims, "auth_time")?.or(issued).unwrap_or(0),
            email: claims
                .get("email")
                .and_then(Value::as_str)
                .map(str::to_owned),
        };
        if seconds(claims, "nbf")?.is_some_and(|nbf| nbf > now + SKEW_SECONDS) {
            return Err(AuthError::Invalid);
        }
        if principal.ends() <= now {
            return Err(AuthError::Expired);
        }
        Ok(principal)
    }

    /// From this second on it counts as expired (seconds since 1970): clocks may differ.
    pub fn ends(&self) -> i64 {
        self.expires + SKEW_SECONDS
    }
}

/// A name for one token: 128 random bits.
pub fn token_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The key of a token: its issuer and `jti`, or else what it says and how it is signed, without the signature
/// (decisions.md, "Revocation"). Hashed, so that it has one length and tells nothing.
fn token_key(claims: &Value, issuer: Option<&str>, token: &str) -> String {
    let jti = claims.get("jti").and_then(Value::as_str);
    if let Some(jti) = jti.filter(|jti| !jti.is_empty()) {
        // A JSON array, so that no issuer and jti make another pair's text.
        let pair = Value::from(vec![Value::from(issuer), Value::from(jti)]);
        return format!("jti:{:x}", Sha256::digest(pair.to_string()));
    }
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    format!("token:{:x}", Sha256::digest(signed))
}

fn text<'a>(claims: &'a Value, name: &str) -> Result<&'a str, AuthError> {
    let value = claims.get(name).and_then(Value::as_str);
    value
        .filter(|text| !text.is_empty())
        .ok_or(AuthError::Payload)
}

/// A `NumericDate` (RFC 7519 §2): a number of seconds, possibly with a fraction.
fn seconds(claims: &Value, name: &str) -> Result<Option<i64>, AuthError> {
    /// The year 9999: beyond it no sum with a skew overflows, and no calendar ends.
    const SECONDS_MAX: f64 = 253_402_300_799.0;
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let number = value
        .as_f64()
        .filter(|n| n.is_finite() && *n >= 0.0)
        .ok_or(AuthError::Payload)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded on the line itself"
    )]
    Ok(Some(number.min(SECONDS_MAX) as i64))
}

fn grant(claims: &Value, user: UserId) -> Result<Grant, AuthError> {
    let Some(channels) = claims.get("channels") else {
        return Ok(Grant::User(user));
    };
    let ids = channels.as_array().ok_or(AuthError::Payload)?.iter();
    let ids = ids.map(|id| id.as_str()?.parse::<ChannelId>().ok());
    let is_private = match claims.get("private") {
        None => false,
        Some(private) => private.as_bool().ok_or(AuthError::Payload)?,
    };
    let channels = ids.collect::<Option<_>>().ok_or(AuthError::Payload)?;
    Ok(Grant::Embed(Embed {
        channels,
        is_private,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use runtime::Settings;
    use serde_json::json;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const NOW: i64 = 1_700_000_000;

    fn keys(more: &[(&'static str, &str)]) -> Keys {
        let mut settings = Settings::default();
        settings.set("JWT_SECRET", SECRET);
        for (name, value) in more {
            settings.set(name, *value);
        }
        Keys::from_settings(&settings).unwrap()
    }

    fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
    }

    fn claims() -> Value {
        json!({ "discord_id": "42", "username": "ada", "exp": NOW + 60 })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn answer(claims: &Value) -> Result<Principal, AuthError> {
        let token = signed(Algorithm::HS256, SECRET, claims);
        Principal::of_token(&keys(&[]), &token, NOW)
    }

    #[test]
    fn a_valid_token_names_its_viewer() {
        let principal = answer(&claims()).unwrap();
        let user = UserId::new(42).unwrap();
        assert_eq!((principal.user, principal.grant), (user, Grant::User(user)));
    }

    #[test]
    fn each_fault_has_its_row_of_the_table() {
        let table = [
            (with("exp", json!(NOW - 31)), AuthError::Expired),
            (with("exp", json!("soon")), AuthError::Payload),
            (with("exp", json!(null)), AuthError::Payload),
            (with("exp", json!(-1)), AuthError::Payload),
            (with("discord_id", json!(42)), AuthError::Payload),
            (with("discord_id", json!("x")), AuthError::Payload),
            (with("discord_id", json!("0")), AuthError::Payload),
            (
                with("discord_id", json!("9223372036854775808")),
                AuthError::Payload,
            ),
            (with("username", json!(null)), AuthError::Payload),
            (with("channels", json!("1")), AuthError::Payload),
            (with("channels", json!([1])), AuthError::Payload),
            (with("nbf", json!(NOW + 31)), AuthError::Invalid),
            (json!({}), AuthError::Payload),
            (json!([]), AuthError::Invalid),
        ];
        for (claims, error) in table {
            assert_eq!(answer(&claims), Err(error), "{claims}");
        }
        assert_eq!(
            Principal::of_token(&keys(&[]), "", NOW),
            Err(AuthError::Required)
        );
    }

    #[test]
    fn another_key_another_algorithm_and_no_signature_are_invalid() {
        let other = signed(
            Algorithm::HS256,
            "another secret of more than 32 bytes",
            &claims(),
        );
        let stronger = signed(Algorithm::HS512, SECRET, &claims());
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJkaXNjb3JkX2lkIjoiNDIifQ.";
        for token in [&other, &stronger, none, "a.b.c", "x"] {
            let answer = Principal::of_token(&keys(&[]), token, NOW);
            assert_eq!(answer, Err(AuthError::Invalid), "{token}");
        }
    }

    #[test]
    fn issuer_and_audience_are_checked_where_they_are_configured() {
        let keys = keys(&[("JWT_ISSUER", "us"), ("JWT_AUDIENCE", "page")]);
        let token = |iss: Value, aud: Value| {
            let mut claims = claims();
            claims["iss"] = iss;
            claims["aud"] = aud;
            signed(Algorithm::HS256, SECRET, &claims)
        };
        let good = token(json!("us"), json!(["other", "page"]));
        assert!(Principal::of_token(&keys, &good, NOW).is_ok());
        for (iss, aud) in [("them", "page"), ("us", "other")] {
            let bad = token(json!(iss), json!(aud));
            assert_eq!(
                Principal::of_token(&keys, &bad, NOW),
                Err(AuthError::Invalid)
            );
        }
    }

    #[test]
    fn an_older_secret_still_verifies_and_the_first_signs() {
        let both = format!("another secret of more than 32 bytes,{SECRET}");
        let keys = keys(&[("JWT_SECRET", &both)]);
        let token = signed(Algorithm::HS256, SECRET, &claims());
        assert!(Principal::of_token(&keys, &token, NOW).is_ok());
    }

    #[test]
    fn clocks_may_differ_by_half_a_minute() {
        assert!(answer(&with("exp", json!(NOW - 29))).is_ok());
    }

    #[test]
    fn a_token_is_revoked_by_its_jti_under_its_issuer_or_else_by_what_it_says() {
        let key = |claims: &Value| answer(claims).unwrap().token_key;
        let mut named = with("jti", json!("a"));
        let first = key(&named);
        named["username"] = json!("renamed");
        assert_eq!(key(&named), first);
        named["iss"] = json!("another issuer");
        assert_ne!(key(&named), first);
        assert_eq!(key(&claims()), key(&claims()));
        assert_ne!(key(&claims()), key(&with("exp", json!(NOW + 61))));
    }

    #[test]
    fn a_users_revocation_voids_what_was_issued_before_it_alone() {
        let revocation = |key: &str| Revocation {
            key: key.to_owned(),
            until: i64::MAX,
            not_before: NOW,
        };
        let issued = |at: i64| answer(&with("iat", json!(at))).unwrap();
        let table = [
            (NOW - 1, "user:42", true),
            (NOW, "user:42", false),
            (NOW - 1, "user:43", false),
        ];
        for (at, key, is_revoked) in table {
            assert_eq!(
                issued(at).is_revoked_by(&revocation(key)),
                is_revoked,
                "{at} {key}"
            );
        }
        let one = issued(NOW);
        assert!(one.is_revoked_by(&one.revocation()));
        assert!(!issued(NOW + 1).is_revoked_by(&one.revocation()));
    }

    #[test]
    fn a_token_is_renewed_for_thirty_days_after_the_login_and_an_embeds_never() {
        let day = 24 * 60 * 60;
        let table = [
            (with("auth_time", json!(NOW - 30 * day)), true),
            (with("auth_time", json!(NOW - 30 * day - 1)), false),
            (with("iat", json!(NOW - day)), true),
            (claims(), false),
            (with("exp", json!(NOW)), false),
        ];
        for (mut claims, is_renewable) in table {
            assert_eq!(
                answer(&claims).unwrap().is_renewable(NOW),
                is_renewable,
                "{claims}"
            );
            claims["channels"] = json!(["7"]);
            assert!(!answer(&claims).unwrap().is_renewable(NOW));
        }
    }
}
