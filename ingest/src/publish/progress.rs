//! Which dispatches are settled, and up to which one all are: from there a RESUME must go on.
//!
//! Dispatches are acknowledged out of order over many subjects; the session's sequence moves only over an
//! unbroken row. Pure.

use std::collections::VecDeque;

use proto::identity::Dispatch;
use tokio::time::Instant;

use crate::frame::Held;
use crate::outcome::Outcome;

/// The dispatches under way, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Progress {
    first: u64,
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
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
    /// All dispatches up to this one are.
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
        let number = self.first + self.pending.len() as u64;
        self.pending.push_back(Pending {
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
        if let Some(pending) = self.pending_mut(number) {
            pending.left += 1;
            pending.is_deferred = true;
        }
    }

    /// One of its envelopes has come to this end.
    pub(super) fn settle(&mut self, number: u64, outcome: Outcome) -> Step {
        let Some(pending) = self.pending_mut(number) else {
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
            reached: self.advance(),
        }
    }

    fn pending_mut(&mut self, number: u64) -> Option<&mut Pending> {
        let index = number.checked_sub(self.first)?;
        self.pending.get_mut(usize::try_from(index).ok()?)
    }

    /// Since when the oldest dispatch that is not settled waits.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.pending.front().map(|pending| pending.begun)
    }

    fn advance(&mut self) -> Option<Dispatch> {
        let mut reached = None;
        while self
            .pending
            .front()
            .is_some_and(|pending| pending.left == 0)
        {
            reached = self.pending.pop_front().map(|pending| pending.dispatch);
            self.first += 1;
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Buffer;
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
