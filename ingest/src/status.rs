//! What ingest tells of itself: its role, the gateway's connection, the archive's place, the sums of outcomes.
//!
//! Written by whoever knows, read by the probes without waiting.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use runtime::time::{iso, now_ms};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::application::Granted;
use crate::backfill::Book;
use crate::gateway::{Level, Verdict};
use crate::meters::Meters;
use crate::outcome::Outcomes;
use crate::rest::Counts;
use crate::shard::ShardId;

/// The present state. Clones share it.
#[derive(Debug, Clone)]
pub struct Status {
    facts: Arc<Mutex<Facts>>,
    /// Whether all shards are connected.
    connected: Arc<watch::Sender<bool>>,
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
    shards: BTreeMap<u32, Shard>,
    last_event_ms: Option<i64>,
    granted: Option<Granted>,
    /// What is left of the IDENTIFYs, once Discord was asked.
    pub(crate) starts: Option<Starts>,
    /// Alarms over a silent gateway, by whether events had been withheld.
    pub(crate) withheld: u64,
    pub(crate) quiet: u64,
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

/// What is known of one shard.
#[derive(Debug, Clone, Copy, Default)]
struct Shard {
    /// READY or RESUMED was seen then, and no end since.
    since_ms: Option<i64>,
    last_event_ms: Option<i64>,
    identified: u64,
    resumed: u64,
}

impl Shard {
    fn json(self, id: u32) -> Value {
        json!({
            "id": id,
            "connected": self.since_ms.is_some(),
            "since": self.since_ms.map(iso),
            "lastEvent": self.last_event_ms.map(iso),
            "sessions": { "identified": self.identified, "resumed": self.resumed },
        })
    }
}

/// The IDENTIFYs that Discord allows until its limit is reset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Starts {
    pub(crate) left: u32,
    pub(crate) total: u32,
    pub(crate) level: Level,
}

impl Facts {
    /// Since when all shards are connected; none if one is not.
    fn since_ms(&self) -> Option<i64> {
        let mut last = None;
        for shard in self.shards.values() {
            last = last.max(Some(shard.since_ms?));
        }
        last
    }

    /// Whether all shards are connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.since_ms().is_some()
    }
}

impl Default for Status {
    fn default() -> Self {
        Self {
            facts: Arc::default(),
            connected: Arc::new(watch::Sender::new(false)),
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

    /// Whether the gateway is connected: of all shards READY or RESUMED was seen, and no end since.
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// The same, for whoever waits for a change of it.
    pub(crate) fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// Whether this shard is connected.
    pub(crate) fn is_shard_connected(&self, number: u32) -> bool {
        let facts = self.facts.lock();
        let shard = facts.shards.get(&number);
        shard.is_some_and(|shard| shard.since_ms.is_some())
    }

    pub(crate) fn on_role(&self, is_leader: bool) {
        self.facts.lock().is_leader = is_leader;
    }

    pub(crate) fn on_buffer(&self, used: watch::Receiver<usize>) {
        *self.buffer_bytes.lock() = used;
    }

    /// There are so many shards now, none of which is connected.
    pub(crate) fn on_shards(&self, count: u32) {
        self.change(|facts| {
            let shards = ShardId::all(count).map(|shard| (shard.number, Shard::default()));
            facts.shards = shards.collect();
        });
    }

    pub(crate) fn on_connected(&self, shard: ShardId, is_resumed: bool) {
        self.change(|facts| {
            let known = facts.shards.entry(shard.number).or_default();
            known.since_ms = Some(now_ms());
            if is_resumed {
                known.resumed += 1;
                facts.resumed += 1;
            } else {
                known.identified += 1;
                facts.identified += 1;
            }
        });
    }

    /// Whether it had been connected.
    pub(crate) fn on_disconnected(&self, shard: ShardId) -> bool {
        self.change(|facts| {
            let known = facts.shards.get_mut(&shard.number);
            known.is_some_and(|known| known.since_ms.take().is_some())
        })
    }

    /// No shard is connected any more.
    pub(crate) fn on_left(&self) {
        self.change(|facts| {
            for shard in facts.shards.values_mut() {
                shard.since_ms = None;
            }
        });
    }

    /// Changes the facts, and tells whoever waits whether all shards are connected.
    fn change<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        let facts = &mut *self.facts.lock();
        let changed = change(facts);
        let is_connected = facts.is_connected();
        self.connected
            .send_if_modified(|was| std::mem::replace(was, is_connected) != is_connected);
        changed
    }

    /// Discord told what is left of the IDENTIFYs.
    pub(crate) fn on_starts(&self, starts: Starts) {
        self.facts.lock().starts = Some(starts);
    }

    /// A shard left a silent gateway, and its RESUME has shown why it was.
    pub(crate) fn on_silence(&self, verdict: Verdict) {
        let facts = &mut *self.facts.lock();
        match verdict {
            Verdict::Withheld => facts.withheld += 1,
            Verdict::Quiet => facts.quiet += 1,
        }
    }

    /// The application may use these intents.
    pub(crate) fn on_granted(&self, granted: Granted) {
        self.facts.lock().granted = Some(granted);
    }

    pub(crate) fn on_dispatch(&self, shard: ShardId, received_ms: i64) {
        let facts = &mut *self.facts.lock();
        facts.last_event_ms = Some(received_ms);
        if let Some(shard) = facts.shards.get_mut(&shard.number) {
            shard.last_event_ms = Some(received_ms);
        }
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
        let identifies = facts.starts.map(
            |starts| json!({ "left": starts.left, "total": starts.total, "level": starts.level.word() }),
        );
        let shards = facts.shards.iter();
        let shards: Vec<_> = shards.map(|(id, shard)| shard.json(*id)).collect();
        json!({
            "role": self.role(),
            "discord": {
                "connected": facts.is_connected(),
                "since": time(facts.since_ms()),
                "lastEvent": time(facts.last_event_ms),
                "intents": intents,
                "sessions": { "identified": facts.identified, "resumed": facts.resumed },
                "shards": shards,
                "identifies": identifies,
                "silences": { "withheld": facts.withheld, "quiet": facts.quiet },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_connected_while_all_shards_are() {
        let status = Status::default();
        let connected = status.connected();
        status.on_shards(2);
        let [first, second] = [0, 1].map(|number| ShardId { number, count: 2 });
        status.on_connected(first, false);
        assert!(!status.is_connected() && status.is_shard_connected(0));
        assert_eq!(status.json()["discord"]["since"], Value::Null);
        status.on_connected(second, true);
        assert!(status.is_connected() && *connected.borrow());
        let json = &status.json()["discord"];
        assert_eq!(json["sessions"], json!({ "identified": 1, "resumed": 1 }));
        assert_eq!(json["shards"][1]["sessions"]["resumed"], 1);
        assert!(status.on_disconnected(first) && !status.on_disconnected(first));
        assert!(!*connected.borrow());
        let connected = |id: usize| status.json()["discord"]["shards"][id]["connected"].clone();
        assert_eq!((connected(0), connected(1)), (json!(false), json!(true)));
        status.on_left();
        assert!(!status.is_shard_connected(1));
    }
}
