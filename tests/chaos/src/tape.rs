//! What one viewer saw of one channel, in the order in which it came.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::book::Kind;

/// A message as a page shows it: its id, and the number of the act that its text names.
pub(crate) type Row = (u64, u32);

/// One thing that a viewer was shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// A page after a join: the channel begins anew here. Oldest first, and whether there are older ones.
    Page(Vec<Row>, bool),
    /// An older page, which the viewer asked for because it had missed something.
    Older(Vec<Row>),
    /// An event: what, of which message, by which act (0 for a deletion).
    Event(Kind, u64, u32),
    /// How often a message was reacted to: what was just shown of it says so, or it has changed.
    Reactions(u64, u64),
    /// The viewer is back after a cut, and is promised that nothing is missing.
    Recovered,
}

/// The tape of one channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape {
    entries: Vec<(Instant, Entry)>,
}

impl Tape {
    /// What came, and when.
    pub(crate) fn entries(&self) -> &[(Instant, Entry)] {
        &self.entries
    }

    fn push(&mut self, at: Instant, entry: Entry) {
        self.entries.push((at, entry));
    }

    /// A tape of these entries, for tests of the law.
    #[cfg(test)]
    pub(crate) fn of(entries: Vec<(Instant, Entry)>) -> Self {
        Self { entries }
    }

    /// When the viewer first saw this act; none if not yet. A page shows it too.
    pub(crate) fn saw(&self, message: u64, number: u32) -> Option<Instant> {
        let is_it = |entry: &Entry| match entry {
            Entry::Page(rows, _) | Entry::Older(rows) => rows.contains(&(message, number)),
            Entry::Event(_, of, by) => (*of, *by) == (message, number),
            Entry::Reactions(..) | Entry::Recovered => false,
        };
        let mut entries = self.entries.iter();
        entries.find(|(_, entry)| is_it(entry)).map(|(at, _)| *at)
    }

    /// The newest message that was ever shown.
    pub(crate) fn newest(&self) -> Option<u64> {
        let newest = |entry: &Entry| match entry {
            Entry::Page(rows, _) | Entry::Older(rows) => rows.iter().map(|(id, _)| *id).max(),
            Entry::Event(Kind::Create, id, _) => Some(*id),
            Entry::Event(..) | Entry::Reactions(..) | Entry::Recovered => None,
        };
        self.entries
            .iter()
            .filter_map(|(_, entry)| newest(entry))
            .max()
    }
}

/// What became of a viewer's connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Returns {
    /// It was cut off so often.
    pub cut: u32,
    /// It came back so often with everything.
    pub recovered: u32,
    /// It came back so often to begin anew.
    pub anew: u32,
    /// It was away for so long at the most.
    pub away_max: Duration,
}

impl Returns {
    /// Those of another viewer too.
    pub(crate) fn add(&mut self, other: Self) {
        self.cut += other.cut;
        self.recovered += other.recovered;
        self.anew += other.anew;
        self.away_max = self.away_max.max(other.away_max);
    }
}

/// How what was said is read.
pub(crate) type Reading = fn(&mut Seen, Instant, &str) -> anyhow::Result<()>;

/// The tapes of one viewer, by channel. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tapes(Arc<Mutex<Seen>>);

/// What a viewer has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By channel.
    pub(crate) tapes: BTreeMap<String, Tape>,
    /// What it comes back with: the last offset of each channel, or that of all under no name.
    pub(crate) offsets: BTreeMap<String, String>,
    /// What was said, when, and how it is read: later, for a load is not to weigh more than what it is put on.
    unread: Vec<(Instant, Utf8Bytes, Reading)>,
    /// The last thing that could not be read.
    pub(crate) unreadable: Option<String>,
    /// Of its connections.
    pub(crate) returns: Returns,
    /// Since when it is away.
    away_since: Option<Instant>,
    /// What it said last of its connection, for a run that fails.
    pub(crate) last_word: String,
}

impl Seen {
    /// Something of a channel came at this moment.
    pub(crate) fn push(&mut self, at: Instant, channel: &str, entry: Entry) {
        match self.tapes.get_mut(channel) {
            Some(tape) => tape.push(at, entry),
            None => self
                .tapes
                .entry(channel.to_owned())
                .or_default()
                .push(at, entry),
        }
    }

    fn read(&mut self) {
        for (at, text, reading) in std::mem::take(&mut self.unread) {
            if let Err(error) = reading(self, at, text.as_str()) {
                self.unreadable = Some(format!("{error}: {text}"));
            }
        }
    }

    /// The viewer is cut off.
    pub(crate) fn on_cut(&mut self) {
        self.returns.cut += u32::from(self.away_since.is_none());
        self.away_since.get_or_insert_with(Instant::now);
    }

    /// It is back with everything.
    pub(crate) fn on_recovered(&mut self) {
        self.returns.recovered += 1;
        self.on_back();
    }

    /// It is back, to begin anew.
    pub(crate) fn on_anew(&mut self) {
        self.returns.anew += 1;
        self.on_back();
    }

    /// It is back; what it brought is not known yet.
    pub(crate) fn on_back(&mut self) {
        if let Some(since) = self.away_since.take() {
            self.returns.away_max = self.returns.away_max.max(since.elapsed());
        }
    }
}

impl Tapes {
    /// All of it, read.
    pub(crate) fn open(&self) -> MutexGuard<'_, Seen> {
        let mut seen = self.lock();
        seen.read();
        seen
    }

    /// This was said now, and is read when somebody opens the tapes.
    pub(crate) fn say(&self, text: Utf8Bytes, reading: Reading) {
        self.lock().unread.push((Instant::now(), text, reading));
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
