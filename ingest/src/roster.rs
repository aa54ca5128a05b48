//! Which members were verified of late, and which are being asked of Discord right now.
//!
//! Kept by the publisher, in the order of the gateway's events, and read by whoever answers about members:
//! a REST answer that a gateway event has overtaken is not published. Bounded; no I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::{GuildId, UserId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::shard::ShardId;

/// A user in a guild.
pub(crate) type Key = (GuildId, UserId);

/// Verdicts that are remembered; beyond that all are forgotten and asked anew.
const VERDICTS_MAX: usize = 100_000;

/// How long "not a member" is believed; `GUILD_MEMBER_ADD` ends it sooner (decisions.md, members).
const ABSENT: Duration = Duration::from_mins(5);
/// How long "a member" is believed without the members intent (decisions.md, members).
const PRESENT_UNTOLD: Duration = Duration::from_mins(1);

/// What the gateway has said of a member since it is being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing.
    Nothing,
    /// An event is on its way to the stream.
    Queued,
    /// It has come to its end: a member or not, at this sequence; none if the stream refused it.
    Settled(bool, Option<u64>),
}

#[derive(Debug, Clone, Copy)]
struct Verdict {
    is_member: bool,
    at: Instant,
}

/// The members. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    verdicts: HashMap<Key, Verdict>,
    asked: HashMap<Key, watch::Sender<Heard>>,
    /// Whether each shard's session tells of every change of a member.
    told: BTreeMap<u32, bool>,
    era: u64,
}

impl Book {
    fn is_told(&self) -> bool {
        !self.told.is_empty() && self.told.values().all(|is_told| *is_told)
    }
}

/// A time within which nothing was forgotten: what was found out in an earlier one is no verdict any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Era(u64);

/// A question under way; the gateway's word on it is noted until this is dropped.
#[derive(Debug)]
pub(crate) struct Question {
    key: Key,
    roster: Roster,
    era: Era,
    pub(crate) heard: watch::Receiver<Heard>,
}

impl Question {
    /// Notes what Discord answered.
    pub(crate) fn verify(&self, is_member: bool) {
        self.roster.verify(self.key, is_member, self.era);
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.roster.0.lock().asked.remove(&self.key);
    }
}

impl Roster {
    /// There are so many shards now, and none of them tells of every change.
    pub(crate) fn on_shards(&self, count: u32) {
        let untold = ShardId::all(count).map(|shard| (shard.number, false));
        self.0.lock().told = untold.collect();
    }

    /// Whether this shard's session tells of every change of a member (the members intent).
    pub(crate) fn on_intents(&self, shard: ShardId, is_told: bool) {
        self.0.lock().told.insert(shard.number, is_told);
    }

    /// How long an answer holds where the gateway does not tell of every change; none where it does.
    pub(crate) fn recheck(&self) -> Option<Duration> {
        let is_told = self.0.lock().is_told();
        (!is_told).then_some(PRESENT_UNTOLD)
    }

    /// The publisher meets a new session of this shard: what was verified in the last one is not any more.
    pub(crate) fn on_identified(&self, shard: ShardId) {
        let book = &mut *self.0.lock();
        book.verdicts.retain(|(guild, _), _| !shard.has(*guild));
        book.era += 1;
    }

    /// The bot is no longer in this guild: what was verified there is not any more.
    pub(crate) fn on_guild_removed(&self, guild: GuildId) {
        let book = &mut *self.0.lock();
        book.verdicts.retain(|(of, _), _| *of != guild);
        book.era += 1;
    }

    /// The present era.
    pub(crate) fn era(&self) -> Era {
        Era(self.0.lock().era)
    }

    /// An event about this member goes to the stream.
    pub(crate) fn on_queued(&self, guild: GuildId, user: UserId) {
        let book = &mut *self.0.lock();
        let key = (guild, user);
        // Unknown until the stream has it: an answer must name a sequence that holds it.
        book.verdicts.remove(&key);
        if let Some(question) = book.asked.get(&key) {
            question.send_replace(Heard::Queued);
        }
    }

    /// The stream holds an event about this member, at this sequence if it took it.
    pub(crate) fn on_settled(&self, key: Key, is_member: bool, sequence: Option<u64>, era: Era) {
        if sequence.is_some() {
            self.verify(key, is_member, era);
        }
        if let Some(question) = self.0.lock().asked.get(&key) {
            question.send_replace(Heard::Settled(is_member, sequence));
        }
    }

    /// Whether the gateway has spoken of this member since it is being asked for.
    pub(crate) fn is_overtaken(&self, guild: GuildId, user: UserId) -> bool {
        let book = self.0.lock();
        let question = book.asked.get(&(guild, user));
        question.is_some_and(|heard| *heard.borrow() != Heard::Nothing)
    }

    /// Notes that this member is verified, if nothing was forgotten since that was found out.
    pub(crate) fn verify(&self, key: Key, is_member: bool, era: Era) {
        let book = &mut *self.0.lock();
        if book.era != era.0 {
            return;
        }
        if book.verdicts.len() >= VERDICTS_MAX {
            book.verdicts.clear();
        }
        let at = Instant::now();
        book.verdicts.insert(key, Verdict { is_member, at });
    }

    /// What is believed of this member; none where Discord must be asked.
    pub(crate) fn verdict(&self, key: Key) -> Option<bool> {
        let book = self.0.lock();
        let verdict = book.verdicts.get(&key)?;
        let is_fresh = match (verdict.is_member, book.is_told()) {
            (true, true) => true,
            (true, false) => verdict.at.elapsed() < PRESENT_UNTOLD,
            (false, _) => verdict.at.elapsed() < ABSENT,
        };
        is_fresh.then_some(verdict.is_member)
    }

    /// Begins a question; one at a time a member.
    pub(crate) fn ask(&self, key: Key) -> Question {
        let sender = watch::Sender::new(Heard::Nothing);
        let heard = sender.subscribe();
        let book = &mut *self.0.lock();
        book.asked.insert(key, sender);
        Question {
            key,
            roster: self.clone(),
            era: Era(book.era),
            heard,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        (GuildId::new(1).unwrap(), UserId::new(2).unwrap())
    }

    #[test]
    fn the_gateways_word_overtakes_a_question_and_becomes_the_verdict_once_stored() {
        let roster = Roster::default();
        roster.on_intents(ShardId::ONE, true);
        roster.on_identified(ShardId::ONE);
        let (guild, user) = key();
        let question = roster.ask(key());
        assert!(!roster.is_overtaken(guild, user));
        roster.on_queued(guild, user);
        assert!(roster.is_overtaken(guild, user));
        assert_eq!(roster.verdict(key()), None);
        roster.on_settled(key(), true, Some(9), roster.era());
        assert_eq!(*question.heard.borrow(), Heard::Settled(true, Some(9)));
        drop(question);
        assert!(!roster.is_overtaken(guild, user));
        assert_eq!(roster.verdict(key()), Some(true));
        roster.on_identified(ShardId::ONE);
        assert_eq!(roster.verdict(key()), None);
    }

    #[test]
    fn answers_hold_for_a_minute_unless_the_gateway_tells_of_every_change() {
        let roster = Roster::default();
        assert_eq!(roster.recheck(), Some(PRESENT_UNTOLD));
        roster.on_intents(ShardId::ONE, true);
        assert_eq!(roster.recheck(), None);
        roster.on_intents(ShardId::ONE, false);
        assert_eq!(roster.recheck(), Some(Duration::from_mins(1)));
    }

    #[test]
    fn what_was_found_out_before_all_was_forgotten_is_no_verdict() {
        let roster = Roster::default();
        let (guild, _) = key();
        let other = (GuildId::new(9).unwrap(), key().1);
        for forget in [
            |roster: &Roster, _| roster.on_identified(ShardId::ONE),
            Roster::on_guild_removed as fn(&Roster, GuildId),
        ] {
            let question = roster.ask(key());
            let era = roster.era();
            roster.verify(key(), true, era);
            roster.verify(other, true, era);
            forget(&roster, guild);
            assert_eq!(roster.verdict(key()), None);
            roster.on_settled(key(), true, Some(9), era);
            question.verify(true);
            assert_eq!(roster.verdict(key()), None);
        }
        assert_eq!(roster.verdict(other), Some(true), "of another guild");
    }

    #[test]
    fn each_shard_forgets_its_own_and_all_must_tell_of_changes() {
        let roster = Roster::default();
        roster.on_shards(2);
        let [even, odd] = [0, 1].map(|number| ShardId { number, count: 2 });
        let guild = |shard: u64| GuildId::new((shard << 22) | 1).unwrap();
        roster.on_intents(even, true);
        assert!(roster.recheck().is_some(), "the other does not tell");
        roster.on_intents(odd, true);
        assert_eq!(roster.recheck(), None);
        let [first, second] = [0, 1].map(|shard| (guild(shard), key().1));
        for key in [first, second] {
            roster.verify(key, true, roster.era());
        }
        roster.on_identified(odd);
        assert_eq!(roster.verdict(first), Some(true));
        assert_eq!(roster.verdict(second), None);
    }
}
