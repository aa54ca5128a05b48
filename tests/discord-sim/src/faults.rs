//! Faults on demand: what goes wrong, for how long, for how many requests.
//! Those of one connection are orders to its line; those of the whole service are kept here until they run out.

use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::gateway::line::{Lines, Order};
use crate::refusal::Refusal;

/// How long a fault lasts that says neither `seconds` nor `count`.
const DEFAULT_SECONDS: f64 = 10.0;
/// The longest that a fault may last.
const SECONDS_MAX: f64 = 24.0 * 60.0 * 60.0;
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
    scope: Option<RateScope>,
    ms: Option<u64>,
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

/// Whose limit a 429 is; `html` is the answer of the proxy in front of Discord, which has no JSON and no headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RateScope {
    User,
    Shared,
    Global,
    Html,
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
    rest: Option<(RestFault, Term)>,
}

impl Faults {
    /// Makes a fault happen.
    pub(crate) fn inject(&mut self, lines: &Lines, request: &FaultRequest) -> Result<(), Refusal> {
        let term = Term::of(request)?;
        match request.kind {
            FaultKind::Reconnect => lines.order(Order::Reconnect),
            FaultKind::InvalidSession => {
                lines.order(Order::InvalidSession {
                    is_resumable: request.resumable,
                });
            }
            FaultKind::Drop => lines.cut(),
            FaultKind::Silence => lines.order(Order::Mute(term.until)),
            FaultKind::Zombie => lines.order(Order::Zombie(term.until)),
            FaultKind::Close => match request.code.unwrap_or(4_000) {
                // What a close frame may carry: RFC 6455, section 7.4.
                code @ (1_000..=1_003 | 1_007..=1_014 | 3_000..=4_999) => {
                    lines.order(Order::Close(code));
                }
                _ => return Err(Refusal::Form("code: not a close code".to_owned())),
            },
            FaultKind::Refuse => self.refuse = Some(term),
            FaultKind::NoHello => self.no_hello = Some(term),
            FaultKind::DeadResumeUrl => self.dead_resume_url = Some(term),
            FaultKind::Rest429 => {
                let scope = request.scope.unwrap_or(RateScope::User);
                let retry_after = Duration::from_millis(request.ms.unwrap_or(1_000));
                self.rest = Some((RestFault::RateLimited { scope, retry_after }, term));
            }
            FaultKind::Rest5xx => self.rest = Some((RestFault::Unavailable, term)),
            FaultKind::Slow => {
                let delay = Duration::from_millis(request.ms.unwrap_or(1_000).min(600_000));
                self.rest = Some((RestFault::Slow(delay), term));
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

    /// What happens to the next REST request.
    pub(crate) fn rest(&mut self) -> Option<RestFault> {
        let (fault, term) = self.rest?;
        let mut term = Some(term);
        let happens = Term::use_up(&mut term);
        self.rest = term.map(|term| (fault, term));
        happens.then_some(fault)
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

    #[test]
    fn a_counted_fault_happens_that_often_and_no_more() {
        let mut faults = Faults::default();
        inject(&mut faults, json!({ "kind": "rest_5xx", "count": 2 })).unwrap();
        let seen = [faults.rest(), faults.rest(), faults.rest()];
        assert_eq!(
            seen,
            [
                Some(RestFault::Unavailable),
                Some(RestFault::Unavailable),
                None
            ]
        );
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
