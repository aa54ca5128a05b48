//! What is measured on an event's way through ingest and kept nowhere else, for `/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use runtime::metrics::Histogram;

/// Kinds of frames that are counted by their names. Discord has about 80; what is beyond is `other`.
const KINDS_MAX: usize = 128;
/// The name of all kinds beyond.
const OTHER: &str = "other";

/// The counts. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meters(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    frames: Mutex<BTreeMap<String, u64>>,
    publish: Histogram,
    stored: AtomicU64,
    duplicate: AtomicU64,
    retries: AtomicU64,
}

impl Meters {
    /// A dispatch of this kind is decoded.
    pub(crate) fn on_frame(&self, kind: &str) {
        let mut frames = self.0.frames.lock();
        if let Some(count) = frames.get_mut(kind) {
            *count += 1;
            return;
        }
        let name = if frames.len() < KINDS_MAX {
            kind
        } else {
            OTHER
        };
        *frames.entry(name.to_owned()).or_default() += 1;
    }

    /// The stream has acknowledged a publication, after so long and so many tries.
    pub(crate) fn on_acknowledged(&self, is_new: bool, time: Duration, tries: u32) {
        let count = if is_new {
            &self.0.stored
        } else {
            &self.0.duplicate
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.0
            .retries
            .fetch_add(u64::from(tries.saturating_sub(1)), Ordering::Relaxed);
        self.0.publish.observe(time);
    }

    /// Frames by kind.
    pub(crate) fn frames(&self) -> BTreeMap<String, u64> {
        self.0.frames.lock().clone()
    }

    /// From the first try of a publication to its acknowledgement.
    pub(crate) fn publish(&self) -> &Histogram {
        &self.0.publish
    }

    /// Acknowledgements by what the stream did: `stored`, or `duplicate` for what it had.
    pub(crate) fn acknowledged(&self) -> [(&'static str, u64); 2] {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        [
            ("stored", count(&self.0.stored)),
            ("duplicate", count(&self.0.duplicate)),
        ]
    }

    /// Tries beyond a publication's first.
    pub(crate) fn retries(&self) -> u64 {
        self.0.retries.load(Ordering::Relaxed)
    }
}

/// Answers of Discord's API by status. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statuses(Arc<Mutex<BTreeMap<u16, u64>>>);

impl Statuses {
    /// A request has ended: with this status, or without an answer.
    pub(crate) fn on_answer(&self, status: Option<u16>) {
        *self.0.lock().entry(status.unwrap_or(0)).or_default() += 1;
    }

    /// How many ended with which status; `none` is no answer.
    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        let word = |status| match status {
            0 => "none".to_owned(),
            status => status.to_string(),
        };
        let counts = self.0.lock().clone().into_iter();
        counts
            .map(|(status, count)| (word(status), count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flood_of_new_kinds_makes_the_page_endless() {
        let meters = Meters::default();
        for n in 0..1_000 {
            meters.on_frame(&format!("KIND_{n}"));
        }
        meters.on_frame("KIND_3");
        let frames = meters.frames();
        assert_eq!(frames.len(), KINDS_MAX + 1);
        assert_eq!((frames["KIND_3"], frames[OTHER]), (2, 872));
        assert_eq!(frames.values().sum::<u64>(), 1_001);
    }
}
