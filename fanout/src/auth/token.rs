//! A token's claims, and the viewer that they make.

use proto::{ChannelId, UserId};
use serde::Serialize;
use serde_json::Value;

use super::{AuthError, Keys};
use crate::access::{Embed, Grant};

/// Clocks of issuer and server may differ by this much (decisions.md, "Keys").
const SKEW_SECONDS: i64 = 30;

/// The claims of a token of ours.
#[derive(Debug, Clone, Serialize)]
pub struct Claims {
    /// The user, a snowflake as a string.
    pub discord_id: String,
    /// The name to show.
    pub username: String,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
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
}

impl Principal {
    /// The viewer that a token names at this time (seconds since 1970).
    ///
    /// # Errors
    /// The first row of the contract's table that fits: signature, then claims, then time.
    pub fn of_token(keys: &Keys, token: &str, now: i64) -> Result<Self, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Required);
        }
        let claims = keys.open(token)?;
        let user = text(&claims, "discord_id")?
            .parse()
            .map_err(|_| AuthError::Payload)?;
        let principal = Self {
            user,
            username: text(&claims, "username")?.to_owned(),
            is_bot: claims.get("is_bot") == Some(&Value::Bool(true)),
            grant: grant(&claims, user)?,
            expires: seconds(&claims, "exp")?.ok_or(AuthError::Payload)?,
            issuer: claims.get("iss").and_then(Value::as_str).map(str::to_owned),
        };
        if seconds(&claims, "nbf")?.is_some_and(|nbf| nbf > now + SKEW_SECONDS) {
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
}
