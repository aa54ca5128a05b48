//! Rate limits as Discord keeps them: one bucket a route and top-level resource, one limit over everything, and the
//! count of requests that were invalid or came before the time that a 429 had named.
//! By default only reads are held to them, so that whoever drives the simulator with the bot's token never meets one.
//! <https://discord.com/developers/docs/topics/rate-limits>.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::RateScope;
use crate::refusal::Refusal;

/// How many requests a bucket lets through in a second: far more than Discord does, for nothing here depends on it.
const BUCKET_LIMIT: u32 = 1_000;
/// Discord's limit for a bot over all routes, in requests a second.
const GLOBAL_LIMIT: u32 = 50;
const SECOND: Duration = Duration::from_secs(1);
/// The longest window that may be set.
const WINDOW_SECONDS_MAX: f64 = 3_600.0;
/// How many windows and waits are remembered; those that are over go first.
const REMEMBERED_MAX: usize = 10_000;

/// A request, as limits see it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Method and route, ids left out: `GET /guilds/{}/members/{}`.
    pub(crate) route: String,
    /// The channel, guild or webhook that it is about.
    pub(crate) resource: String,
    /// Whether it changes nothing.
    pub(crate) is_read: bool,
}

impl Call {
    fn key(&self) -> String {
        format!("{} {}", self.route, self.resource)
    }
}

/// So many requests in so long.
#[derive(Clone, Copy, Debug)]
struct Rate {
    limit: u32,
    window: Duration,
}

/// A window that began with its first request.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    used: u32,
}

/// The body of `POST /sim/limits`; what is absent stays, and a limit of 0 is none.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct LimitsPatch {
    bucket_limit: Option<u32>,
    bucket_seconds: Option<f64>,
    global_limit: Option<u32>,
    global_seconds: Option<f64>,
    writes: Option<bool>,
}

/// What is left of a bucket: the headers of a reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Budget {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_after: Duration,
    pub(crate) bucket: String,
}

/// A request that comes too soon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limited {
    pub(crate) scope: RateScope,
    pub(crate) retry_after: Duration,
    pub(crate) budget: Budget,
}

/// All limits of the bot, and what was counted.
#[derive(Debug)]
pub(crate) struct Limits {
    bucket: Rate,
    global: Rate,
    holds_writes: bool,
    buckets: HashMap<String, Window>,
    total: Option<Window>,
    /// Until when a route was told to wait; the empty key is every route.
    waits: HashMap<String, Instant>,
    requests: BTreeMap<String, u64>,
    invalid: u64,
    too_early: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let rate = |limit| Rate {
            limit,
            window: SECOND,
        };
        Self {
            bucket: rate(BUCKET_LIMIT),
            global: rate(GLOBAL_LIMIT),
            holds_writes: false,
            buckets: HashMap::new(),
            total: None,
            waits: HashMap::new(),
            requests: BTreeMap::new(),
            invalid: 0,
            too_early: 0,
        }
    }
}

impl Limits {
    /// Sets the limits and forgets what was used of the old ones.
    pub(crate) fn patch(&mut self, patch: &LimitsPatch) -> Result<(), Refusal> {
        let seconds = |seconds: Option<f64>, old: Duration| match seconds {
            None => Ok(old),
            Some(seconds) if (0.001..=WINDOW_SECONDS_MAX).contains(&seconds) => {
                Ok(Duration::from_secs_f64(seconds))
            }
            Some(_) => Err(Refusal::Form(
                "seconds: must be between 0.001 and 3600".to_owned(),
            )),
        };
        let bucket_window = seconds(patch.bucket_seconds, self.bucket.window)?;
        let global_window = seconds(patch.global_seconds, self.global.window)?;
        self.bucket = Rate {
            limit: patch.bucket_limit.unwrap_or(self.bucket.limit),
            window: bucket_window,
        };
        self.global = Rate {
            limit: patch.global_limit.unwrap_or(self.global.limit),
            window: global_window,
        };
        self.holds_writes = patch.writes.unwrap_or(self.holds_writes);
        self.buckets.clear();
        self.total = None;
        Ok(())
    }

    /// Counts a request, and whether it came before the time that a 429 had named.
    pub(crate) fn count(&mut self, call: &Call, now: Instant) {
        *self.requests.entry(call.route.clone()).or_default() += 1;
        let waits = [String::new(), call.key()];
        let told = |key| self.waits.get(key).is_some_and(|until| now < *until);
        if self.is_held(call) && waits.iter().any(told) {
            self.too_early += 1;
        }
    }

    /// Lets a request through, or says how long to wait.
    pub(crate) fn admit(&mut self, call: &Call, now: Instant) -> Result<Budget, Limited> {
        self.forget(now);
        let (key, is_held) = (call.key(), self.is_held(call));
        let total = self.total.get_or_insert_with(|| Window::new(now));
        if is_held && let Err(retry_after) = total.take(self.global, now) {
            let budget = self.budget(call, now);
            return Err(Limited {
                scope: RateScope::Global,
                retry_after,
                budget,
            });
        }
        let window = self.buckets.entry(key).or_insert_with(|| Window::new(now));
        let taken = window.take(self.bucket, now);
        let budget = self.budget(call, now);
        match taken {
            Err(retry_after) if is_held => Err(Limited {
                scope: RateScope::User,
                retry_after,
                budget,
            }),
            _ => Ok(budget),
        }
    }

    /// Notes how long a 429 told a client to wait.
    pub(crate) fn told_to_wait(&mut self, call: &Call, scope: RateScope, until: Instant) {
        let key = match scope {
            RateScope::User | RateScope::Shared => call.key(),
            RateScope::Global | RateScope::Html | RateScope::Cloudflare => String::new(),
        };
        self.waits.insert(key, until);
    }

    /// Counts an answer that counts against the invalid-request budget: 401, 403, and 429 unless it is shared.
    pub(crate) fn note_invalid(&mut self) {
        self.invalid += 1;
    }

    /// The headers' view of a route's bucket.
    pub(crate) fn budget(&self, call: &Call, now: Instant) -> Budget {
        let window = self.buckets.get(&call.key());
        let (used, left) = window.map_or((0, self.bucket.window), |window| {
            (window.used, window.ends_in(self.bucket, now))
        });
        let limit = if self.bucket.limit == 0 {
            BUCKET_LIMIT
        } else {
            self.bucket.limit
        };
        Budget {
            limit,
            remaining: limit.saturating_sub(used),
            reset_after: left,
            bucket: bucket_name(&call.route),
        }
    }

    /// What `GET /sim/stats` says of requests: `rest`, `invalid`, `tooEarly`.
    pub(crate) fn stats(&self) -> [(&'static str, Value); 3] {
        [
            ("rest", json!(self.requests)),
            ("invalid", json!(self.invalid)),
            ("tooEarly", json!(self.too_early)),
        ]
    }

    fn is_held(&self, call: &Call) -> bool {
        call.is_read || self.holds_writes
    }

    fn forget(&mut self, now: Instant) {
        if self.buckets.len() > REMEMBERED_MAX {
            let window = self.bucket.window;
            self.buckets
                .retain(|_, bucket| now.duration_since(bucket.began) < window);
        }
        if self.waits.len() > REMEMBERED_MAX {
            self.waits.retain(|_, until| now < *until);
        }
    }
}

impl Window {
    fn new(began: Instant) -> Self {
        Self { began, used: 0 }
    }

    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        if now.duration_since(self.began) >= rate.window {
            *self = Self::new(now);
        }
        if rate.limit != 0 && self.used >= rate.limit {
            return Err(self.ends_in(rate, now));
        }
        self.used = self.used.saturating_add(1);
        Ok(())
    }

    fn ends_in(&self, rate: Rate, now: Instant) -> Duration {
        (self.began + rate.window).saturating_duration_since(now)
    }
}

/// A name that says nothing, as Discord's do, and is the same from start to start.
fn bucket_name(route: &str) -> String {
    // FNV-1a: <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>.
    let hash = route.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}{:016x}", hash.rotate_left(29))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(resource: &str, is_read: bool) -> Call {
        Call {
            route: "GET /channels/{}/messages".to_owned(),
            resource: resource.to_owned(),
            is_read,
        }
    }

    fn tight() -> Limits {
        let mut limits = Limits::default();
        let patch = json!({ "bucketLimit": 2, "bucketSeconds": 5, "globalLimit": 3 });
        limits
            .patch(&serde_json::from_value(patch).unwrap())
            .unwrap();
        limits
    }

    #[test]
    fn a_call_made_when_the_wait_is_over_succeeds_and_one_before_does_not() {
        let (mut limits, now) = (tight(), Instant::now());
        let call = call("1", true);
        assert_eq!(limits.admit(&call, now).unwrap().remaining, 1);
        assert_eq!(limits.admit(&call, now).unwrap().remaining, 0);
        let limited = limits.admit(&call, now).unwrap_err();
        assert_eq!(limited.scope, RateScope::User);
        assert_eq!(limited.retry_after, Duration::from_secs(5));
        let early = now + Duration::from_millis(4_999);
        assert!(limits.admit(&call, early).is_err());
        assert!(limits.admit(&call, now + limited.retry_after).is_ok());
    }

    #[test]
    fn buckets_are_apart_and_the_global_limit_is_over_them_all() {
        let (mut limits, now) = (tight(), Instant::now());
        for resource in ["1", "2", "3"] {
            assert!(limits.admit(&call(resource, true), now).is_ok());
        }
        let limited = limits.admit(&call("4", true), now).unwrap_err();
        assert_eq!(
            (limited.scope, limited.retry_after),
            (RateScope::Global, SECOND)
        );
        // Whoever drives the simulator is not held.
        assert!(limits.admit(&call("1", false), now).is_ok());
    }

    #[test]
    fn a_call_before_its_time_is_counted() {
        let (mut limits, now) = (tight(), Instant::now());
        let (told, other) = (call("1", true), call("2", true));
        limits.told_to_wait(&told, RateScope::User, now + SECOND);
        for call in [&told, &other] {
            limits.count(call, now);
            limits.count(call, now + SECOND);
        }
        assert_eq!(limits.too_early, 1);
        limits.told_to_wait(&told, RateScope::Global, now + SECOND);
        limits.count(&other, now);
        assert_eq!(limits.too_early, 2);
        assert_eq!(limits.requests["GET /channels/{}/messages"], 5);
    }
}
