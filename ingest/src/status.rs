//! What ingest tells of itself: its role, the gateway's connection, the archive's place, the sums of outcomes.
//!
//! Written by whoever knows, read by the probes without waiting.

use std::sync::Arc;

use parking_lot::Mutex;
use runtime::time::{iso, now_ms};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::outcome::Outcomes;
use crate::rest::Counts;

/// The present state. Clones share it.
#[derive(Debug, Clone)]
pub struct Status {
    facts: Arc<Mutex<Facts>>,
    pub(crate) outcomes: Outcomes,
    rest: Counts,
    buffer_bytes: Arc<Mutex<watch::Receiver<usize>>>,
}

#[derive(Debug, Clone, Default)]
struct Facts {
    is_leader: bool,
    is_connected: bool,
    since_ms: Option<i64>,
    last_event_ms: Option<i64>,
    identified: u64,
    resumed: u64,
    generation: u64,
    archived: u64,
    acknowledged: u64,
    undecodable: u64,
    refused_rows: u64,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            facts: Arc::default(),
            outcomes: Outcomes::default(),
            rest: Counts::default(),
            buffer_bytes: Arc::new(Mutex::new(watch::Sender::new(0).subscribe())),
        }
    }
}

impl Status {
    /// The state of a service whose calls to Discord's API are counted here.
    pub(crate) fn new(rest: Counts) -> Self {
        Self {
            rest,
            ..Self::default()
        }
    }

    /// `leader` or `standby`.
    pub fn role(&self) -> &'static str {
        if self.facts.lock().is_leader {
            return "leader";
        }
        "standby"
    }

    /// Whether the gateway is connected: READY or RESUMED was seen, and no end since.
    pub fn is_connected(&self) -> bool {
        self.facts.lock().is_connected
    }

    pub(crate) fn on_role(&self, is_leader: bool) {
        self.facts.lock().is_leader = is_leader;
    }

    pub(crate) fn on_buffer(&self, used: watch::Receiver<usize>) {
        *self.buffer_bytes.lock() = used;
    }

    pub(crate) fn on_connected(&self, is_resumed: bool) {
        let facts = &mut *self.facts.lock();
        facts.is_connected = true;
        facts.since_ms = Some(now_ms());
        if is_resumed {
            facts.resumed += 1;
        } else {
            facts.identified += 1;
        }
    }

    /// Whether it had been connected.
    pub(crate) fn on_disconnected(&self) -> bool {
        let facts = &mut *self.facts.lock();
        facts.since_ms = None;
        std::mem::take(&mut facts.is_connected)
    }

    pub(crate) fn on_dispatch(&self, received_ms: i64) {
        self.facts.lock().last_event_ms = Some(received_ms);
    }

    pub(crate) fn on_acknowledged(&self, sequence: u64) {
        self.facts.lock().acknowledged = sequence;
    }

    pub(crate) fn on_archived(&self, generation: u64, sequence: u64) {
        let facts = &mut *self.facts.lock();
        facts.generation = generation;
        facts.archived = sequence;
    }

    pub(crate) fn on_undecodable(&self, events: usize) {
        self.facts.lock().undecodable += events as u64;
    }

    pub(crate) fn on_refused_rows(&self, rows: usize) {
        self.facts.lock().refused_rows += rows as u64;
    }

    /// The fields of `/api/status`.
    pub fn json(&self) -> Value {
        let facts = self.facts.lock().clone();
        let time = |ms: Option<i64>| ms.map(iso);
        json!({
            "role": self.role(),
            "discord": {
                "connected": facts.is_connected,
                "since": time(facts.since_ms),
                "lastEvent": time(facts.last_event_ms),
                "sessions": { "identified": facts.identified, "resumed": facts.resumed },
            },
            "outcomes": self.outcomes.json(),
            "rest": self.rest.json(),
            "buffer": { "bytes": *self.buffer_bytes.lock().borrow() },
            "archive": {
                "generation": facts.generation.to_string(),
                "position": facts.archived,
                "lag": facts.acknowledged.saturating_sub(facts.archived),
                "undecodable": facts.undecodable,
                "refused": facts.refused_rows,
            },
        })
    }
}
