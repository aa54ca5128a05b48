//! What became of each dispatch: exactly one counted outcome, so that nothing goes missing unseen.
//!
//! `received` minus the sum of the outcomes is what is still on its way. Knows no event's content.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::decode::{Placeholder, Placeholders};

/// What became of one dispatch. Of several envelopes the gravest outcome counts: the order is the gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// The stream held all of it already.
    Duplicate,
    /// It was told to whoever listens, and is not stored.
    Told,
    /// The stream acknowledged it.
    Published,
    /// It makes no event.
    Skipped(Skip),
    /// It should have made an event and could not.
    Refused(Refusal),
}

/// Why a dispatch makes no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Skip {
    /// READY and RESUMED: the session's own.
    Session,
    /// A kind that this version does not mirror.
    NotMirrored,
    /// A kind that this version has never heard of.
    UnknownEvent,
    /// Nobody but its receiver may see it.
    DirectMessage,
    /// Nobody but its receiver may see it (message flag 1 << 6).
    Ephemeral,
    /// An update without the text: the rest of the message is not in it.
    Partial,
    /// An outage of the guild changes nothing.
    Outage,
    /// It names no guild, and its channel is not known.
    Unplaced,
    /// The term ended before the stream had it: the next leader's RESUME brings it again.
    HandedOver,
    /// It lists nothing (a bulk deletion of no messages).
    Empty,
    /// The operator leaves it out (`STREAM_EXCLUDE_*`, `STREAM_BOT_MESSAGES`).
    Excluded,
    /// It was of the moment, and the moment is over.
    Stale,
    /// It was of the moment, and too many of its kind came, or nobody could be told.
    Unheard,
    /// It changes nothing that was not published before, or a later one says it too.
    Unchanged,
    /// The message that it is about is gone.
    Gone,
    /// What it changes could not be read from anywhere.
    Unreadable,
    /// It answers a question of ours.
    Answer,
}

/// Why a dispatch could not be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// An id that it can't be without is missing or malformed, or it is no JSON.
    Malformed,
    /// The broker refuses it for good.
    Broker,
}

impl Outcome {
    /// The outcome and its reason, which may be empty, as counters show them.
    pub(crate) fn words(self) -> [&'static str; 2] {
        match self {
            Self::Duplicate => ["duplicate", ""],
            Self::Told => ["told", ""],
            Self::Published => ["published", ""],
            Self::Skipped(skip) => ["skipped", skip.word()],
            Self::Refused(refusal) => ["refused", refusal.word()],
        }
    }
}

impl Skip {
    fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::NotMirrored => "not_mirrored",
            Self::UnknownEvent => "unknown_event",
            Self::DirectMessage => "direct_message",
            Self::Ephemeral => "ephemeral",
            Self::Partial => "partial",
            Self::Outage => "outage",
            Self::Unplaced => "unplaced",
            Self::HandedOver => "handed_over",
            Self::Empty => "empty",
            Self::Excluded => "excluded",
            Self::Stale => "stale",
            Self::Unheard => "unheard",
            Self::Unchanged => "unchanged",
            Self::Gone => "gone",
            Self::Unreadable => "unreadable",
            Self::Answer => "answer",
        }
    }
}

impl Refusal {
    fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Broker => "broker",
        }
    }
}

/// The counters. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcomes(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    trimmed: AtomicU64,
    channels_left_out: AtomicU64,
    untold: AtomicU64,
    placeholders: Mutex<BTreeMap<Placeholder, u64>>,
    settled: Mutex<BTreeMap<Outcome, u64>>,
}

impl Outcomes {
    /// A dispatch came in.
    pub(crate) fn on_received(&self) {
        self.0.received.fetch_add(1, Ordering::Relaxed);
    }

    /// A dispatch came to its end.
    pub(crate) fn on_settled(&self, outcome: Outcome) {
        *self.0.settled.lock().entry(outcome).or_default() += 1;
    }

    /// An envelope went without its raw JSON, being too large.
    pub(crate) fn on_trimmed(&self) {
        self.0.trimmed.fetch_add(1, Ordering::Relaxed);
    }

    /// A snapshot went without so many channels, because nobody could tell who may see them.
    pub(crate) fn on_channels_left_out(&self, channels: usize) {
        let counter = &self.0.channels_left_out;
        counter.fetch_add(channels as u64, Ordering::Relaxed);
    }

    /// The broker did not take a notice that counts as told.
    pub(crate) fn on_untold(&self) {
        self.0.untold.fetch_add(1, Ordering::Relaxed);
    }

    /// So much of a message can't be shown.
    pub(crate) fn on_placeholders(&self, placeholders: &Placeholders) {
        for placeholder in placeholders.iter() {
            let mut counts = self.0.placeholders.lock();
            *counts.entry(placeholder).or_default() += 1;
        }
    }

    /// Nobody will settle what is pending any more.
    pub(crate) fn on_handed_over(&self) {
        let mut settled = self.0.settled.lock();
        let pending = self.received().saturating_sub(settled.values().sum());
        if pending > 0 {
            *settled
                .entry(Outcome::Skipped(Skip::HandedOver))
                .or_default() += pending;
        }
    }

    /// How many dispatches have not come to their end.
    pub(crate) fn pending(&self) -> u64 {
        // The ends first: what comes meanwhile is pending, and never the other way round.
        let settled: u64 = self.0.settled.lock().values().sum();
        self.received().saturating_sub(settled)
    }

    /// How many dispatches came in.
    pub(crate) fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// How many ended so.
    #[cfg(test)]
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.0.settled.lock().get(&outcome).copied().unwrap_or(0)
    }

    /// How many ended how: outcome and reason, which may be empty.
    pub(crate) fn settled(&self) -> Vec<([&'static str; 2], u64)> {
        let settled = self.0.settled.lock();
        let counts = settled.iter();
        counts
            .map(|(outcome, count)| (outcome.words(), *count))
            .collect()
    }

    /// How many notices counted as told that the broker did not take.
    pub(crate) fn untold(&self) -> u64 {
        self.0.untold.load(Ordering::Relaxed)
    }

    /// What could not be shown, by kind.
    pub(crate) fn placeholders(&self) -> [(&'static str, u64); Placeholder::ALL.len()] {
        let counts = self.0.placeholders.lock();
        Placeholder::ALL.map(|kind| (kind.word(), counts.get(&kind).copied().unwrap_or_default()))
    }

    /// How many channels snapshots went without.
    pub(crate) fn channels_left_out(&self) -> u64 {
        self.0.channels_left_out.load(Ordering::Relaxed)
    }

    /// How many envelopes went without their raw JSON.
    pub(crate) fn trimmed(&self) -> u64 {
        self.0.trimmed.load(Ordering::Relaxed)
    }

    /// The counters as `/api/status` shows them.
    pub(crate) fn json(&self) -> Value {
        let settled = self.0.settled.lock().clone();
        let sum: u64 = settled.values().sum();
        let mut fields = json!({
            "received": self.received(),
            "pending": self.received().saturating_sub(sum),
            "trimmed": self.trimmed(),
            "untold": self.untold(),
            "channelsLeftOut": self.channels_left_out(),
            "published": 0, "duplicate": 0, "told": 0, "skipped": {}, "refused": {},
        });
        for (outcome, count) in settled {
            let place = match outcome.words() {
                [word, ""] => fields.get_mut(word),
                [word, why] => fields
                    .get_mut(word)
                    .and_then(Value::as_object_mut)
                    .map(|reasons| reasons.entry(why).or_insert(Value::Null)),
            };
            if let Some(place) = place {
                *place = count.into();
            }
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_settled_nor_lost_is_pending() {
        let outcomes = Outcomes::default();
        for _ in 0..4 {
            outcomes.on_received();
        }
        outcomes.on_settled(Outcome::Published);
        outcomes.on_settled(Outcome::Skipped(Skip::Partial));
        outcomes.on_settled(Outcome::Skipped(Skip::Partial));
        let json = outcomes.json();
        assert_eq!(json["pending"], 1);
        assert_eq!(json["published"], 1);
        assert_eq!(json["skipped"], json!({ "partial": 2 }));
        assert_eq!(json["refused"], json!({}));
    }

    #[test]
    fn the_gravest_of_several_outcomes_counts() {
        let refused = Outcome::Refused(Refusal::Broker);
        assert_eq!(
            Outcome::Duplicate.max(Outcome::Published),
            Outcome::Published
        );
        assert_eq!(Outcome::Published.max(refused), refused);
    }
}
