//! What ingest tells of itself: its role, the gateway's connection, the archive's place, the sums of outcomes.
//!
//! Written by whoever knows, read by the probes without waiting.

use std::sync::Arc;

use parking_lot::Mutex;
use runtime::time::{iso, now_ms};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::application::Granted;
use crate::backfill::Book;
use crate::meters::Meters;
use crate::outcome::Outcomes;
use crate::rest::Counts;

/// The present state. Clones share it.
#[derive(Debug, Clone)]
pub struct Status {
    facts: Arc<Mutex<Facts>>,
    pub(crate) outcomes: Outcomes,
    rest: Counts,
    pub(crate) meters: Meters,
    /// What became of the gaps.
    pub(crate) gaps: Book,
    buffer_bytes: Arc<Mutex<watch::Receiver<usize>>>,
}

/// What is known now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) is_leader: bool,
    pub(crate) is_connected: bool,
    since_ms: Option<i64>,
    last_event_ms: Option<i64>,
    granted: Option<Granted>,
    /// Sessions that were begun.
    pub(crate) identified: u64,
    /// Sessions that were resumed.
    pub(crate) resumed: u64,
    generation: u64,
    /// The last sequence in SQL.
    pub(crate) archived: u64,
    /// The last sequence that the stream acknowledged.
    pub(crate) acknowledged: u64,
    /// Events that no archive can read.
    pub(crate) undecodable: u64,
    /// Rows that SQL will not take.
    pub(crate) refused_rows: u64,
    /// Rows that were older than they may be kept.
    pub(crate) pruned_rows: u64,
    /// Messages that went with their channel or guild.
    pub(crate) swept_rows: u64,
    /// Commands that asked the gateway for members, the members that they asked for, and those asked of the API.
    pub(crate) member_commands: u64,
    pub(crate) members_asked: u64,
    pub(crate) members_read: u64,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            facts: Arc::default(),
            outcomes: Outcomes::default(),
            rest: Counts::default(),
            meters: Meters::default(),
            gaps: Book::default(),
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

    /// The application may use these intents.
    pub(crate) fn on_granted(&self, granted: Granted) {
        self.facts.lock().granted = Some(granted);
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

    /// So many rows were older than they may be kept.
    pub(crate) fn on_pruned(&self, rows: u64) {
        self.facts.lock().pruned_rows += rows;
    }

    /// So many messages went with their channel or guild.
    pub(crate) fn on_swept(&self, rows: u64) {
        self.facts.lock().swept_rows += rows;
    }

    /// A command asked the gateway for so many members.
    pub(crate) fn on_members_asked(&self, members: usize) {
        let facts = &mut *self.facts.lock();
        facts.member_commands += 1;
        facts.members_asked += members as u64;
    }

    /// A member was asked of the API.
    pub(crate) fn on_member_read(&self) {
        self.facts.lock().members_read += 1;
    }

    /// The calls to Discord's API.
    pub(crate) fn calls(&self) -> &Counts {
        &self.rest
    }

    pub(crate) fn facts(&self) -> Facts {
        self.facts.lock().clone()
    }

    /// Bytes of frames that wait for the stream.
    pub(crate) fn buffer_bytes(&self) -> usize {
        *self.buffer_bytes.lock().borrow()
    }

    /// The fields of `/api/status`.
    pub fn json(&self) -> Value {
        let facts = self.facts();
        let time = |ms: Option<i64>| ms.map(iso);
        let intents = facts.granted.map(
            |granted| json!({ "members": granted.members, "messageContent": granted.content }),
        );
        json!({
            "role": self.role(),
            "discord": {
                "connected": facts.is_connected,
                "since": time(facts.since_ms),
                "lastEvent": time(facts.last_event_ms),
                "intents": intents,
                "sessions": { "identified": facts.identified, "resumed": facts.resumed },
            },
            "outcomes": self.outcomes.json(),
            "gaps": self.gaps.json(),
            "members": {
                "commands": facts.member_commands,
                "asked": facts.members_asked,
                "read": facts.members_read,
            },
            "rest": self.rest.json(),
            "buffer": { "bytes": self.buffer_bytes() },
            "archive": {
                "generation": facts.generation.to_string(),
                "position": facts.archived,
                "lag": facts.acknowledged.saturating_sub(facts.archived),
                "undecodable": facts.undecodable,
                "refused": facts.refused_rows,
                "pruned": facts.pruned_rows,
                "swept": facts.swept_rows,
            },
        })
    }
}
