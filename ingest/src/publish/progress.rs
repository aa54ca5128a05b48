//! Which dispatches are settled, and up to which one all are: from there a RESUME must go on.
//!
//! Dispatches are acknowledged out of order over many subjects; a session's sequence moves only over an
//! unbroken row, and the sessions of several shards move independently. Pure.

use std::collections::{BTreeMap, VecDeque};

use proto::identity::Dispatch;
use tokio::time::Instant;

use crate::frame::Held;
use crate::outcome::Outcome;

/// The dispatches under way, a row a shard, each in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Progress {
    next: u64,
    rows: BTreeMap<u32, VecDeque<Pending>>,
}

#[derive(Debug)]
struct Pending {
    number: u64,
    dispatch: Dispatch,
    left: usize,
    outcome: Outcome,
    held: Option<Held>,
    begun: Instant,
    /// One of those that are left is no envelope, and takes its time.
    is_deferred: bool,
}

/// What the end of one envelope brought about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// The dispatch is settled, with this outcome.
    pub(super) settled: Option<Outcome>,
    /// All dispatches of its shard up to this one are.
    pub(super) reached: Option<Dispatch>,
}

impl Progress {
    /// A dispatch begins, as so many envelopes; its number here. One without envelopes ends by
    /// [`Self::settle`] too.
    pub(super) fn begin(
        &mut self,
        dispatch: Dispatch,
        envelopes: usize,
        held: Held,
        now: Instant,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        let row = self.rows.entry(dispatch.shard).or_default();
        row.push_back(Pending {
            number,
            dispatch,
            left: envelopes.max(1),
            outcome: Outcome::Duplicate,
            held: Some(held),
            begun: now,
            is_deferred: false,
        });
        number
    }

    /// Its end waits for one thing more, which is no envelope and ends by [`Self::settle`] too. What it holds of the
    /// buffer is free before.
    pub(super) fn defer(&mut self, number: u64) {
        let found = self.find(number);
        if let Some(pending) = found.and_then(|(row, index)| row.get_mut(index)) {
            pending.left += 1;
            pending.is_deferred = true;
        }
    }

    /// One of its envelopes has come to this end.
    pub(super) fn settle(&mut self, number: u64, outcome: Outcome) -> Step {
        let Some((row, index)) = self.find(number) else {
            return Step::default();
        };
        let Some(pending) = row.get_mut(index) else {
            return Step::default();
        };
        pending.outcome = pending.outcome.max(outcome);
        pending.left = pending.left.saturating_sub(1);
        if pending.left <= usize::from(pending.is_deferred) {
            // Its bytes are free, whether or not older ones still wait.
            pending.held = None;
        }
        if pending.left > 0 {
            return Step::default();
        }
        Step {
            settled: Some(pending.outcome),
            reached: advance(row),
        }
    }

    /// The row of a dispatch that is under way, and its place there.
    fn find(&mut self, number: u64) -> Option<(&mut VecDeque<Pending>, usize)> {
        self.rows.values_mut().find_map(|row| {
            let found = row.binary_search_by_key(&number, |pending| pending.number);
            found.ok().map(|index| (row, index))
        })
    }

    /// Since when the oldest dispatch that is not settled waits.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let fronts = self.rows.values().filter_map(VecDeque::front);
        fronts.map(|pending| pending.begun).min()
    }
}

fn advance(row: &mut VecDeque<Pending>) -> Option<Dispatch> {
    let mut reached = None;
    while row.front().is_some_and(|pending| pending.left == 0) {
        reached = row.pop_front().map(|pending| pending.dispatch);
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;
    use crate::outcome::Skip;
    use tokio::sync::watch;

    fn dispatch(sequence: u64) -> Dispatch {
        Dispatch {
            epoch: 1,
            shard: 0,
            sequence,
        }
    }

    #[test]
    fn the_sessions_of_two_shards_do_not_wait_for_each_other() {
        let (buffer, mut frames) = Buffer::new(1_000_000, watch::Sender::new(0));
        let mut progress = Progress::default();
        let now = Instant::now();
        let mut begin = |shard, sequence| {
            let dispatch = Dispatch {
                shard,
                ..dispatch(sequence)
            };
            assert!(buffer.put(dispatch, String::new(), 0));
            let held = frames.try_recv().unwrap().held;
            (progress.begin(dispatch, 1, held, now), dispatch)
        };
        let [(old, _), (first, first_is), (second, second_is)] =
            [begin(0, 1), begin(1, 8), begin(1, 9)];
        let mut reached = |number| progress.settle(number, Outcome::Published).reached;
        assert_eq!(reached(second), None);
        assert_eq!(reached(first), Some(second_is));
        assert_ne!(first_is, second_is);
        assert_eq!(reached(old), Some(dispatch(1)));
        assert_eq!(progress.oldest(), None);
    }

    #[test]
    fn the_session_moves_only_over_an_unbroken_row() {
        let used = watch::Sender::new(0);
        let mut bytes = used.subscribe();
        let (buffer, mut frames) = Buffer::new(1_000_000, used);
        let mut progress = Progress::default();
        let now = Instant::now();
        let at = |second| now + std::time::Duration::from_secs(second);
        let mut begin = |sequence, envelopes| {
            assert!(buffer.put(dispatch(sequence), String::new(), 0));
            let held = frames.try_recv().unwrap().held;
            progress.begin(dispatch(sequence), envelopes, held, at(sequence))
        };
        let (one, two, three) = (begin(1, 2), begin(2, 1), begin(3, 0));
        let before = *bytes.borrow_and_update();
        let step = progress.settle(two, Outcome::Published);
        assert_eq!(
            (step.settled, step.reached),
            (Some(Outcome::Published), None)
        );
        assert!(*bytes.borrow_and_update() < before);
        let skipped = Outcome::Skipped(Skip::Session);
        assert_eq!(progress.settle(three, skipped).settled, Some(skipped));
        assert_eq!(progress.settle(one, Outcome::Published), Step::default());
        assert_eq!(progress.oldest(), Some(at(1)));
        let step = progress.settle(one, Outcome::Duplicate);
        assert_eq!(progress.oldest(), None);
        assert_eq!(step.settled, Some(Outcome::Published));
        assert_eq!(step.reached, Some(dispatch(3)));
        assert_eq!(*bytes.borrow_and_update(), 0);
    }

    #[test]
    fn what_is_deferred_holds_the_session_and_nothing_of_the_buffer() {
        let used = watch::Sender::new(0);
        let mut bytes = used.subscribe();
        let (buffer, mut frames) = Buffer::new(1_000_000, used);
        let mut progress = Progress::default();
        assert!(buffer.put(dispatch(1), String::new(), 0));
        let held = frames.try_recv().unwrap().held;
        let number = progress.begin(dispatch(1), 1, held, Instant::now());
        progress.defer(number);
        assert_eq!(progress.settle(number, Outcome::Published), Step::default());
        assert_eq!(*bytes.borrow_and_update(), 0);
        let step = progress.settle(number, Outcome::Duplicate);
        assert_eq!(step.settled, Some(Outcome::Published));
        assert_eq!(step.reached, Some(dispatch(1)));
    }
}
