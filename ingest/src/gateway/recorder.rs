//! Writes the records of the sessions as these move, each on its own.
//!
//! A record is written when what it says has changed, and every so often while its shard is connected: its age
//! says for how long the shard has not been.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use futures_util::future::join_all;
use runtime::time::now_ms;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::session::{Record, Session, Sessions, key};
use crate::backfill::{Gaps, Marks};
use crate::exclusions::Exclusions;
use crate::leader::Tenure;
use crate::publish::Reached;
use crate::roll::Rolls;
use crate::status::Status;

/// How often a record is written at the most.
const INTERVAL: Duration = Duration::from_millis(250);
/// How often it is written while nothing happens, so that a quiet session does not look old.
const QUIET: Duration = Duration::from_secs(30);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(2);

/// Writes the records.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) tenure: Tenure,
    pub(crate) generation: u64,
    pub(crate) status: Status,
    pub(crate) exclusions: Exclusions,
    pub(crate) gaps: Gaps,
    /// The epochs of the sessions that the records held when the term began.
    pub(crate) loaded: HashSet<u64>,
    /// The sending side, so that the end of the gateway is not the end of this.
    pub(crate) sessions: watch::Sender<Sessions>,
    pub(crate) rolls: watch::Receiver<Rolls>,
    pub(crate) reached: watch::Receiver<Reached>,
    pub(crate) acknowledged: watch::Receiver<u64>,
}

/// What was written last, by the number of the shard, and when.
type Written = BTreeMap<u32, (Record, Instant)>;

impl Recorder {
    /// Writes until told to stop, and then once more.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut sessions = self.sessions.subscribe();
        let mut gaps = self.gaps.moves();
        let begun = Instant::now();
        let present = self.records().into_iter();
        // What was loaded stands as it is.
        let mut written: Written = present
            .map(|(shard, record)| (shard, (record, begun)))
            .collect();
        let mut is_saved = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                changed = sessions.changed() => if changed.is_err() { break },
                changed = self.reached.changed() => if changed.is_err() { break },
                changed = self.rolls.changed() => if changed.is_err() { break },
                changed = gaps.changed() => if changed.is_err() { break },
                () = sleep(INTERVAL), if !is_saved => {}
                () = sleep(QUIET) => {}
            }
            is_saved = self.save(&mut written).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(INTERVAL) => {}
            }
        }
        if !self.save(&mut written).await {
            tracing::warn!(
                "the gateway's sessions could not be saved; the next start replays more"
            );
        }
    }

    /// True if there is nothing left to write.
    async fn save(&self, written: &mut Written) -> bool {
        let now = Instant::now();
        let mut due = self.records();
        due.retain(|(shard, record)| {
            let last = written.get(shard);
            last.is_none_or(|(last, at)| {
                let is_quiet = now.duration_since(*at) >= QUIET;
                !record.says_the_same_as(last)
                    || (is_quiet && self.status.is_shard_connected(*shard))
            })
        });
        if due.is_empty() && ended(written).is_empty() {
            return true;
        }
        // An old leader that wakes up must not overwrite the new one's sessions.
        if !self.tenure.is_valid() {
            return false;
        }
        let writes = due.iter().map(|(shard, record)| self.write(*shard, record));
        let results = join_all(writes).await;
        let is_saved = results.iter().all(|is_written| *is_written);
        let tried = due.into_iter().zip(results);
        let done = tried.filter(|(_, is_written)| *is_written);
        written.extend(done.map(|((shard, record), _)| (shard, (record, now))));
        for shard in ended(written) {
            if !self.set(shard, Vec::new()).await {
                return false;
            }
            written.remove(&shard);
        }
        is_saved
    }

    async fn write(&self, shard: u32, record: &Record) -> bool {
        match serde_json::to_vec(record) {
            Ok(bytes) => self.set(shard, bytes).await,
            Err(_) => true,
        }
    }

    async fn set(&self, shard: u32, bytes: Vec<u8>) -> bool {
        let written = timeout(CALL, self.broker.set_value(&key(shard), bytes.into())).await;
        match written {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the gateway's session can't be saved");
                false
            }
            Err(_) => false,
        }
    }

    fn records(&self) -> Vec<(u32, Record)> {
        let sessions = self.sessions.borrow().clone();
        let records = sessions
            .into_iter()
            .filter_map(|(shard, session)| Some((shard, self.record(session)?)));
        records.collect()
    }

    /// What is to be written; none while dispatches of the session before are not settled. Its record stays
    /// until then, because only a RESUME of it can bring them again. READY takes its turn behind them.
    fn record(&self, session: Session) -> Option<Record> {
        let reached = self.reached.borrow().get(&session.shard.number).copied();
        let is_settled = match reached {
            Some(dispatch) => dispatch.epoch == session.epoch,
            None => self.loaded.contains(&session.epoch),
        };
        if !is_settled {
            return None;
        }
        let number = session.shard.number;
        let saved_at_ms = now_ms();
        let is_quiet =
            self.status.is_shard_connected(number) && self.status.outcomes.pending() == 0;
        let quiet_at_ms = is_quiet.then_some(saved_at_ms);
        let sequence = reached.map_or(session.sequence, |dispatch| dispatch.sequence);
        let gap = self.gaps.marks(number, session.epoch, quiet_at_ms);
        // Until the gap is repaired the sequence stays at the session's beginning: what was published since is as old.
        let repairing_ms = gap.as_ref().and_then(Marks::repairing_since);
        Some(Record {
            session_id: session.id,
            epoch: session.epoch,
            shards: session.shard.count,
            resume_url: session.resume_url,
            sequence: sequence.max(session.sequence),
            saved_at_ms: repairing_ms.map_or(saved_at_ms, |ms| ms.min(saved_at_ms)),
            generation: self.generation,
            stream_sequence: *self.acknowledged.borrow(),
            roll: self.uncalled(session.epoch),
            excluded: self.exclusions.channels(),
            hidden: self.exclusions.hidden(),
            is_told_of_members: session.is_told_of_members,
            gap,
        })
    }

    /// The roll of this session, if it is still to be called. It may name more than was there at the
    /// record's sequence, never less.
    fn uncalled(&self, epoch: u64) -> Option<Vec<u64>> {
        let rolls = self.rolls.borrow();
        let roll = rolls.of(epoch).filter(|roll| !roll.is_called)?;
        Some(roll.guilds.iter().map(|guild| guild.get()).collect())
    }
}

/// The shards that are no more, since the first one's record says of how many it is. What they left must not be resumed
/// should there be as many again: others have told of their guilds meanwhile.
fn ended(written: &Written) -> Vec<u32> {
    let count = written.get(&0).map_or(u32::MAX, |(first, _)| first.shards);
    let numbers = written.keys().copied();
    numbers.filter(|number| *number >= count).collect()
}

impl Record {
    /// Whether it says what another says, whenever that was.
    fn says_the_same_as(&self, other: &Self) -> bool {
        let gap = self.gap.clone().zip(other.gap.as_ref());
        let of_then = Self {
            saved_at_ms: other.saved_at_ms,
            stream_sequence: other.stream_sequence,
            gap: gap.map(|(marks, then)| marks.heard_as_in(then)),
            ..self.clone()
        };
        of_then == *other
    }
}

#[cfg(test)]
mod tests {
    use broker::{Embedded, EmbeddedSettings};
    use proto::GuildId;
    use proto::identity::Dispatch;

    use super::*;
    use crate::roll::Roll;
    use crate::shard::ShardId;

    fn shard(number: u32) -> ShardId {
        ShardId { number, count: 2 }
    }

    fn session(number: u32, epoch: u64) -> Session {
        Session {
            shard: shard(number),
            id: epoch.to_string(),
            epoch,
            resume_url: None,
            sequence: 1,
            is_told_of_members: true,
        }
    }

    fn dispatch(shard: u32, epoch: u64, sequence: u64) -> (u32, Dispatch) {
        let dispatch = Dispatch {
            epoch,
            shard,
            sequence,
        };
        (shard, dispatch)
    }

    struct Bench {
        recorder: Recorder,
        reached: watch::Sender<Reached>,
        _deadline: watch::Sender<Instant>,
        _folder: tempfile::TempDir,
    }

    async fn bench(loaded: impl IntoIterator<Item = Session>, rolls: Rolls) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.sqlite");
        let (reached, reached_seen) = watch::channel(Reached::new());
        let (deadline, tenure) = Tenure::until(Instant::now() + QUIET * 10);
        let loaded = loaded
            .into_iter()
            .map(|session| (session.shard.number, session));
        let loaded: Sessions = loaded.collect();
        let recorder = Recorder {
            broker: Embedded::open(&path, EmbeddedSettings::default())
                .await
                .unwrap(),
            tenure,
            generation: 3,
            status: Status::default(),
            exclusions: Exclusions::default(),
            gaps: Gaps::default(),
            loaded: loaded.values().map(|session| session.epoch).collect(),
            sessions: watch::Sender::new(loaded),
            rolls: watch::channel(rolls).1,
            reached: reached_seen,
            acknowledged: watch::channel(0).1,
        };
        Bench {
            recorder,
            reached,
            _deadline: deadline,
            _folder: folder,
        }
    }

    #[tokio::test]
    async fn a_new_session_is_recorded_only_once_all_of_the_one_before_is_settled() {
        let roll = Roll {
            shard: shard(0),
            epoch: 2,
            guilds: [GuildId::new(5).unwrap()].into(),
            is_called: false,
        };
        let rolls = Rolls([(0, roll)].into());
        let bench = bench([session(0, 1), session(1, 11)], rolls).await;
        let (recorder, reached) = (&bench.recorder, &bench.reached);
        let written = || {
            let records = recorder.records().into_iter();
            let facts = records.map(|(shard, record)| (shard, record.epoch, record.sequence));
            facts.collect::<Vec<_>>()
        };
        let set = |(shard, dispatch)| {
            reached.send_modify(|all| {
                all.insert(shard, dispatch);
            });
        };
        assert_eq!(written(), [(0, 1, 1), (1, 11, 1)], "the loaded ones stand");
        let begin = |sessions: &mut Sessions| drop(sessions.insert(0, session(0, 2)));
        recorder.sessions.send_modify(begin);
        assert_eq!(written(), [(1, 11, 1)], "nothing is settled yet");
        set(dispatch(0, 1, 9));
        set(dispatch(1, 11, 4));
        assert_eq!(written(), [(1, 11, 4)], "more of the old one may come");
        set(dispatch(0, 2, 1));
        assert_eq!(written(), [(0, 2, 1), (1, 11, 4)]);
        let records = recorder.records();
        let rolls: Vec<_> = records
            .iter()
            .map(|(_, record)| record.roll.clone())
            .collect();
        assert_eq!(rolls, [Some(vec![5]), None]);
    }

    #[tokio::test]
    async fn a_shard_that_is_not_connected_does_not_look_young_because_another_moves() {
        let bench = bench([session(0, 1), session(1, 11)], Rolls::default()).await;
        let (recorder, reached) = (&bench.recorder, &bench.reached);
        recorder.status.on_shards(2);
        recorder.status.on_connected(shard(0), true);
        let before = Instant::now().checked_sub(QUIET).unwrap();
        let records = recorder.records().into_iter();
        let records = records.map(|(shard, record)| (shard, (record, before)));
        let mut written: Written = records.collect();
        let values = async |shard| recorder.broker.value(&key(shard)).await.unwrap();
        assert!(recorder.save(&mut written).await);
        assert!(values(0).await.is_some(), "it is connected, and quiet");
        assert_eq!(values(1).await, None);
        let (shard, moved) = dispatch(1, 11, 4);
        reached.send_modify(|all| {
            all.insert(shard, moved);
        });
        assert!(recorder.save(&mut written).await);
        assert!(values(1).await.is_some(), "it says something new");
    }

    /// The stream forgets identities: a RESUME from before a long repair would repeat what it has forgotten.
    #[tokio::test]
    async fn a_record_is_as_old_as_the_gap_that_is_being_repaired() {
        let bench = bench([session(0, 1)], Rolls::default()).await;
        let (recorder, guild) = (&bench.recorder, GuildId::new(5).unwrap());
        let age = || now_ms() - recorder.records()[0].1.saved_at_ms;
        assert!(age() < 60_000);
        let began_ms = now_ms() - 700_000;
        let named = Some(vec![guild]);
        recorder.gaps.on_ready(shard(0), 1, named, began_ms);
        assert!(age() >= 700_000);
        let (_, at) = dispatch(0, 1, 1);
        recorder.gaps.on_repaired(at, guild);
        assert!(age() < 60_000);
    }

    #[tokio::test]
    async fn what_a_shard_left_that_is_no_more_is_not_resumed() {
        let bench = bench([session(0, 1), session(1, 11)], Rolls::default()).await;
        let (recorder, reached) = (&bench.recorder, &bench.reached);
        let mut written = Written::new();
        let values = async |shard| recorder.broker.value(&key(shard)).await.unwrap().unwrap();
        assert!(recorder.save(&mut written).await);
        recorder.sessions.send_modify(Sessions::clear);
        assert!(recorder.save(&mut written).await);
        assert!(!values(1).await.is_empty(), "a crash here resumes both");
        let mut alone = session(0, 2);
        alone.shard = ShardId::ONE;
        let begin = |sessions: &mut Sessions| drop(sessions.insert(0, alone));
        recorder.sessions.send_modify(begin);
        let (shard, first) = dispatch(0, 2, 1);
        reached.send_modify(|all| {
            all.insert(shard, first);
        });
        assert!(recorder.save(&mut written).await);
        assert!(!values(0).await.is_empty());
        assert!(values(1).await.is_empty());
        assert_eq!(written.len(), 1);
    }
}
