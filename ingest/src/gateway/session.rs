//! The gateway's session, kept in the broker so that the next process resumes where the stream ends.
//!
//! What is kept is the sequence up to which every dispatch is settled, never the last that was received:
//! after a crash a RESUME brings the rest again, and the stream drops the doubles.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerError, StreamState};
use proto::GuildId;
use proto::identity::Dispatch;
use runtime::time::now_ms;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backfill::{Gaps, Marks};
use crate::exclusions::Exclusions;
use crate::leader::{Tenure, bounded};
use crate::roll::Roll;
use crate::status::Status;

/// A session older than this is not resumed: the stream forgets identities after 15 minutes
/// (decisions.md, the duplicate window).
const AGE_MAX_MS: i64 = 10 * 60 * 1_000;
/// How often the record is written at the most.
const INTERVAL: Duration = Duration::from_millis(250);
/// How often it is written while nothing happens, so that a quiet session does not look old.
const QUIET: Duration = Duration::from_secs(30);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(2);

/// A session of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
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

/// The record in the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    session_id: String,
    epoch: u64,
    resume_url: Option<String>,
    sequence: u64,
    saved_at_ms: i64,
    generation: u64,
    stream_sequence: u64,
    /// The guilds that the session names, until those that it does not name are removed.
    #[serde(default)]
    roll: Option<Vec<u64>>,
    /// The channels that were left out when its snapshots were read, and those that were found to lie below.
    #[serde(default)]
    excluded: Vec<u64>,
    #[serde(default)]
    hidden: Vec<u64>,
    #[serde(default)]
    is_told_of_members: bool,
    /// What is still to be made good.
    #[serde(default)]
    gap: Option<Marks>,
}

fn key(shard: u32) -> String {
    format!("session-{shard}")
}

/// The session to resume, unless it is too old or the stream is not the one that it was published to, and
/// its roll, if that is still to be called. What it leaves to be made good is learned in any case.
pub(crate) async fn load(
    broker: &dyn Broker,
    shard: u32,
    stream: StreamState,
    exclusions: &Exclusions,
    gaps: &Gaps,
) -> Result<Option<(Session, Option<Roll>)>, BrokerError> {
    let Some(bytes) = bounded(CALL, broker.value(&key(shard))).await? else {
        return Ok(None);
    };
    let Ok(record) = serde_json::from_slice::<Record>(&bytes) else {
        tracing::warn!("the gateway's session can't be read; a new one begins");
        return Ok(None);
    };
    let marks = record.gap.clone();
    let marks = marks.unwrap_or_else(|| Marks::at(record.saved_at_ms));
    gaps.load(shard, record.epoch, marks);
    if let Some(why) = unusable(&record, stream, exclusions, now_ms()) {
        tracing::warn!(
            why,
            "the gateway's session is not resumed; a new one begins"
        );
        return Ok(None);
    }
    exclusions.learn(record.hidden.iter().map(|channel| (*channel, true)));
    let roll = record.roll.map(|guilds| Roll {
        epoch: record.epoch,
        guilds: guilds.into_iter().filter_map(GuildId::new).collect(),
        is_called: false,
    });
    let session = Session {
        id: record.session_id,
        epoch: record.epoch,
        resume_url: record.resume_url,
        sequence: record.sequence,
        is_told_of_members: record.is_told_of_members,
    };
    Ok(Some((session, roll)))
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

/// Writes the record as the session moves.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) tenure: Tenure,
    pub(crate) shard: u32,
    pub(crate) generation: u64,
    pub(crate) status: Status,
    pub(crate) exclusions: Exclusions,
    pub(crate) gaps: Gaps,
    /// The epoch of the session that the record held when the term began.
    pub(crate) loaded: Option<u64>,
    /// The sending side, so that the end of the gateway is not the end of this.
    pub(crate) sessions: watch::Sender<Option<Session>>,
    pub(crate) roll: watch::Receiver<Option<Roll>>,
    pub(crate) reached: watch::Receiver<Option<Dispatch>>,
    pub(crate) acknowledged: watch::Receiver<u64>,
}

impl Recorder {
    /// Writes until told to stop, and then once more.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut sessions = self.sessions.subscribe();
        let mut gaps = self.gaps.moves();
        let mut is_saved = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                changed = sessions.changed() => if changed.is_err() { break },
                changed = self.reached.changed() => if changed.is_err() { break },
                changed = self.roll.changed() => if changed.is_err() { break },
                changed = gaps.changed() => if changed.is_err() { break },
                () = sleep(INTERVAL), if !is_saved => {}
                () = sleep(QUIET) => if !self.status.is_connected() { continue },
            }
            is_saved = self.save().await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(INTERVAL) => {}
            }
        }
        if !self.save().await {
            tracing::warn!("the gateway's session could not be saved; the next start replays more");
        }
    }

    /// True if there is nothing left to write.
    async fn save(&self) -> bool {
        let Some(record) = self.record() else {
            return true;
        };
        // An old leader that wakes up must not overwrite the new one's session.
        if !self.tenure.is_valid() {
            return false;
        }
        let Ok(bytes) = serde_json::to_vec(&record) else {
            return true;
        };
        let written = timeout(CALL, self.broker.set_value(&key(self.shard), bytes.into())).await;
        match written {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the gateway's session can't be saved");
                false
            }
            Err(_) => false,
        }
    }

    /// What is to be written; none while dispatches of the session before are not settled. Its record stays
    /// until then, because only a RESUME of it can bring them again. READY takes its turn behind them.
    fn record(&self) -> Option<Record> {
        let session = self.sessions.borrow().clone()?;
        let reached = *self.reached.borrow();
        let settled = reached.map(|dispatch| dispatch.epoch).or(self.loaded);
        if settled != Some(session.epoch) {
            return None;
        }
        let saved_at_ms = now_ms();
        let is_quiet = self.status.is_connected() && self.status.outcomes.pending() == 0;
        let quiet_at_ms = is_quiet.then_some(saved_at_ms);
        let sequence = reached.map_or(session.sequence, |dispatch| dispatch.sequence);
        Some(Record {
            session_id: session.id,
            epoch: session.epoch,
            resume_url: session.resume_url,
            sequence: sequence.max(session.sequence),
            saved_at_ms,
            generation: self.generation,
            stream_sequence: *self.acknowledged.borrow(),
            roll: self.uncalled(session.epoch),
            excluded: self.exclusions.channels(),
            hidden: self.exclusions.hidden(),
            is_told_of_members: session.is_told_of_members,
            gap: self.gaps.marks(self.shard, session.epoch, quiet_at_ms),
        })
    }

    /// The roll of this session, if it is still to be called. It may name more than was there at the
    /// record's sequence, never less.
    fn uncalled(&self, epoch: u64) -> Option<Vec<u64>> {
        let roll = self.roll.borrow();
        let roll = roll.as_ref()?;
        let is_due = roll.epoch == epoch && !roll.is_called;
        is_due.then(|| roll.guilds.iter().map(|guild| guild.get()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exclusions::ExclusionRules;

    fn record() -> Record {
        Record {
            session_id: "s".into(),
            epoch: u64::MAX,
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

    #[test]
    fn a_session_is_resumed_only_while_young_and_on_a_stream_that_lost_nothing() {
        let stream = StreamState {
            generation: 3,
            first: 1,
            last: 50,
        };
        let other = StreamState {
            generation: 4,
            ..stream
        };
        let behind = StreamState { last: 49, ..stream };
        let excluding = |channels: &[u64]| {
            Exclusions::new(ExclusionRules {
                channels: channels.iter().copied().collect(),
                ..ExclusionRules::default()
            })
        };
        let same = excluding(&[9, 4]);
        let now = 1_000_000;
        let why = |stream, exclusions: &Exclusions, now| {
            unusable(&record(), stream, exclusions, now).unwrap_or_default()
        };
        assert_eq!(why(stream, &same, now + AGE_MAX_MS), "");
        assert!(why(stream, &same, now + AGE_MAX_MS + 1).contains("10 minutes"));
        assert!(why(other, &same, now).contains("another"));
        assert!(why(behind, &same, now).contains("lost"));
        assert!(why(stream, &excluding(&[9]), now).contains("left out"));
    }

    fn session(epoch: u64) -> Session {
        Session {
            id: epoch.to_string(),
            epoch,
            resume_url: None,
            sequence: 1,
            is_told_of_members: true,
        }
    }

    fn dispatch(epoch: u64, sequence: u64) -> Dispatch {
        Dispatch {
            epoch,
            shard: 0,
            sequence,
        }
    }

    #[tokio::test]
    async fn a_new_session_is_recorded_only_once_all_of_the_one_before_is_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.sqlite");
        let settings = broker::EmbeddedSettings::default();
        let (reached, reached_seen) = watch::channel(None);
        let roll = Roll {
            epoch: 2,
            guilds: [GuildId::new(5).unwrap()].into(),
            is_called: false,
        };
        let (_deadline, tenure) = Tenure::until(tokio::time::Instant::now());
        let recorder = Recorder {
            broker: broker::Embedded::open(&path, settings).await.unwrap(),
            tenure,
            shard: 0,
            generation: 3,
            status: Status::default(),
            exclusions: Exclusions::default(),
            gaps: Gaps::default(),
            loaded: Some(1),
            sessions: watch::Sender::new(Some(session(1))),
            roll: watch::channel(Some(roll)).1,
            reached: reached_seen,
            acknowledged: watch::channel(0).1,
        };
        let written = || Some(recorder.record()?).map(|record| (record.epoch, record.sequence));
        assert_eq!(written(), Some((1, 1)), "the loaded one stands");
        recorder.sessions.send_replace(Some(session(2)));
        assert_eq!(written(), None, "nothing is settled yet");
        reached.send_replace(Some(dispatch(1, 9)));
        assert_eq!(written(), None, "more of the old one may come");
        reached.send_replace(Some(dispatch(2, 1)));
        assert_eq!(written(), Some((2, 1)));
        assert_eq!(recorder.record().unwrap().roll, Some(vec![5]));
    }

    #[test]
    fn a_record_reads_back() {
        let bytes = serde_json::to_vec(&record()).unwrap();
        assert_eq!(serde_json::from_slice::<Record>(&bytes).unwrap(), record());
    }
}
