//! What the headers of an answer say of limits, whoever wrote them: Discord, a proxy in between, or a fault.
//!
//! No number is believed that is negative, no number at all, or beyond a day. Knows no bucket and no clock.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

/// The longest wait that is believed.
const WAIT_MAX: Duration = Duration::from_hours(24);
/// Where a 429 says nothing at all, as with a page of a proxy in between.
const UNSAID: Duration = Duration::from_mins(1);
/// The least wait after a 429: it is never tried again at once.
const LEAST: Duration = Duration::from_millis(100);

/// The state of a bucket, as an answer tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// Discord's name for the bucket.
    pub(super) bucket: Option<String>,
    /// Calls in a window.
    pub(super) limit: u32,
    /// Calls that are left in this one.
    pub(super) remaining: u32,
    /// When the next begins.
    pub(super) reset_after: Duration,
}

/// Whose limit a 429 is (`X-RateLimit-Scope`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The bot's, for one bucket.
    User,
    /// The resource's, over all bots: no fault of ours.
    Shared,
    /// The bot's over everything, or the address's: whatever a proxy in between says.
    Global,
}

/// What a 429 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) scope: Scope,
    pub(super) wait: Duration,
}

/// Reads the limits of an answer, whatever its status; none where it does not say how many calls are left.
pub(super) fn said(headers: &HeaderMap) -> Option<Said> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
    let reset_after = headers.get("x-ratelimit-reset-after")?.to_str().ok()?;
    let bucket = headers.get("x-ratelimit-bucket");
    Some(Said {
        bucket: bucket.and_then(|name| Some(name.to_str().ok()?.to_owned())),
        limit: number("x-ratelimit-limit")?.max(1),
        remaining: number("x-ratelimit-remaining")?,
        reset_after: seconds(reset_after.trim().parse().ok()?)?,
    })
}

/// Reads a 429: its body says the wait exactly, its headers in whole seconds.
pub(super) fn too_many(headers: &HeaderMap, body: &str) -> TooMany {
    #[derive(Deserialize)]
    struct Limited {
        retry_after: f64,
        #[serde(default)]
        global: bool,
    }
    let limited = serde_json::from_str::<Limited>(body).ok();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| text(name).and_then(|text| text.trim().parse::<f64>().ok());
    let in_body = limited
        .as_ref()
        .and_then(|limited| seconds(limited.retry_after));
    let wait = in_body
        .or_else(|| number(RETRY_AFTER.as_str()).and_then(seconds))
        .or_else(|| number("x-ratelimit-reset-after").and_then(seconds))
        .unwrap_or(UNSAID);
    let is_global = text("x-ratelimit-global") == Some("true")
        || limited.as_ref().is_some_and(|limited| limited.global);
    let scope = match text("x-ratelimit-scope") {
        Some("shared") => Scope::Shared,
        Some("user") if !is_global => Scope::User,
        // Discord's own answer about a bucket, without its scope.
        None if !is_global && limited.is_some() && said(headers).is_some() => Scope::User,
        _ => Scope::Global,
    };
    TooMany {
        scope,
        wait: wait.max(LEAST),
    }
}

fn seconds(number: f64) -> Option<Duration> {
    let wait = Duration::try_from_secs_f64(number).ok()?;
    Some(wait.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    type Pairs<'a> = &'a [(&'static str, &'a str)];

    fn headers(pairs: Pairs<'_>) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn limits_are_read_without_a_scope_and_odd_numbers_say_nothing() {
        let of = |limit, remaining, reset_after| {
            said(&headers(&[
                ("x-ratelimit-limit", limit),
                ("x-ratelimit-remaining", remaining),
                ("x-ratelimit-reset-after", reset_after),
                ("x-ratelimit-bucket", "abc"),
            ]))
        };
        let read = of("5", "0", "1.25").unwrap();
        assert_eq!((read.limit, read.remaining), (5, 0));
        assert_eq!(read.reset_after, Duration::from_millis(1_250));
        assert_eq!(read.bucket.as_deref(), Some("abc"));
        assert_eq!(of("0", "0", "1").unwrap().limit, 1);
        assert_eq!(of("5", "1", "1e300").map(|said| said.reset_after), None);
        assert_eq!(of("5", "1", "1e9").unwrap().reset_after, WAIT_MAX);
        for odd in [
            ("-1", "0", "1"),
            ("5", "x", "1"),
            ("5", "1", "-1"),
            ("5", "1", "NaN"),
            ("5", "1", "inf"),
        ] {
            assert_eq!(of(odd.0, odd.1, odd.2), None, "{odd:?}");
        }
        assert_eq!(said(&HeaderMap::new()), None);
    }

    #[test]
    fn a_429_is_obeyed_whoever_wrote_it() {
        let bucket = [
            ("x-ratelimit-limit", "5"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset-after", "2"),
        ];
        let with = |more: &[(&'static str, &str)]| headers(&[&bucket, more].concat());
        let of = |headers: &HeaderMap, body: &str| {
            let TooMany { scope, wait } = too_many(headers, body);
            (scope, wait.as_millis())
        };
        let (user, body) = (
            with(&[("x-ratelimit-scope", "user")]),
            r#"{"retry_after":1.0}"#,
        );
        assert_eq!(of(&user, body), (Scope::User, 1_000));
        assert_eq!(of(&with(&[]), body), (Scope::User, 1_000));
        assert_eq!(
            of(&with(&[]), r#"{"retry_after":-1.0}"#),
            (Scope::User, 2_000)
        );
        let shared = with(&[("x-ratelimit-scope", "shared")]);
        assert_eq!(of(&shared, body), (Scope::Shared, 1_000));
        let global = r#"{"retry_after":1,"global":true}"#;
        assert_eq!(of(&user, global), (Scope::Global, 1_000));
        let unsaid = UNSAID.as_millis();
        let table: [(Pairs<'_>, &str, u128); 6] = [
            (
                &[("x-ratelimit-scope", "global"), ("retry-after", "1")],
                "{}",
                1_000,
            ),
            (&[("x-ratelimit-global", "true")], body, 1_000),
            (&[("retry-after", "1")], "<html>", 1_000),
            (&[("retry-after", "NaN")], "<html>", unsaid),
            (&[], "", unsaid),
            (&[("retry-after", "0")], "<html>", LEAST.as_millis()),
        ];
        for (pairs, body, wait) in table {
            assert_eq!(
                of(&headers(pairs), body),
                (Scope::Global, wait),
                "{pairs:?}"
            );
        }
    }
}
