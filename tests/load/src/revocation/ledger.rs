//! Whose access was changed when, who has seen what of it when, and what each was sent: one line for each socket.
//! One clock, this process's: from before the request that changes something is written to the simulator, until a
//! socket's bytes are read. It promises that a socket is counted once for each sign, and that its delay is taken as it reads.

use std::ops::Range;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::timeout;

use super::tape::Findings;

/// Sentences that are kept of what went wrong; beyond them they are only counted.
const REASONS_MAX: usize = 5;

/// Between two looks whether all have done something: waiting takes no part in what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a socket is told when its access has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// `channel_left`.
    Left,
    /// A `channels_list` without the channel.
    Hidden,
    /// A `channels_list` with it.
    Shown,
    /// The namespace's DISCONNECT.
    Ended,
}

/// One socket.
#[derive(Clone, Debug, Default)]
struct Line {
    /// When its access was about to change, and how many messages were posted by then.
    began: Option<(Instant, u64)>,
    seen: Vec<(Sign, Instant)>,
    is_ready: bool,
}

/// What was found on all tapes of an act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) tapes: u64,
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
    pub(crate) before: u64,
    pub(crate) leaked: u64,
    pub(crate) outside: u64,
    pub(crate) torn: u64,
}

#[derive(Debug, Default)]
struct Book {
    lines: Vec<Line>,
    sums: Sums,
    reasons: Vec<String>,
    failed: u64,
}

/// All sockets.
#[derive(Debug)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
}

impl Ledger {
    /// So many sockets, of which nothing is known.
    pub(crate) fn new(sockets: usize) -> Self {
        let book = Book {
            lines: vec![Line::default(); sockets],
            ..Book::default()
        };
        Self {
            book: Mutex::new(book),
        }
    }

    /// The next act begins: nobody has seen anything of it.
    pub(crate) fn turn(&self) {
        let book = &mut *self.book.lock();
        book.lines.fill(Line::default());
        book.sums = Sums::default();
        book.reasons.clear();
    }

    /// Nobody has done what they are told next.
    pub(crate) fn order(&self) {
        let book = &mut *self.book.lock();
        for line in &mut book.lines {
            line.is_ready = false;
        }
    }

    /// A socket has done what it was told.
    pub(crate) fn on_ready(&self, socket: usize) {
        self.write(socket, |line| line.is_ready = true);
    }

    /// These sockets' access is about to change; so many messages are posted.
    pub(crate) fn begin(&self, sockets: Range<usize>, posted: u64) {
        let now = Instant::now();
        let book = &mut *self.book.lock();
        for line in book.lines.get_mut(sockets).unwrap_or_default() {
            line.began = Some((now, posted));
        }
    }

    /// A socket is told of it. What it was told before belongs to another act.
    pub(crate) fn on_sign(&self, socket: usize, sign: Sign, now: Instant) {
        self.write(socket, |line| {
            let is_known = line.seen.iter().any(|(seen, _)| *seen == sign);
            if line.began.is_some() && !is_known {
                line.seen.push((sign, now));
            }
        });
    }

    /// The last message that a socket may have.
    pub(crate) fn last(&self, socket: usize) -> u64 {
        let book = self.book.lock();
        let line = book.lines.get(socket);
        line.and_then(|line| line.began)
            .map_or(u64::MAX, |(_, posted)| posted)
    }

    /// A socket's tape was looked through.
    pub(crate) fn on_searched(&self, socket: usize, findings: &Findings) {
        let book = &mut *self.book.lock();
        let sums = &mut book.sums;
        sums.tapes += 1;
        sums.bytes += findings.bytes;
        sums.frames += findings.frames;
        sums.before += findings.before;
        sums.leaked += findings.leaked.len() as u64;
        sums.outside += findings.outside.len() as u64;
        sums.torn += u64::from(findings.is_torn);
        if let Some(number) = findings.leaked.first() {
            book.keep(format!("socket {socket} has message {number}"));
        }
        if let Some(text) = findings.outside.first() {
            book.keep(format!("socket {socket} was out and got {text}"));
        }
    }

    /// A socket failed.
    pub(crate) fn on_failed(&self, socket: usize, why: &str) {
        let book = &mut *self.book.lock();
        book.failed += 1;
        book.keep(format!("socket {socket}: {why}"));
    }

    /// What was found on the tapes of this act.
    pub(crate) fn sums(&self) -> Sums {
        self.book.lock().sums
    }

    /// How many sockets have failed, and the first things that went wrong.
    pub(crate) fn failures(&self) -> (u64, Vec<String>) {
        let book = self.book.lock();
        (book.failed, book.reasons.clone())
    }

    /// Waits until these have done what they were told. How many have.
    pub(crate) async fn until_ready(&self, sockets: Range<usize>, patience: Duration) -> usize {
        self.until(sockets, patience, |line| line.is_ready).await
    }

    /// Waits until these have been told. How many have.
    pub(crate) async fn until_seen(
        &self,
        sockets: Range<usize>,
        sign: Sign,
        patience: Duration,
    ) -> usize {
        let has_seen = |line: &Line| line.seen.iter().any(|(seen, _)| *seen == sign);
        self.until(sockets, patience, has_seen).await
    }

    /// How late each was told, in microseconds, ascending.
    pub(crate) fn delays_us(&self, sockets: Range<usize>, sign: Sign) -> Vec<u32> {
        let book = self.book.lock();
        let lines = book.lines.get(sockets).unwrap_or_default();
        let mut delays: Vec<_> = lines
            .iter()
            .filter_map(|line| {
                let (began, _) = line.began?;
                let (_, at) = line.seen.iter().find(|(seen, _)| *seen == sign)?;
                let delay = at.saturating_duration_since(began);
                Some(u32::try_from(delay.as_micros()).unwrap_or(u32::MAX))
            })
            .collect();
        delays.sort_unstable();
        delays
    }

    fn write(&self, socket: usize, write: impl FnOnce(&mut Line)) {
        if let Some(line) = self.book.lock().lines.get_mut(socket) {
            write(line);
        }
    }

    async fn until(
        &self,
        sockets: Range<usize>,
        patience: Duration,
        is_done: impl Fn(&Line) -> bool,
    ) -> usize {
        let count = || {
            let book = self.book.lock();
            let lines = book.lines.get(sockets.clone()).unwrap_or_default();
            lines.iter().filter(|line| is_done(line)).count()
        };
        let waiting = async {
            while count() < sockets.len() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        timeout(patience, waiting).await.ok();
        count()
    }
}

impl Book {
    fn keep(&mut self, reason: String) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_counts_once_and_only_after_the_change() {
        let ledger = Ledger::new(3);
        let now = Instant::now();
        ledger.on_sign(0, Sign::Left, now);
        ledger.begin(0..2, 7);
        assert_eq!((ledger.last(0), ledger.last(2)), (7, u64::MAX));
        let after = Instant::now() + Duration::from_millis(5);
        ledger.on_sign(0, Sign::Left, after);
        ledger.on_sign(0, Sign::Left, after + Duration::from_secs(9));
        ledger.on_sign(2, Sign::Left, after);
        let delays = ledger.delays_us(0..3, Sign::Left);
        assert!(delays.len() == 1 && (5_000..1_000_000).contains(&delays[0]));
        assert!(ledger.delays_us(0..3, Sign::Hidden).is_empty());
        ledger.turn();
        assert!(ledger.delays_us(0..3, Sign::Left).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_told_how_many_have_come() {
        let ledger = Ledger::new(3);
        ledger.on_ready(1);
        let patience = Duration::from_secs(1);
        assert_eq!(ledger.until_ready(0..3, patience).await, 1);
        assert_eq!(ledger.until_ready(1..2, patience).await, 1);
        ledger.order();
        assert_eq!(ledger.until_ready(1..2, patience).await, 0);
    }

    #[test]
    fn a_leak_is_counted_and_named() {
        let ledger = Ledger::new(1);
        let findings = Findings {
            leaked: vec![9, 10],
            ..Findings::default()
        };
        ledger.on_searched(0, &findings);
        assert_eq!(ledger.sums().leaked, 2);
        assert_eq!(ledger.failures().1, ["socket 0 has message 9"]);
    }
}
