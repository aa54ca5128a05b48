//! What became of each request that was another instance's, and of each connection of a peer: every one is counted
//! once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How a request that is another instance's ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The instance has answered.
    Answered,
    /// The upgrade was handed to the instance.
    Spliced,
    /// Nobody knows the instance.
    Unknown,
    /// The instance was not reached in time.
    Unreachable,
    /// It was reached and gave no answer.
    Unanswered,
    /// Too many upgrades are spliced already.
    Crowded,
    /// It came from a peer: it was on its way already.
    SecondHop,
    /// The client did not wait for the end.
    Cancelled,
}

impl Outcome {
    /// All, in the order of their counters.
    const ALL: [Self; 8] = [
        Self::Answered,
        Self::Spliced,
        Self::Unknown,
        Self::Unreachable,
        Self::Unanswered,
        Self::Crowded,
        Self::SecondHop,
        Self::Cancelled,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Spliced => "spliced",
            Self::Unknown => "unknown",
            Self::Unreachable => "unreachable",
            Self::Unanswered => "unanswered",
            Self::Crowded => "crowded",
            Self::SecondHop => "second_hop",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The counters of one instance.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    /// Connections of peers that were served.
    pub(super) taken: AtomicU64,
    /// Connections to the peers' port that were none of a peer's.
    pub(super) refused: AtomicU64,
    /// Times that the broker did not take this instance's address.
    pub(super) unenrolled: AtomicU64,
}

impl Counts {
    /// A request begins; dropped without an end, it was cancelled.
    pub(super) fn begin(&self) -> Tally<'_> {
        Tally {
            counts: self,
            outcome: Some(Outcome::Cancelled),
        }
    }

    /// Requests by outcome.
    pub(crate) fn forwarded(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = Outcome::ALL.into_iter().zip(&self.outcomes);
        counts.map(|(outcome, count)| (outcome.label(), count.load(Relaxed)))
    }

    /// Connections of peers: those that were served, and those that were none.
    pub(crate) fn connections(&self) -> [(&'static str, u64); 2] {
        [
            ("taken", self.taken.load(Relaxed)),
            ("refused", self.refused.load(Relaxed)),
        ]
    }

    /// Times that the broker did not take this instance's address.
    pub(crate) fn unenrolled(&self) -> u64 {
        self.unenrolled.load(Relaxed)
    }
}

/// One request on its way.
#[derive(Debug)]
pub(super) struct Tally<'c> {
    counts: &'c Counts,
    outcome: Option<Outcome>,
}

impl Tally<'_> {
    /// This is how it ends.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// It goes on, and is counted later.
    pub(super) fn forget(mut self) {
        self.outcome = None;
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        let mut counts = Outcome::ALL.into_iter().zip(&self.counts.outcomes);
        if let Some((_, count)) = counts.find(|(outcome, _)| Some(*outcome) == self.outcome) {
            count.fetch_add(1, Relaxed);
        }
    }
}
