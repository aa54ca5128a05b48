//! The totals of messages that are reacted to, and the changes that wait for a base to be counted on.
//!
//! A message that was seen to be posted begins with nothing; any other is looked up once, while its changes
//! wait in order. A base that Discord was asked for may hold changes that are still to come: for a while after
//! they are not counted, the message is read again. Bounded; no clock and no I/O.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use proto::event::Reaction;
use proto::identity::Dispatch;
use tokio::time::Instant;

use super::{Change, Key, apply};
use crate::outcome::{Outcome, Skip};

/// Messages that are remembered, in two shelves: what the older one holds is forgotten when the younger is full.
const SHELF_MAX: usize = 32_768;
/// For so long after a message was read, its changes may be in what was read: Discord's dispatches are not
/// later than this.
const UNSURE: Duration = Duration::from_secs(5);
/// A message is read again so long after it was read, at the earliest: all that came meanwhile is in one reading.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// A change that waits, with what its owner wants back (`T`).
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    pub(crate) dispatch: Dispatch,
    pub(crate) change: Change,
    pub(crate) ticket: T,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// These are the reactions after this dispatch: publish them.
    Total(Key, Vec<Reaction>, Dispatch, T),
    /// The dispatch has come to its end without a publication.
    Settled(T, Outcome),
    /// The message's reactions are to be found.
    LookUp(Key, LookUp),
}

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookUp {
    /// In SQL, for a dispatch of this session.
    Stored(Dispatch),
    /// In Discord, at this moment.
    Discord(Instant),
}

/// The totals.
#[derive(Debug)]
pub(crate) struct Ledger<T> {
    young: HashMap<Key, Entry<T>>,
    old: HashMap<Key, Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    state: State,
    waiting: VecDeque<Waiting<T>>,
    /// Totals on their way to the stream: until they are there, nothing else knows them.
    under_way: u32,
}

#[derive(Debug)]
enum State {
    Known {
        totals: Vec<Reaction>,
        mark: Option<Dispatch>,
        read_at: Option<Instant>,
    },
    /// It is being looked up. `last`: what was published last, as far as that is known; `covered`: so many of
    /// those who wait came before it was read.
    Asked {
        last: Option<Vec<Reaction>>,
        covered: usize,
    },
    /// Its author is left out.
    Ignored,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }
}

impl<T> Entry<T> {
    fn new(state: State) -> Self {
        Self {
            state,
            waiting: VecDeque::new(),
            under_way: 0,
        }
    }

    fn is_needed(&self) -> bool {
        !self.waiting.is_empty() || self.under_way > 0
    }
}

impl<T> Ledger<T> {
    /// A message was posted, with these reactions: nobody else knows it yet.
    pub(crate) fn on_created(&mut self, key: Key, totals: Vec<Reaction>) {
        if self.entry(key).is_none() {
            let state = State::Known {
                totals,
                mark: None,
                read_at: None,
            };
            self.insert(key, Entry::new(state));
        }
    }

    /// These totals of a message, as Discord gave them at that moment, are about to be published beside its changes.
    pub(crate) fn on_told(&mut self, key: Key, totals: Vec<Reaction>, read_at: Instant) {
        let Some(entry) = self.entry(key) else {
            let state = State::Known {
                totals,
                mark: None,
                read_at: Some(read_at),
            };
            return self.insert(key, Entry::new(state));
        };
        if let State::Asked { last, .. } = &mut entry.state {
            *last = Some(totals);
        }
    }

    /// A message was deleted: what waits for it is looked up, and then gone.
    pub(crate) fn on_deleted(&mut self, key: Key) {
        if self.entry(key).is_some_and(|entry| !entry.is_needed()) {
            self.young.remove(&key);
        }
    }

    /// A new session begins: what happened before it was not told, so that no total of its shard's messages can
    /// be counted on.
    pub(crate) fn on_identified(&mut self, is_of_shard: impl Fn(Key) -> bool) {
        let is_kept = |entry: &Entry<T>| !entry.waiting.is_empty();
        // What waits has a dispatch that is to be settled.
        let waiting = self.old.extract_if(|_, entry| is_kept(entry));
        self.young.extend(waiting);
        self.old.retain(|key, _| !is_of_shard(*key));
        self.young
            .retain(|key, entry| is_kept(entry) || !is_of_shard(*key));
        for (key, entry) in &mut self.young {
            if let State::Asked { last, .. } = &mut entry.state
                && is_of_shard(*key)
            {
                *last = None;
            }
        }
    }

    /// A total is in the stream, or never will be.
    pub(crate) fn on_published(&mut self, key: Key) {
        if let Some(entry) = self.entry(key) {
            entry.under_way = entry.under_way.saturating_sub(1);
        }
    }

    /// Somebody reacted.
    pub(crate) fn on_change(
        &mut self,
        key: Key,
        waiting: Waiting<T>,
        now: Instant,
    ) -> Vec<Step<T>> {
        let dispatch = waiting.dispatch;
        let Some(entry) = self.entry(key) else {
            let mut entry = Entry::new(State::Asked {
                last: None,
                covered: 0,
            });
            entry.waiting.push_back(waiting);
            self.insert(key, entry);
            return vec![Step::LookUp(key, LookUp::Stored(dispatch))];
        };
        match &mut entry.state {
            State::Ignored => {
                let outcome = Outcome::Skipped(Skip::Excluded);
                vec![Step::Settled(waiting.ticket, outcome)]
            }
            State::Asked { .. } => {
                entry.waiting.push_back(waiting);
                Vec::new()
            }
            State::Known { mark, .. } if is_counted(*mark, dispatch) => {
                vec![Step::Settled(waiting.ticket, Outcome::Duplicate)]
            }
            State::Known {
                totals, read_at, ..
            } => {
                if let Some(read_at) = read_at.filter(|at| now < *at + UNSURE) {
                    let last = Some(std::mem::take(totals));
                    entry.state = State::Asked { last, covered: 0 };
                    entry.waiting.push_back(waiting);
                    let again = LookUp::Discord(read_at + READ_AGAIN);
                    return vec![Step::LookUp(key, again)];
                }
                vec![entry.count(key, waiting)]
            }
        }
    }

    /// The base was found in what is stored: all that waits is counted on it.
    pub(crate) fn on_counted(
        &mut self,
        key: Key,
        totals: Vec<Reaction>,
        mark: Option<Dispatch>,
    ) -> Vec<Step<T>> {
        let Some(entry) = self.entry(key) else {
            return Vec::new();
        };
        entry.state = State::Known {
            totals,
            mark,
            read_at: None,
        };
        let waiting = std::mem::take(&mut entry.waiting);
        let counted = waiting.into_iter().map(|waiting| entry.count(key, waiting));
        counted.collect()
    }

    /// Discord is asked now: whoever waits by now is in its answer. `stored`: what was published last, if known.
    pub(crate) fn on_asking(&mut self, key: Key, stored: Option<Vec<Reaction>>) {
        let Some(entry) = self.entry(key) else {
            return;
        };
        let waiting = entry.waiting.len();
        if let State::Asked { last, covered } = &mut entry.state {
            *covered = waiting;
            *last = last.take().or(stored);
        }
    }

    /// Discord has answered.
    pub(crate) fn on_read(
        &mut self,
        key: Key,
        totals: Vec<Reaction>,
        now: Instant,
    ) -> Vec<Step<T>> {
        let Some(entry) = self.entry(key) else {
            return Vec::new();
        };
        let State::Asked { last, covered } = &mut entry.state else {
            return Vec::new();
        };
        let (last, covered) = (last.take(), (*covered).min(entry.waiting.len()));
        let mut covered: Vec<_> = entry.waiting.drain(..covered).collect();
        let newest = covered.pop();
        let unchanged = Outcome::Skipped(Skip::Unchanged);
        let settled = |waiting: Waiting<T>| Step::Settled(waiting.ticket, unchanged);
        let mut steps: Vec<_> = covered.into_iter().map(settled).collect();
        let mark = newest.as_ref().map(|newest| newest.dispatch);
        match newest {
            Some(newest) if last.as_ref() != Some(&totals) => {
                entry.under_way += 1;
                steps.push(Step::Total(
                    key,
                    totals.clone(),
                    newest.dispatch,
                    newest.ticket,
                ));
            }
            newest => steps.extend(newest.map(settled)),
        }
        if entry.waiting.is_empty() {
            entry.state = State::Known {
                totals,
                mark,
                read_at: Some(now),
            };
        } else {
            let last = Some(totals);
            entry.state = State::Asked { last, covered: 0 };
            steps.push(Step::LookUp(key, LookUp::Discord(now + READ_AGAIN)));
        }
        steps
    }

    /// Nothing was found, and whoever waits ends so.
    pub(crate) fn on_lost(&mut self, key: Key, skip: Skip) -> Vec<Step<T>> {
        let Some(mut entry) = self.young.remove(&key).or_else(|| self.old.remove(&key)) else {
            return Vec::new();
        };
        let waiting = std::mem::take(&mut entry.waiting);
        if skip == Skip::Excluded {
            entry.state = State::Ignored;
            self.insert(key, entry);
        }
        let outcome = Outcome::Skipped(skip);
        let settled = waiting
            .into_iter()
            .map(|waiting| Step::Settled(waiting.ticket, outcome));
        settled.collect()
    }

    fn entry(&mut self, key: Key) -> Option<&mut Entry<T>> {
        if let Some(entry) = self.old.remove(&key) {
            self.insert(key, entry);
        }
        self.young.get_mut(&key)
    }

    fn insert(&mut self, key: Key, entry: Entry<T>) {
        if self.young.len() >= SHELF_MAX {
            let older = std::mem::take(&mut self.old).into_iter();
            let young = std::mem::take(&mut self.young);
            self.young = older.filter(|(_, entry)| entry.is_needed()).collect();
            self.old = young;
        }
        self.young.insert(key, entry);
    }
}

impl<T> Entry<T> {
    /// Counts a change on a known base.
    fn count(&mut self, key: Key, waiting: Waiting<T>) -> Step<T> {
        let State::Known { totals, mark, .. } = &mut self.state else {
            return Step::Settled(waiting.ticket, Outcome::Skipped(Skip::Unreadable));
        };
        if is_counted(*mark, waiting.dispatch) {
            return Step::Settled(waiting.ticket, Outcome::Duplicate);
        }
        *mark = Some(waiting.dispatch);
        let before = totals.clone();
        apply(totals, &waiting.change);
        if *totals == before {
            return Step::Settled(waiting.ticket, Outcome::Skipped(Skip::Unchanged));
        }
        self.under_way += 1;
        Step::Total(key, totals.clone(), waiting.dispatch, waiting.ticket)
    }
}

/// A RESUME repeats this dispatch, and it is counted in.
fn is_counted(mark: Option<Dispatch>, dispatch: Dispatch) -> bool {
    mark.is_some_and(|mark| {
        (mark.epoch, mark.shard) == (dispatch.epoch, dispatch.shard)
            && dispatch.sequence <= mark.sequence
    })
}

#[cfg(test)]
mod tests;
