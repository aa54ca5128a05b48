//! What a service knows of its own state, for probes and for people.
//!
//! Whoever owns a part keeps its [`Check`] true; readers look without waiting. Readiness is a sum of reasons
//! against it, so that the answer can name them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// The state of a part that the service depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It answers.
    Up,
    /// It should answer and does not.
    Down,
    /// It is not configured.
    Off,
}

impl Check {
    /// The word of `/api/health`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Off => "off",
        }
    }
}

/// The health of one service. Clones share it.
#[derive(Debug, Clone)]
pub struct Health {
    started: Instant,
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    checks: BTreeMap<&'static str, Check>,
    unready: BTreeMap<&'static str, &'static str>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// A service that starts now, with no part known and nothing against its readiness.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            state: Arc::new(watch::Sender::new(State::default())),
        }
    }

    /// How long the service has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Says how a part is.
    pub fn set(&self, part: &'static str, check: Check) {
        self.state
            .send_if_modified(|state| state.checks.insert(part, check) != Some(check));
    }

    /// Says why the service is not ready, as far as this part goes.
    pub fn hold(&self, part: &'static str, why: &'static str) {
        self.state
            .send_if_modified(|state| state.unready.insert(part, why) != Some(why));
    }

    /// Takes this part's reason back.
    pub fn release(&self, part: &'static str) {
        self.state
            .send_if_modified(|state| state.unready.remove(part).is_some());
    }

    /// How a part is; off where nobody has said.
    pub fn check(&self, part: &str) -> Check {
        self.state
            .borrow()
            .checks
            .get(part)
            .copied()
            .unwrap_or(Check::Off)
    }

    /// All parts and how they are.
    pub fn checks(&self) -> BTreeMap<&'static str, Check> {
        self.state.borrow().checks.clone()
    }

    /// What speaks against readiness: part and reason.
    pub fn unready(&self) -> BTreeMap<&'static str, &'static str> {
        self.state.borrow().unready.clone()
    }

    /// No part is down.
    pub fn is_whole(&self) -> bool {
        !self
            .state
            .borrow()
            .checks
            .values()
            .any(|check| *check == Check::Down)
    }

    /// Waits until nothing speaks against readiness.
    pub async fn ready(&self) {
        let mut states = self.state.subscribe();
        // The sender lives in self, so that waiting can't fail.
        if states
            .wait_for(|state| state.unready.is_empty())
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readiness_is_reached_when_the_last_reason_is_gone() {
        let health = Health::new();
        health.hold("directory", "loading");
        health.hold("nats", "away");
        health.release("nats");
        assert_eq!(
            health.unready().into_iter().collect::<Vec<_>>(),
            [("directory", "loading")]
        );
        let waiting = tokio::spawn({
            let health = health.clone();
            async move { health.ready().await }
        });
        health.release("directory");
        waiting.await.unwrap();
    }

    #[test]
    fn a_part_that_is_off_does_not_make_the_service_less_whole() {
        let health = Health::new();
        health.set("redis", Check::Off);
        assert!(health.is_whole());
        health.set("nats", Check::Down);
        assert!(!health.is_whole());
    }
}
