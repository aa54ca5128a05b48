//! What clients are told before their sessions begin, and held to when they begin: how many shards there should be, how
//! many IDENTIFYs are left and how many may come at once, how often a heartbeat is due.
//! As for any small bot, unless a test says otherwise; how many may come at once is told and not enforced until then,
//! so that tests which IDENTIFY by hand need not wait. <https://discord.com/developers/docs/events/gateway#sharding>.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::session::Subscription;
use crate::refusal::Refusal;

/// IDENTIFYs a day, as for any small bot.
const IDENTIFIES_A_DAY: u64 = 1_000;
const DAY: Duration = Duration::from_hours(24);
/// Between two IDENTIFYs of one key.
const TURN: Duration = Duration::from_secs(5);
/// Between heartbeats; what Discord says in production.
const HEARTBEAT: Duration = Duration::from_millis(41_250);
/// What may be set: no heartbeat faster than a test needs, none slower than Discord's.
const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 50..=41_250;

/// The body of `POST /sim/gateway`; what is absent stays.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct EntrancePatch {
    shards: Option<u64>,
    is_sharding_required: Option<bool>,
    max_concurrency: Option<u64>,
    identifies_left: Option<u64>,
    reset_after_ms: Option<u64>,
    heartbeat_ms: Option<u64>,
}

/// Why an IDENTIFY opens no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwelcome {
    /// Another of its key came just before: op 9.
    TooSoon,
    /// It is one of fewer shards than there must be: 4011.
    TooFewShards,
    /// None are left: Discord resets the token then, and so the connection is closed with 4004.
    NoneLeft,
}

/// The entrance.
#[derive(Debug)]
pub(crate) struct Entrance {
    shards: u64,
    is_sharding_required: bool,
    max_concurrency: u64,
    is_enforced: bool,
    left: u64,
    resets_at: Instant,
    heartbeat: Duration,
    turns: HashMap<u64, Instant>,
    too_soon: u64,
}

impl Entrance {
    pub(crate) fn new(shards: u64) -> Self {
        Self {
            shards: shards.max(1),
            is_sharding_required: false,
            max_concurrency: 1,
            is_enforced: false,
            left: IDENTIFIES_A_DAY,
            resets_at: Instant::now() + DAY,
            heartbeat: HEARTBEAT,
            turns: HashMap::new(),
            too_soon: 0,
        }
    }

    pub(crate) fn patch(&mut self, patch: &EntrancePatch) -> Result<(), Refusal> {
        let is_odd = patch.shards == Some(0) || patch.max_concurrency == Some(0);
        let heartbeat_ms = patch.heartbeat_ms;
        if is_odd || heartbeat_ms.is_some_and(|ms| !HEARTBEAT_MS.contains(&ms)) {
            return Err(Refusal::Form(
                "shards, maxConcurrency: at least 1; heartbeatMs: between 50 and 41250".to_owned(),
            ));
        }
        self.shards = patch.shards.unwrap_or(self.shards);
        self.is_sharding_required = patch
            .is_sharding_required
            .unwrap_or(self.is_sharding_required);
        self.is_enforced |= patch.max_concurrency.is_some();
        self.max_concurrency = patch.max_concurrency.unwrap_or(self.max_concurrency);
        self.left = patch.identifies_left.unwrap_or(self.left);
        if let Some(ms) = patch.reset_after_ms {
            self.resets_at = Instant::now() + Duration::from_millis(ms).min(DAY);
        }
        self.heartbeat = heartbeat_ms.map_or(self.heartbeat, Duration::from_millis);
        Ok(())
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// IDENTIFYs that came too soon after another of their key.
    pub(crate) fn too_soon(&self) -> u64 {
        self.too_soon
    }

    /// `GET /gateway/bot`.
    pub(crate) fn advice(&mut self, url: &str, now: Instant) -> Value {
        self.reset(now);
        let reset_after = self.resets_at.saturating_duration_since(now).as_millis();
        json!({
            "url": url,
            "shards": self.shards,
            "session_start_limit": {
                "total": IDENTIFIES_A_DAY,
                "remaining": self.left,
                "reset_after": u64::try_from(reset_after).unwrap_or(0),
                "max_concurrency": self.max_concurrency,
            },
        })
    }

    /// An IDENTIFY comes.
    pub(super) fn enter(&mut self, of: Subscription, now: Instant) -> Result<(), Unwelcome> {
        self.reset(now);
        self.left = self.left.checked_sub(1).ok_or(Unwelcome::NoneLeft)?;
        if self.is_sharding_required && of.shards < self.shards {
            return Err(Unwelcome::TooFewShards);
        }
        let key = of.shard % self.max_concurrency;
        let last = self.turns.insert(key, now);
        let is_too_soon = last.is_some_and(|last| now.duration_since(last) < TURN);
        if self.is_enforced && is_too_soon {
            self.too_soon += 1;
            return Err(Unwelcome::TooSoon);
        }
        Ok(())
    }

    fn reset(&mut self, now: Instant) {
        if now >= self.resets_at {
            self.left = IDENTIFIES_A_DAY;
            self.resets_at = now + DAY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Intents;

    fn of(shard: u64, shards: u64) -> Subscription {
        Subscription {
            intents: Intents::NONE,
            shard,
            shards,
        }
    }

    fn patched(patch: Value) -> Entrance {
        let mut entrance = Entrance::new(1);
        let patch = serde_json::from_value(patch).unwrap();
        entrance.patch(&patch).unwrap();
        entrance
    }

    #[test]
    fn one_identify_a_key_in_five_seconds_once_a_number_was_set() {
        let now = Instant::now();
        let mut entrance = Entrance::new(4);
        assert_eq!(entrance.enter(of(0, 4), now), Ok(()));
        assert_eq!(entrance.enter(of(0, 4), now), Ok(()), "not enforced");
        let mut entrance = patched(json!({ "maxConcurrency": 2 }));
        assert_eq!(entrance.enter(of(0, 4), now), Ok(()));
        assert_eq!(entrance.enter(of(1, 4), now), Ok(()));
        let soon = now + TURN / 2;
        assert_eq!(entrance.enter(of(2, 4), soon), Err(Unwelcome::TooSoon));
        assert_eq!(entrance.enter(of(3, 4), now + TURN), Ok(()));
        assert_eq!(entrance.too_soon(), 1);
    }

    #[test]
    fn identifies_run_out_and_are_there_again_after_the_reset() {
        let now = Instant::now();
        let mut entrance = patched(json!({ "identifiesLeft": 1, "resetAfterMs": 60_000 }));
        assert_eq!(entrance.enter(of(0, 1), now), Ok(()));
        assert_eq!(entrance.enter(of(0, 1), now), Err(Unwelcome::NoneLeft));
        let limit = |entrance: &mut Entrance, now| {
            let advice = entrance.advice("ws://x", now);
            advice["session_start_limit"]["remaining"].clone()
        };
        assert_eq!(limit(&mut entrance, now), 0);
        let later = now + Duration::from_secs(61);
        assert_eq!(limit(&mut entrance, later), IDENTIFIES_A_DAY);
        let mut entrance = patched(json!({ "shards": 2, "isShardingRequired": true }));
        assert_eq!(entrance.enter(of(0, 1), now), Err(Unwelcome::TooFewShards));
        assert_eq!(entrance.enter(of(0, 2), now), Ok(()));
    }
}
