//! Codes and tokens of people who have logged in: a code is used once and soon, a token belongs to one authorization.
//! Pure but for the randomness of the tokens; the time is given. <https://datatracker.ietf.org/doc/html/rfc6749>.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::snowflake::Snowflake;

/// How long a code waits to be used: RFC 6749, section 4.1.2, recommends at most ten minutes.
const CODE_LIFE: Duration = Duration::from_mins(10);
/// How long an access token lives: Discord's week.
pub(super) const TOKEN_LIFE: Duration = Duration::from_hours(7 * 24);
/// How many codes, and how many authorizations, are kept; the next one past it drops all that ran out, or else all.
const KEPT_MAX: usize = 10_000;

/// How the one who asked for a code proves to be the one who uses it: RFC 7636.
#[derive(Clone, Debug)]
pub(crate) enum Challenge {
    Plain(String),
    Sha256(String),
}

/// What somebody agreed to.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) scopes: Vec<String>,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: Option<Challenge>,
}

/// Who a token is of, and what it may read.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) user_id: Snowflake,
    pub(crate) scopes: Vec<String>,
    pub(crate) until: Instant,
}

impl Grant {
    pub(crate) fn allows(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }
}

/// The two tokens of an authorization.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) scope: String,
}

#[derive(Debug)]
struct Code {
    user_id: Snowflake,
    wish: Wish,
    until: Instant,
}

#[derive(Debug)]
struct Authorization {
    grant: Grant,
    refresh: String,
}

/// All logins. Codes by themselves, authorizations by their access token.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    codes: HashMap<String, Code>,
    authorizations: HashMap<String, Authorization>,
}

impl Logins {
    /// A code for somebody who agreed.
    pub(crate) fn open(&mut self, user_id: Snowflake, wish: Wish, now: Instant) -> String {
        if self.codes.len() >= KEPT_MAX {
            self.codes.retain(|_, code| now < code.until);
        }
        if self.codes.len() >= KEPT_MAX {
            self.codes.clear();
        }
        let name = secret();
        let until = now + CODE_LIFE;
        let code = Code {
            user_id,
            wish,
            until,
        };
        self.codes.insert(name.clone(), code);
        name
    }

    /// Tokens for a code. It is used up even if it does not fit: whoever guesses has one guess.
    pub(crate) fn redeem(
        &mut self,
        code: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
        now: Instant,
    ) -> Option<Tokens> {
        let code = self.codes.remove(code)?;
        let is_proven = match &code.wish.challenge {
            None => true,
            Some(challenge) => verifier.is_some_and(|verifier| challenge.is_met(verifier)),
        };
        if now >= code.until || code.wish.redirect_uri != redirect_uri || !is_proven {
            return None;
        }
        Some(self.authorize(code.user_id, code.wish.scopes, now))
    }

    /// New tokens for the old refresh token, which is used up.
    pub(crate) fn refresh(&mut self, token: &str, now: Instant) -> Option<Tokens> {
        let access = self.access_of(token)?;
        let old = self.authorizations.remove(&access)?;
        Some(self.authorize(old.grant.user_id, old.grant.scopes, now))
    }

    /// Ends the authorization that a token of either kind belongs to.
    pub(crate) fn revoke(&mut self, token: &str) {
        let access = self.access_of(token).unwrap_or_else(|| token.to_owned());
        self.authorizations.remove(&access);
    }

    pub(crate) fn grant(&self, access: &str, now: Instant) -> Option<Grant> {
        let authorization = self.authorizations.get(access)?;
        (now < authorization.grant.until).then(|| authorization.grant.clone())
    }

    fn access_of(&self, refresh: &str) -> Option<String> {
        let mut all = self.authorizations.iter();
        all.find(|(_, authorization)| authorization.refresh == refresh)
            .map(|(access, _)| access.clone())
    }

    fn authorize(&mut self, user_id: Snowflake, scopes: Vec<String>, now: Instant) -> Tokens {
        if self.authorizations.len() >= KEPT_MAX {
            self.authorizations.retain(|_, kept| now < kept.grant.until);
        }
        if self.authorizations.len() >= KEPT_MAX {
            self.authorizations.clear();
        }
        let tokens = Tokens {
            access: secret(),
            refresh: secret(),
            scope: scopes.join(" "),
        };
        let grant = Grant {
            user_id,
            scopes,
            until: now + TOKEN_LIFE,
        };
        let refresh = tokens.refresh.clone();
        self.authorizations
            .insert(tokens.access.clone(), Authorization { grant, refresh });
        tokens
    }
}

impl Challenge {
    fn is_met(&self, verifier: &str) -> bool {
        match self {
            Self::Plain(challenge) => challenge == verifier,
            Self::Sha256(challenge) => {
                *challenge == BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
            }
        }
    }
}

fn secret() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn opened(logins: &mut Logins, now: Instant) -> String {
        let wish = Wish {
            scopes: vec!["identify".to_owned()],
            redirect_uri: "http://a/b".to_owned(),
            challenge: Some(Challenge::Sha256(CHALLENGE.to_owned())),
        };
        logins.open(Snowflake::at(0, 1), wish, now)
    }

    #[test]
    fn a_code_is_good_once_for_ten_minutes_with_its_address_and_its_verifier() {
        let (mut logins, now) = (Logins::default(), Instant::now());
        let soon = now + CODE_LIFE.saturating_sub(Duration::from_millis(1));
        let right = ("http://a/b", Some(VERIFIER));
        for (uri, verifier, at, is_good) in [
            (right.0, right.1, soon, true),
            (right.0, right.1, now + CODE_LIFE, false),
            ("http://a/c", right.1, soon, false),
            (right.0, Some("another"), soon, false),
            (right.0, None, soon, false),
        ] {
            let code = opened(&mut logins, now);
            let tokens = logins.redeem(&code, uri, verifier, at);
            assert_eq!(tokens.is_some(), is_good, "{uri} {verifier:?}");
            assert!(logins.redeem(&code, right.0, right.1, soon).is_none());
        }
    }

    #[test]
    fn a_refresh_replaces_both_tokens_and_a_revocation_ends_both() {
        let (mut logins, now) = (Logins::default(), Instant::now());
        let code = opened(&mut logins, now);
        let first = logins
            .redeem(&code, "http://a/b", Some(VERIFIER), now)
            .unwrap();
        assert!(logins.grant(&first.access, now).is_some());
        assert!(logins.grant(&first.access, now + TOKEN_LIFE).is_none());
        let second = logins.refresh(&first.refresh, now).unwrap();
        assert!(logins.refresh(&first.refresh, now).is_none());
        assert!(logins.grant(&first.access, now).is_none());
        logins.revoke(&second.refresh);
        assert!(logins.grant(&second.access, now).is_none());
    }
}
