//! What became of the gaps: the last of them by name, all of them as numbers. Knows nobody who repairs them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use proto::ChannelId;
use runtime::time::iso;
use serde_json::{Value, json};

/// Gaps that are told of one by one.
const ENTRIES_MAX: usize = 10;

/// The book. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    entries: VecDeque<Entry>,
    closed: Verdicts,
    all: Found,
}

/// How many gaps are whole again, and how many are not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verdicts {
    pub(crate) repaired: u64,
    pub(crate) unrepaired: u64,
}

/// What was found in Discord and published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) messages: u64,
    pub(crate) edits: u64,
    pub(crate) deletes: u64,
    pub(crate) reactions: u64,
}

/// How the gap of one channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Everything that Discord has is there.
    Repaired,
    /// Something may be missing for good.
    Unrepaired,
}

/// The session that a gap comes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: u32,
    pub(crate) epoch: u64,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    from_ms: Option<i64>,
    to_ms: i64,
    channels: BTreeMap<ChannelId, Verdict>,
    found: Found,
    is_closed: bool,
}

impl Found {
    fn add(&mut self, more: Self) {
        self.messages += more.messages;
        self.edits += more.edits;
        self.deletes += more.deletes;
        self.reactions += more.reactions;
    }
}

impl Book {
    /// A session begins at `to_ms`; everything of before `from_ms` was heard.
    pub(crate) fn open(&self, place: Place, from_ms: Option<i64>, to_ms: i64) {
        let entries = &mut self.0.lock().entries;
        if entries.iter().any(|entry| entry.place == place) {
            return;
        }
        if entries.len() == ENTRIES_MAX {
            entries.pop_front();
        }
        entries.push_back(Entry {
            place,
            from_ms,
            to_ms,
            channels: BTreeMap::new(),
            found: Found::default(),
            is_closed: false,
        });
    }

    /// The gap of a channel has ended so; of several verdicts the worst counts.
    pub(crate) fn on_channel(&self, place: Place, channel: ChannelId, verdict: Verdict) {
        if let Some(entry) = self.0.lock().entry(place) {
            let known = entry.channels.entry(channel).or_insert(verdict);
            *known = verdict.max(*known);
        }
    }

    /// So much was found and published.
    pub(crate) fn on_found(&self, place: Place, found: Found) {
        let pages = &mut *self.0.lock();
        pages.all.add(found);
        if let Some(entry) = pages.entry(place) {
            entry.found.add(found);
        }
    }

    /// Nothing is left to do. True if something may be missing for good.
    pub(crate) fn close(&self, place: Place) -> bool {
        let pages = &mut *self.0.lock();
        let entry = pages.entry(place).filter(|entry| !entry.is_closed);
        let Some(entry) = entry else {
            return false;
        };
        entry.is_closed = true;
        let is_lost = entry.unrepaired() > 0;
        let count = if is_lost {
            &mut pages.closed.unrepaired
        } else {
            &mut pages.closed.repaired
        };
        *count += 1;
        is_lost
    }

    /// Gaps with which nothing is left to do.
    pub(crate) fn closed(&self) -> Verdicts {
        self.0.lock().closed
    }

    /// All that was found, by what it is.
    pub(crate) fn found(&self) -> [(&'static str, u64); 4] {
        let all = self.0.lock().all;
        [
            ("messages", all.messages),
            ("edits", all.edits),
            ("deletes", all.deletes),
            ("reactions", all.reactions),
        ]
    }

    /// The last gaps as `/api/status` shows them, the newest last.
    pub(crate) fn json(&self) -> Value {
        self.0.lock().entries.iter().map(Entry::json).collect()
    }
}

impl Pages {
    fn entry(&mut self, place: Place) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.place == place)
    }
}

impl Entry {
    fn unrepaired(&self) -> usize {
        let verdicts = self.channels.values();
        verdicts
            .filter(|verdict| **verdict == Verdict::Unrepaired)
            .count()
    }

    fn json(&self) -> Value {
        let unrepaired = self.unrepaired();
        // What is lost is known at once, that nothing is at the end alone.
        let is_repaired = match (unrepaired, self.is_closed) {
            (0, true) => Some(true),
            (0, false) => None,
            _ => Some(false),
        };
        json!({
            "from": self.from_ms.map(iso),
            "to": iso(self.to_ms),
            "shard": self.place.shard,
            "epoch": format!("{:016x}", self.place.epoch),
            "channels": self.channels.len(),
            "unrepaired": unrepaired,
            "messages": self.found.messages,
            "edits": self.found.edits,
            "deletes": self.found.deletes,
            "reactions": self.found.reactions,
            "repaired": is_repaired,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(epoch: u64) -> Place {
        Place { shard: 0, epoch }
    }

    fn channel(id: u64) -> ChannelId {
        ChannelId::new(id).unwrap()
    }

    #[test]
    fn a_gap_is_repaired_only_if_all_its_channels_are_and_counted_once() {
        let book = Book::default();
        for epoch in [1, 2] {
            book.open(place(epoch), Some(0), 1_000);
            book.on_channel(place(epoch), channel(7), Verdict::Repaired);
        }
        assert_eq!(book.json()[0]["repaired"], Value::Null);
        for verdict in [Verdict::Unrepaired, Verdict::Repaired] {
            book.on_channel(place(2), channel(8), verdict);
        }
        assert_eq!(book.json()[1]["repaired"], false);
        let found = Found {
            messages: 3,
            ..Found::default()
        };
        book.on_found(place(1), found);
        assert!(!book.close(place(1)) && !book.close(place(1)));
        assert!(book.close(place(2)));
        let closed = book.closed();
        assert_eq!((closed.repaired, closed.unrepaired), (1, 1));
        let json = book.json();
        assert_eq!(json[0]["repaired"], true);
        assert_eq!(json[0]["messages"], 3);
        assert_eq!(json[1]["channels"], 2);
        assert_eq!(book.found()[0], ("messages", 3));
    }

    #[test]
    fn the_last_gaps_are_told_of_and_all_are_counted() {
        let book = Book::default();
        for epoch in 0..15 {
            book.open(place(epoch), None, 0);
            book.open(place(epoch), None, 0);
            book.close(place(epoch));
        }
        assert_eq!(book.json().as_array().unwrap().len(), ENTRIES_MAX);
        assert_eq!(book.closed().repaired, 15);
    }
}
