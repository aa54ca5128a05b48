//! The gateway's sessions, kept in the broker so that the next process resumes where the stream ends.
//!
//! Each shard has its own. What is kept is the sequence up to which every dispatch is settled, never the last that
//! was received: after a crash a RESUME brings the rest again, and the stream drops the doubles.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::{Broker, BrokerError, StreamState};
use proto::GuildId;
use runtime::time::now_ms;
use serde::{Deserialize, Serialize};

use crate::backfill::{Gaps, Marks};
use crate::exclusions::Exclusions;
use crate::leader::bounded;
use crate::roll::{Roll, Rolls};
use crate::shard::ShardId;

/// A session older than this is not resumed: the stream forgets identities after 15 minutes
/// (decisions.md, the duplicate window).
const AGE_MAX_MS: i64 = 10 * 60 * 1_000;
/// How long one call may take.
const CALL: Duration = Duration::from_secs(2);

/// A session of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Whose it is: a session never changes its shard, nor of how many that is one.
    pub(crate) shard: ShardId,
    /// Discord's name for it.
    pub(crate) id: String,
    /// Ours: 64 random bits, minted at its IDENTIFY.
    pub(crate) epoch: u64,
    /// Where Discord wants it resumed; none after that failed.
    pub(crate) resume_url: Option<String>,
    /// The last dispatch that was received.
    pub(crate) sequence: u64,
    /// Whether it began with the members intent: a RESUME goes on with the intents of the IDENTIFY.
    pub(crate) is_told_of_members: bool,
}

/// The present sessions, by the numbers of their shards.
pub(crate) type Sessions = BTreeMap<u32, Session>;

/// What the broker holds of the sessions when a term begins.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// Of how many shards they are; none where nothing is held.
    pub(crate) shards: Option<u32>,
    /// Those that can be resumed.
    pub(crate) sessions: Sessions,
    /// Their rolls, where they are still to be called.
    pub(crate) rolls: Rolls,
}

/// The record in the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) session_id: String,
    pub(super) epoch: u64,
    /// Of how many shards its own is one.
    #[serde(default = "one")]
    pub(super) shards: u32,
    pub(super) resume_url: Option<String>,
    pub(super) sequence: u64,
    pub(super) saved_at_ms: i64,
    pub(super) generation: u64,
    pub(super) stream_sequence: u64,
    /// The guilds that the session names, until those that it does not name are removed.
    #[serde(default)]
    pub(super) roll: Option<Vec<u64>>,
    /// The channels that were left out when its snapshots were read, and those that were found to lie below.
    #[serde(default)]
    pub(super) excluded: Vec<u64>,
    #[serde(default)]
    pub(super) hidden: Vec<u64>,
    #[serde(default)]
    pub(super) is_told_of_members: bool,
    /// What is still to be made good.
    #[serde(default)]
    pub(super) gap: Option<Marks>,
}

/// A record of before there were several shards.
fn one() -> u32 {
    1
}

pub(super) fn key(shard: u32) -> String {
    format!("session-{shard}")
}

/// The sessions to resume, without those that are too old, of another number of shards than the first, or of a
/// stream that is not the one that they were published to. What they leave to be made good is learned in any case.
pub(crate) async fn load(
    broker: &dyn Broker,
    stream: StreamState,
    exclusions: &Exclusions,
    gaps: &Gaps,
) -> Result<Saved, BrokerError> {
    let Some(first) = read(broker, 0).await? else {
        return Ok(Saved::default());
    };
    let shards = first.shards.max(1);
    let mut saved = Saved {
        shards: Some(shards),
        ..Saved::default()
    };
    let mut next = Some(first);
    for shard in ShardId::all(shards) {
        let record = match next.take() {
            Some(first) => Some(first),
            None => read(broker, shard.number).await?,
        };
        let Some(record) = record.filter(|record| record.shards == shards) else {
            continue;
        };
        let marks = record.gap.clone();
        let marks = marks.unwrap_or_else(|| Marks::at(record.saved_at_ms));
        gaps.load(shard, record.epoch, marks);
        if let Some(why) = unusable(&record, stream, exclusions, now_ms()) {
            let shard = shard.number;
            tracing::warn!(shard, why, "a session of the gateway is not resumed");
            continue;
        }
        exclusions.learn(record.hidden.iter().map(|channel| (*channel, true)));
        saved.take(shard, record);
    }
    Ok(saved)
}

async fn read(broker: &dyn Broker, shard: u32) -> Result<Option<Record>, BrokerError> {
    let bytes = bounded(CALL, broker.value(&key(shard))).await?;
    // Nothing stands for a shard that was no more.
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
        return Ok(None);
    };
    let record = serde_json::from_slice(&bytes);
    if record.is_err() {
        tracing::warn!(shard, "a session of the gateway can't be read");
    }
    Ok(record.ok())
}

impl Saved {
    fn take(&mut self, shard: ShardId, record: Record) {
        if let Some(guilds) = record.roll {
            let roll = Roll {
                shard,
                epoch: record.epoch,
                guilds: guilds.into_iter().filter_map(GuildId::new).collect(),
                is_called: false,
            };
            self.rolls.0.insert(shard.number, roll);
        }
        let session = Session {
            shard,
            id: record.session_id,
            epoch: record.epoch,
            resume_url: record.resume_url,
            sequence: record.sequence,
            is_told_of_members: record.is_told_of_members,
        };
        self.sessions.insert(shard.number, session);
    }
}

fn unusable(
    record: &Record,
    stream: StreamState,
    exclusions: &Exclusions,
    now_ms: i64,
) -> Option<&'static str> {
    if now_ms.saturating_sub(record.saved_at_ms) > AGE_MAX_MS {
        return Some("it is older than 10 minutes");
    }
    if record.generation != stream.generation {
        return Some("the stream is another one");
    }
    // Only a new session's snapshots say which channels there are under the new exclusions.
    if record.excluded != exclusions.channels() {
        return Some("other channels are left out now");
    }
    (record.stream_sequence > stream.last).then_some("the stream has lost acknowledged events")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::exclusions::ExclusionRules;

    pub(crate) fn record() -> Record {
        Record {
            session_id: "s".into(),
            epoch: u64::MAX,
            shards: 2,
            resume_url: None,
            sequence: 7,
            saved_at_ms: 1_000_000,
            generation: 3,
            stream_sequence: 50,
            roll: Some(vec![1, 2]),
            excluded: vec![4, 9],
            hidden: vec![10],
            is_told_of_members: true,
            gap: Some(Marks::at(5)),
        }
    }

    const STREAM: StreamState = StreamState {
        generation: 3,
        first: 1,
        last: 50,
    };

    fn excluding(channels: &[u64]) -> Exclusions {
        Exclusions::new(ExclusionRules {
            channels: channels.iter().copied().collect(),
            ..ExclusionRules::default()
        })
    }

    #[test]
    fn a_session_is_resumed_only_while_young_and_on_a_stream_that_lost_nothing() {
        let other = StreamState {
            generation: 4,
            ..STREAM
        };
        let behind = StreamState { last: 49, ..STREAM };
        let same = excluding(&[9, 4]);
        let now = 1_000_000;
        let why = |stream, exclusions: &Exclusions, now| {
            unusable(&record(), stream, exclusions, now).unwrap_or_default()
        };
        assert_eq!(why(STREAM, &same, now + AGE_MAX_MS), "");
        assert!(why(STREAM, &same, now + AGE_MAX_MS + 1).contains("10 minutes"));
        assert!(why(other, &same, now).contains("another"));
        assert!(why(behind, &same, now).contains("lost"));
        assert!(why(STREAM, &excluding(&[9]), now).contains("left out"));
    }

    #[test]
    fn a_record_reads_back_and_one_of_a_single_shard_needs_no_count() {
        let bytes = serde_json::to_vec(&record()).unwrap();
        assert_eq!(serde_json::from_slice::<Record>(&bytes).unwrap(), record());
        let mut old = serde_json::to_value(record()).unwrap();
        old.as_object_mut().unwrap().remove("shards");
        assert_eq!(serde_json::from_value::<Record>(old).unwrap().shards, 1);
    }

    #[tokio::test]
    async fn a_set_of_sessions_is_of_as_many_shards_as_the_first_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.sqlite");
        let settings = broker::EmbeddedSettings::default();
        let broker = broker::Embedded::open(&path, settings).await.unwrap();
        let exclusions = excluding(&[9, 4]);
        let loaded = async || {
            let saved = load(&*broker, STREAM, &exclusions, &Gaps::default())
                .await
                .unwrap();
            let numbers: Vec<_> = saved.sessions.into_keys().collect();
            (saved.shards, numbers, saved.rolls.0.len())
        };
        assert_eq!(loaded().await, (None, vec![], 0));
        // What a shard, of so many, has saved; an old one is not resumed.
        let cases = [
            (1, 2, now_ms(), (None, vec![], 0)),
            (0, 2, 0, (Some(2), vec![1], 1)),
            (0, 2, now_ms(), (Some(2), vec![0, 1], 2)),
            (0, 3, now_ms(), (Some(3), vec![0], 1)),
            (2, 3, now_ms(), (Some(3), vec![0, 2], 2)),
        ];
        for (shard, shards, saved_at_ms, expected) in cases {
            let record = Record {
                shards,
                saved_at_ms,
                ..record()
            };
            let bytes = serde_json::to_vec(&record).unwrap().into();
            broker.set_value(&key(shard), bytes).await.unwrap();
            assert_eq!(loaded().await, expected);
        }
    }
}
