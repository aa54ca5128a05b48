//! What the gateway's sessions have to make good: which guilds are still to be repaired and compared, and since when.
//!
//! A new session begins behind a gap: since the one before it was last known to have brought everything. Guilds that
//! READY named are missing until their snapshot has come and their channels are repaired, and then uncompared until
//! the changes of older messages are found too. Kept with the session's record, so that a crash forgets nothing of
//! it. Knows neither Discord nor the stream.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use proto::identity::Dispatch;
use proto::{ChannelId, GuildId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Place;
use crate::shard::ShardId;

/// What a connection that is dead and not known to be (two heartbeats of Discord's, 83 s), and clocks that differ may
/// amount to.
const MARGIN_MS: i64 = 3 * 60 * 1_000;

/// The gaps of all shards. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gaps(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    books: Mutex<Books>,
    moved: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Books {
    sessions: BTreeMap<u32, Session>,
    floors: HashMap<ChannelId, Floor>,
    /// When something was heard last, where no record says more.
    unrecorded_ms: Option<i64>,
}

/// A session and the gap before it.
#[derive(Debug)]
struct Session {
    shard: ShardId,
    epoch: u64,
    marks: Marks,
}

/// What is recorded of a session's gap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// Everything of before was heard when the session began, in milliseconds since 1970; none if nobody ever listened.
    since_ms: Option<i64>,
    /// When it began.
    began_ms: i64,
    /// Everything of before is heard now.
    heard_ms: Option<i64>,
    /// The guilds whose channels are not repaired yet; none where READY did not name any.
    missing: Option<BTreeSet<u64>>,
    /// Those that are, and in which the changes of older messages are not found yet.
    uncompared: BTreeSet<u64>,
    /// The newest message of before the gap, of each channel that has one: those below it are compared.
    #[serde(default)]
    floors: BTreeMap<u64, u64>,
}

impl Marks {
    /// Those of a record that has none: it was written at this moment.
    pub(crate) fn at(saved_at_ms: i64) -> Self {
        Self {
            since_ms: Some(saved_at_ms),
            began_ms: saved_at_ms,
            heard_ms: Some(saved_at_ms),
            ..Self::default()
        }
    }

    /// The same, if all was heard last when another says.
    pub(crate) fn heard_as_in(self, other: &Self) -> Self {
        Self {
            heard_ms: other.heard_ms,
            ..self
        }
    }

    /// When the session began, while what it brought first waits for the repair of its gap.
    pub(crate) fn repairing_since(&self) -> Option<i64> {
        (!self.is_whole()).then_some(self.began_ms)
    }

    fn is_whole(&self) -> bool {
        self.missing.as_ref().is_none_or(BTreeSet::is_empty)
    }
}

/// The guilds of a session that are to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uncompared {
    pub(crate) shard: u32,
    pub(crate) epoch: u64,
    pub(crate) since_ms: Option<i64>,
    pub(crate) began_ms: i64,
    pub(crate) guilds: Vec<GuildId>,
}

/// The newest message that a channel's history may be read down from.
#[derive(Debug, Default)]
struct Floor {
    /// Gaps of the channel that are not repaired yet.
    pending: usize,
    newest: Option<u64>,
}

impl Gaps {
    /// A record of this session was found.
    pub(crate) fn load(&self, shard: ShardId, epoch: u64, marks: Marks) {
        let session = Session {
            shard,
            epoch,
            marks,
        };
        self.0.books.lock().sessions.insert(shard.number, session);
        self.0.moved.send_replace(());
    }

    /// There is no record: this is the last moment of which something is stored.
    pub(crate) fn load_none(&self, heard_ms: Option<i64>) {
        self.0.books.lock().unrecorded_ms = heard_ms;
    }

    /// A new session of this shard begins at this moment, and READY names these guilds. Returns since when something
    /// may be missing, if that is known.
    pub(crate) fn on_ready(
        &self,
        shard: ShardId,
        epoch: u64,
        named: Option<Vec<GuildId>>,
        began_ms: i64,
    ) -> Option<i64> {
        let books = &mut *self.0.books.lock();
        let sessions = &mut books.sessions;
        let heard_ms = heard_before(sessions, shard).or(books.unrecorded_ms);
        let floors = floors_before(sessions, shard);
        let named = named.filter(|guilds| !guilds.is_empty());
        let session = Session {
            shard,
            epoch,
            marks: Marks {
                since_ms: heard_ms,
                began_ms,
                heard_ms,
                missing: named.map(|guilds| guilds.iter().map(|guild| guild.get()).collect()),
                uncompared: BTreeSet::new(),
                floors,
            },
        };
        // Those of another count had the same guilds in other hands.
        sessions.retain(|_, session| session.shard.count == shard.count);
        sessions.insert(shard.number, session);
        heard_ms
    }

    /// The guild is in an outage, and its snapshot comes when that ends; or the bot has left it.
    pub(crate) fn on_away(&self, at: Dispatch, guild: GuildId) {
        self.on_session(at.shard, at.epoch, |marks| {
            marks
                .missing
                .as_mut()
                .is_some_and(|missing| missing.remove(&guild.get()))
        });
    }

    /// Since when messages may be missing in channels of this guild of which nobody knows any; none if there is
    /// nothing to miss: nobody listened, or the bot has just come.
    pub(crate) fn since(&self, at: Dispatch, guild: GuildId) -> Option<i64> {
        let books = self.0.books.lock();
        let session = books.sessions.get(&at.shard)?;
        let marks = Some(&session.marks).filter(|_| session.epoch == at.epoch)?;
        let missing = marks.missing.as_ref();
        let is_missing = missing.is_none_or(|missing| missing.contains(&guild.get()));
        let since_ms = marks.since_ms.filter(|_| is_missing)?;
        Some(since_ms.saturating_sub(MARGIN_MS))
    }

    /// The channels of a guild are repaired; what is older is to be compared, unless nobody listened before.
    pub(crate) fn on_repaired(&self, at: Dispatch, guild: GuildId) {
        self.on_session(at.shard, at.epoch, |marks| {
            if let Some(missing) = &mut marks.missing {
                missing.remove(&guild.get());
            }
            let has_gap = marks.since_ms.is_some() || !marks.floors.is_empty();
            has_gap && marks.uncompared.insert(guild.get())
        });
    }

    /// The guilds of a session are compared. True if nothing is left of its gap.
    pub(crate) fn on_compared(&self, compared: &Uncompared) -> bool {
        self.on_session(compared.shard, compared.epoch, |marks| {
            for guild in &compared.guilds {
                marks.uncompared.remove(&guild.get());
            }
            let is_done = marks.is_whole() && marks.uncompared.is_empty();
            if is_done {
                marks.floors.clear();
            }
            is_done
        })
    }

    /// Whether the session of this epoch is its shard's last.
    pub(crate) fn is_current(&self, shard: u32, epoch: u64) -> bool {
        let books = self.0.books.lock();
        let session = books.sessions.get(&shard);
        session.is_some_and(|session| session.epoch == epoch)
    }

    /// What is to be compared now.
    pub(crate) fn uncompared(&self) -> Vec<Uncompared> {
        let books = self.0.books.lock();
        let sessions = books.sessions.iter();
        let uncompared = |(shard, session): (&u32, &Session)| Uncompared {
            shard: *shard,
            epoch: session.epoch,
            since_ms: session.marks.since_ms,
            began_ms: session.marks.began_ms,
            guilds: session
                .marks
                .uncompared
                .iter()
                .filter_map(|guild| GuildId::new(*guild))
                .collect(),
        };
        sessions
            .map(uncompared)
            .filter(|uncompared| !uncompared.guilds.is_empty())
            .collect()
    }

    /// What is recorded of this session; `quiet_at_ms`: the gateway is connected at that moment, and all that came is
    /// settled.
    pub(crate) fn marks(&self, shard: u32, epoch: u64, quiet_at_ms: Option<i64>) -> Option<Marks> {
        let mut books = self.0.books.lock();
        let session = books.sessions.get_mut(&shard);
        let session = session.filter(|session| session.epoch == epoch)?;
        // A guild that has not come may miss what was said since the session before.
        if session.marks.is_whole() {
            session.marks.heard_ms = quiet_at_ms.or(session.marks.heard_ms);
        }
        Some(session.marks.clone())
    }

    /// Tells when something has changed.
    pub(crate) fn moves(&self) -> watch::Receiver<()> {
        self.0.moved.subscribe()
    }

    /// A channel has a gap that is not repaired yet.
    pub(crate) fn on_gap(&self, channel: ChannelId) {
        let mut books = self.0.books.lock();
        books.floors.entry(channel).or_default().pending += 1;
    }

    /// It has one no longer; `newest`: what was known before the gap.
    pub(crate) fn on_verdict(&self, channel: ChannelId, newest: Option<u64>) {
        let books = &mut *self.0.books.lock();
        let floor = books.floors.entry(channel).or_default();
        floor.pending = floor.pending.saturating_sub(1);
        floor.newest = match (floor.newest, newest) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        if floor.pending == 0 && floor.newest.is_none() {
            books.floors.remove(&channel);
        }
        self.0.moved.send_replace(());
    }

    /// This message is the newest of before the channel's gap. What a crash leaves of the gap itself is not taken for it.
    pub(crate) fn on_known(&self, place: Place, channel: ChannelId, newest: u64) {
        self.on_session(place.shard, place.epoch, |marks| {
            marks.floors.entry(channel.get()).or_insert(newest);
            true
        });
    }

    /// The newest message of before the channel's gap; none if it has none.
    pub(crate) fn newest_before(&self, place: Place, channel: ChannelId) -> Option<u64> {
        let books = self.0.books.lock();
        let session = books.sessions.get(&place.shard);
        let session = session.filter(|session| session.epoch == place.epoch)?;
        session.marks.floors.get(&channel.get()).copied()
    }

    /// The newest message that whoever fills the channel's history may bring; none if any. Waits while its gap is not
    /// repaired: what was said in it comes through the stream.
    pub(crate) async fn floor(&self, channel: ChannelId) -> Option<u64> {
        let mut moves = self.moves();
        loop {
            moves.borrow_and_update();
            match self.0.books.lock().floors.get(&channel) {
                None => return None,
                Some(floor) if floor.pending == 0 => return floor.newest,
                Some(_) => {}
            }
            // The sender lives in self, so that waiting can't fail.
            if moves.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn on_session(&self, shard: u32, epoch: u64, change: impl FnOnce(&mut Marks) -> bool) -> bool {
        let changed = {
            let mut books = self.0.books.lock();
            let session = books.sessions.get_mut(&shard);
            let session = session.filter(|session| session.epoch == epoch);
            session.is_some_and(|session| change(&mut session.marks))
        };
        self.0.moved.send_replace(());
        changed
    }
}

/// The session before, of this very shard.
fn session_before(sessions: &BTreeMap<u32, Session>, shard: ShardId) -> Option<&Session> {
    let session = sessions.get(&shard.number);
    session.filter(|session| session.shard == shard)
}

/// When everything of this shard's guilds was heard last: by its own session, or, where it has none of this count, by
/// whichever of the others heard least, of the count before.
fn heard_before(sessions: &BTreeMap<u32, Session>, shard: ShardId) -> Option<i64> {
    if let Some(own) = session_before(sessions, shard) {
        return own.marks.heard_ms;
    }
    let heard = sessions.values().filter_map(|session| {
        if session.shard.count == shard.count {
            session.marks.since_ms
        } else {
            session.marks.heard_ms
        }
    });
    heard.min()
}

/// The floors of the session before, or of all of another count: what was not compared yet is compared from there.
fn floors_before(sessions: &BTreeMap<u32, Session>, shard: ShardId) -> BTreeMap<u64, u64> {
    if let Some(own) = session_before(sessions, shard) {
        return own.marks.floors.clone();
    }
    let others = sessions.values();
    let others = others.filter(|session| session.shard.count != shard.count);
    others
        .flat_map(|session| session.marks.floors.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64) -> Dispatch {
        Dispatch {
            epoch,
            shard: 0,
            sequence: 1,
        }
    }

    fn guild(id: u64) -> GuildId {
        GuildId::new(id).unwrap()
    }

    fn ready(gaps: &Gaps, epoch: u64, named: &[u64]) -> Option<i64> {
        let named = named.iter().map(|id| guild(*id)).collect();
        gaps.on_ready(ShardId::ONE, epoch, Some(named), 1)
    }

    #[test]
    fn the_first_session_of_all_has_no_gap_and_the_next_one_since_all_was_heard() {
        let gaps = Gaps::default();
        assert_eq!(ready(&gaps, 1, &[5]), None);
        assert_eq!(gaps.since(at(1), guild(5)), None);
        gaps.marks(0, 1, Some(1_000_000));
        gaps.on_repaired(at(1), guild(5));
        assert!(gaps.uncompared().is_empty());
        gaps.marks(0, 1, Some(2_000_000));
        gaps.marks(0, 1, None);
        assert_eq!(ready(&gaps, 2, &[5, 6]), Some(2_000_000));
        assert_eq!(gaps.since(at(2), guild(5)), Some(2_000_000 - MARGIN_MS));
        assert_eq!(gaps.since(at(2), guild(7)), None, "it has just come");
        assert_eq!(gaps.since(at(1), guild(5)), None, "another session");
    }

    /// The broker has lost the records with everything else, or they were taken away.
    #[test]
    fn without_a_record_the_gap_begins_where_the_store_ends() {
        let gaps = Gaps::default();
        gaps.load_none(Some(1_000_000));
        assert_eq!(ready(&gaps, 1, &[5]), Some(1_000_000));
        assert_eq!(gaps.since(at(1), guild(5)), Some(1_000_000 - MARGIN_MS));
        gaps.on_repaired(at(1), guild(5));
        assert_eq!(gaps.uncompared().len(), 1);
        gaps.marks(0, 1, Some(2_000_000));
        assert_eq!(ready(&gaps, 2, &[5]), Some(2_000_000), "the session before");
    }

    #[test]
    fn a_gap_that_is_not_repaired_is_the_next_sessions_too_also_after_a_restart() {
        let gaps = Gaps::default();
        gaps.load(ShardId::ONE, 1, Marks::at(1_000));
        ready(&gaps, 2, &[5, 6]);
        gaps.on_repaired(at(2), guild(5));
        let place = Place { shard: 0, epoch: 2 };
        let channel = ChannelId::new(9).unwrap();
        gaps.on_known(place, channel, 40);
        let marks = gaps.marks(0, 2, Some(9_000_000)).unwrap();
        let text = serde_json::to_string(&marks).unwrap();
        let next = Gaps::default();
        next.load(ShardId::ONE, 2, serde_json::from_str(&text).unwrap());
        assert_eq!(next.since(at(2), guild(6)), Some(1_000 - MARGIN_MS));
        next.on_known(place, channel, 45);
        assert_eq!(next.newest_before(place, channel), Some(40));
        assert_eq!(ready(&next, 3, &[5]), Some(1_000));
        let place = Place { shard: 0, epoch: 3 };
        assert_eq!(next.newest_before(place, channel), Some(40));
        assert!(next.uncompared().is_empty(), "all is compared anew");
    }

    #[test]
    fn a_session_is_done_once_all_its_guilds_are_repaired_and_compared() {
        let gaps = Gaps::default();
        gaps.load(ShardId::ONE, 1, Marks::at(1_000));
        ready(&gaps, 2, &[5, 6, 7]);
        gaps.on_repaired(at(2), guild(5));
        let first = gaps.uncompared();
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].guilds, [guild(5)]);
        assert!(!gaps.on_compared(&first[0]), "two are missing");
        gaps.on_repaired(at(2), guild(6));
        gaps.on_away(at(2), guild(7));
        let second = gaps.uncompared();
        assert_eq!(second[0].guilds, [guild(6)]);
        assert!(gaps.on_compared(&second[0]));
        assert!(gaps.uncompared().is_empty());
        let marks = gaps.marks(0, 2, Some(5_000)).unwrap();
        assert_eq!(marks.heard_ms, Some(5_000));
        ready(&gaps, 3, &[5]);
        assert!(!gaps.on_compared(&second[0]), "another session");
        assert!(gaps.is_current(0, 3) && !gaps.is_current(0, 2));
    }

    #[test]
    fn shards_of_another_count_begin_where_the_least_was_heard() {
        let shard = |number, count| ShardId { number, count };
        let gaps = Gaps::default();
        let begin = |shard, epoch| gaps.on_ready(shard, epoch, Some(vec![guild(5)]), 1);
        let quiet = |shard, epoch, at_ms| {
            let place = Dispatch {
                epoch,
                shard,
                sequence: 1,
            };
            gaps.on_repaired(place, guild(5));
            gaps.marks(shard, epoch, Some(at_ms));
        };
        assert_eq!(begin(shard(0, 2), 1), None);
        quiet(0, 1, 5_000);
        assert_eq!(begin(shard(1, 2), 2), None, "nobody ever listened");
        quiet(1, 2, 3_000);
        assert_eq!(begin(shard(0, 3), 3), Some(3_000));
        quiet(0, 3, 9_000);
        assert_eq!(begin(shard(1, 3), 4), Some(3_000));
        assert_eq!(begin(shard(0, 3), 5), Some(9_000), "it has one of its own");
        assert_eq!(begin(shard(2, 3), 6), Some(3_000));
        quiet(0, 5, 10_000);
        assert_eq!(begin(ShardId::ONE, 7), Some(3_000));
        assert!(!gaps.is_current(1, 4));
    }

    #[tokio::test]
    async fn who_fills_a_channel_waits_for_its_gap_and_stays_below_it() {
        let gaps = Gaps::default();
        let channel = ChannelId::new(9).unwrap();
        assert_eq!(gaps.floor(channel).await, None);
        gaps.on_gap(channel);
        gaps.on_gap(channel);
        let waiting = tokio::spawn({
            let gaps = gaps.clone();
            async move { gaps.floor(channel).await }
        });
        gaps.on_verdict(channel, Some(40));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        gaps.on_verdict(channel, Some(50));
        assert_eq!(waiting.await.unwrap(), Some(40));
        gaps.on_gap(channel);
        gaps.on_verdict(channel, None);
        assert_eq!(gaps.floor(channel).await, Some(40));
    }
}
