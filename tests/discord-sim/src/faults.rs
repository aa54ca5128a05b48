//! Faults on demand: what goes wrong, for how long, for how many requests.
//! Those of one connection are orders to its line; those of the whole service are kept here until they run out.

use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::gateway::line::{Lines, Order};
use crate::limits::Call;
use crate::refusal::Refusal;

/// How long a fault lasts that says neither `seconds` nor `count`.
const DEFAULT_SECONDS: f64 = 10.0;
/// The longest that a fault may last.
const SECONDS_MAX: f64 = 24.0 * 60.0 * 60.0;
/// The longest delay, and the longest wait that a 429 names.
const LONGEST_MS: u64 = 600_000;
/// A port on which nothing listens: tcpmux, given up decades ago.
const DEAD_URL: &str = "ws://127.0.0.1:1/gateway";

/// The body of `POST /sim/faults`.
#[derive(Debug, Deserialize)]
pub(crate) struct FaultRequest {
    kind: FaultKind,
    seconds: Option<f64>,
    count: Option<u32>,
    #[serde(default)]
    resumable: bool,
    code: Option<u16>,
    /// Whose connections a fault of connections befalls; none: all.
    shard: Option<u64>,
    scope: Option<RateScope>,
    ms: Option<u64>,
    /// Which REST requests a fault befalls: those whose method and route begin so (`GET /guilds/{}/members`); none: all.
    route: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FaultKind {
    Reconnect,
    InvalidSession,
    Drop,
    Refuse,
    Silence,
    Zombie,
    NoHello,
    DeadResumeUrl,
    Close,
    #[serde(rename = "rest_429")]
    Rest429,
    #[serde(rename = "rest_5xx")]
    Rest5xx,
    Slow,
}

/// Whose limit a 429 is. `html` and `cloudflare` are answers of the proxy in front of Discord, without JSON and without
/// the headers of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RateScope {
    User,
    Shared,
    Global,
    Html,
    Cloudflare,
}

/// What happens to a REST request instead of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestFault {
    RateLimited {
        scope: RateScope,
        retry_after: Duration,
    },
    Unavailable,
    Slow(Duration),
}

/// How long something goes on: until a time, and for at most so many uses.
#[derive(Clone, Copy, Debug)]
struct Term {
    until: Instant,
    uses_left: u32,
}

/// The faults of the whole service.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    refuse: Option<Term>,
    no_hello: Option<Term>,
    dead_resume_url: Option<Term>,
    rest: Option<RestTerm>,
}

/// A fault of the REST API, and whom it befalls.
#[derive(Debug)]
struct RestTerm {
    fault: RestFault,
    term: Term,
    route: String,
    /// Which bucket the first 429 was for, and when the wait that it named is over. The fault ends then, so that what
    /// it says of the time is true.
    struck: Option<(String, Instant)>,
}

impl Faults {
    /// Makes a fault happen.
    pub(crate) fn inject(&mut self, lines: &Lines, request: &FaultRequest) -> Result<(), Refusal> {
        let term = Term::of(request)?;
        let order = |order| lines.order(order, request.shard);
        match request.kind {
            FaultKind::Reconnect => order(Order::Reconnect),
            FaultKind::InvalidSession => {
                order(Order::InvalidSession {
                    is_resumable: request.resumable,
                });
            }
            FaultKind::Drop => lines.cut(request.shard),
            FaultKind::Silence => order(Order::Mute(term.until)),
            FaultKind::Zombie => order(Order::Zombie(term.until)),
            FaultKind::Close => match request.code.unwrap_or(4_000) {
                // What a close frame may carry: RFC 6455, section 7.4.
                code @ (1_000..=1_003 | 1_007..=1_014 | 3_000..=4_999) => {
                    order(Order::Close(code));
                }
                _ => return Err(Refusal::Form("code: not a close code".to_owned())),
            },
            FaultKind::Refuse => self.refuse = Some(term),
            FaultKind::NoHello => self.no_hello = Some(term),
            FaultKind::DeadResumeUrl => self.dead_resume_url = Some(term),
            FaultKind::Rest429 | FaultKind::Rest5xx | FaultKind::Slow => {
                self.rest = Some(RestTerm {
                    fault: rest_fault(request, term),
                    term,
                    route: request.route.clone().unwrap_or_default(),
                    struck: None,
                });
            }
        }
        Ok(())
    }

    /// Whether a new gateway connection is reset before it is answered.
    pub(crate) fn refuses(&mut self) -> bool {
        Term::use_up(&mut self.refuse)
    }

    /// Whether a new gateway connection gets no HELLO.
    pub(crate) fn withholds_hello(&mut self) -> bool {
        Term::use_up(&mut self.no_hello)
    }

    /// The URL that READY names for a RESUME: ours, or one where nobody answers.
    pub(crate) fn resume_url(&mut self, ours: &str) -> String {
        let is_dead = Term::use_up(&mut self.dead_resume_url);
        if is_dead { DEAD_URL } else { ours }.to_owned()
    }

    /// What happens to a REST request.
    pub(crate) fn rest(&mut self, call: &Call, now: Instant) -> Option<RestFault> {
        let rest = self.rest.as_mut()?;
        if !call.route.starts_with(&rest.route) {
            return None;
        }
        let outcome = rest.befall(call, now);
        if outcome.is_none() && rest.is_over(now) {
            self.rest = None;
        }
        outcome
    }
}

impl RestTerm {
    fn befall(&mut self, call: &Call, now: Instant) -> Option<RestFault> {
        if self.is_over(now) {
            return None;
        }
        let RestFault::RateLimited { scope, retry_after } = self.fault else {
            self.term.uses_left -= 1;
            return Some(self.fault);
        };
        let bucket = format!("{} {}", call.route, call.resource);
        let is_of_a_bucket = [RateScope::User, RateScope::Shared].contains(&scope);
        let (struck, until) = self
            .struck
            .get_or_insert_with(|| (bucket.clone(), now + retry_after));
        if is_of_a_bucket && *struck != bucket {
            return None;
        }
        self.term.uses_left -= 1;
        Some(RestFault::RateLimited {
            scope,
            retry_after: *until - now,
        })
    }

    fn is_over(&self, now: Instant) -> bool {
        let has_waited = self.struck.as_ref().is_some_and(|(_, until)| now >= *until);
        has_waited || self.term.uses_left == 0 || now >= self.term.until
    }
}

/// What befalls a request. A 429 that says nothing of its wait lasts as long as the fault.
fn rest_fault(request: &FaultRequest, term: Term) -> RestFault {
    let ms = request.ms.unwrap_or(1_000).min(LONGEST_MS);
    match request.kind {
        FaultKind::Rest429 => {
            let lasts = request.ms.is_none() && request.seconds.is_some();
            RestFault::RateLimited {
                scope: request.scope.unwrap_or(RateScope::User),
                retry_after: if lasts {
                    term.until.saturating_duration_since(Instant::now())
                } else {
                    Duration::from_millis(ms)
                },
            }
        }
        FaultKind::Slow => RestFault::Slow(Duration::from_millis(ms)),
        _ => RestFault::Unavailable,
    }
}

impl Term {
    /// With a `count` and no `seconds`, the count alone decides.
    fn of(request: &FaultRequest) -> Result<Self, Refusal> {
        let default = if request.count.is_some() {
            SECONDS_MAX
        } else {
            DEFAULT_SECONDS
        };
        let seconds = request.seconds.unwrap_or(default);
        if !(0.0..=SECONDS_MAX).contains(&seconds) {
            return Err(Refusal::Form(
                "seconds: must be between 0 and a day".to_owned(),
            ));
        }
        Ok(Self {
            until: Instant::now() + Duration::from_secs_f64(seconds),
            uses_left: request.count.unwrap_or(u32::MAX),
        })
    }

    fn use_up(term: &mut Option<Self>) -> bool {
        match term {
            Some(term) if term.uses_left > 0 && Instant::now() < term.until => {
                term.uses_left -= 1;
                true
            }
            _ => {
                *term = None;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn inject(faults: &mut Faults, request: Value) -> Result<(), Refusal> {
        faults.inject(&Lines::default(), &serde_json::from_value(request).unwrap())
    }

    fn call(resource: &str) -> Call {
        Call {
            route: "GET /channels/{}/messages".to_owned(),
            resource: resource.to_owned(),
            is_read: true,
        }
    }

    #[test]
    fn a_counted_fault_happens_that_often_and_no_more() {
        let (mut faults, now) = (Faults::default(), Instant::now());
        inject(&mut faults, json!({ "kind": "rest_5xx", "count": 2 })).unwrap();
        let seen = [1, 2, 3].map(|_| faults.rest(&call("1"), now));
        let fails = Some(RestFault::Unavailable);
        assert_eq!(seen, [fails, fails, None]);
    }

    #[test]
    fn a_429_of_a_bucket_is_for_that_bucket_and_is_over_when_it_said() {
        let (mut faults, now) = (Faults::default(), Instant::now());
        let fault = json!({ "kind": "rest_429", "scope": "user", "ms": 500, "seconds": 60 });
        inject(&mut faults, fault).unwrap();
        let wait = |millis| {
            Some(RestFault::RateLimited {
                scope: RateScope::User,
                retry_after: Duration::from_millis(millis),
            })
        };
        let after = |millis| now + Duration::from_millis(millis);
        assert_eq!(faults.rest(&call("1"), now), wait(500));
        assert_eq!(faults.rest(&call("2"), now), None);
        assert_eq!(faults.rest(&call("1"), after(499)), wait(1));
        assert_eq!(faults.rest(&call("1"), after(500)), None);
        assert_eq!(faults.rest(&call("1"), after(501)), None);
    }

    #[test]
    fn a_fault_of_a_route_spares_the_others() {
        let (mut faults, now) = (Faults::default(), Instant::now());
        let fault = json!({ "kind": "rest_5xx", "route": "GET /guilds", "count": 1 });
        inject(&mut faults, fault).unwrap();
        assert_eq!(faults.rest(&call("1"), now), None);
    }

    #[test]
    fn a_fault_of_no_seconds_is_over_at_once() {
        let mut faults = Faults::default();
        inject(&mut faults, json!({ "kind": "refuse", "seconds": 0 })).unwrap();
        assert!(!faults.refuses());
        inject(&mut faults, json!({ "kind": "refuse", "seconds": 60 })).unwrap();
        assert!(faults.refuses());
    }

    #[test]
    fn a_code_that_no_frame_may_carry_is_refused() {
        let mut faults = Faults::default();
        assert!(inject(&mut faults, json!({ "kind": "close", "code": 1006 })).is_err());
        assert!(inject(&mut faults, json!({ "kind": "close", "code": 4014 })).is_ok());
    }
}
