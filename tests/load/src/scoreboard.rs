//! What all sockets have seen, in one place: who has joined, what came to whom, how late, and what went wrong.
//! It promises that every `message` event is counted in exactly one place, and wakes whoever waits for a state.
//! It knows nothing of connections; a socket is its number here.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::numbering::{Numbering, Verdict};
use crate::packet::Stamp;

/// Reasons that are kept as sentences; beyond them they are only counted.
const REASONS_MAX: usize = 5;

/// What has come, all rounds together. The sum of the first four is every `message` event of this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// For the first time, in order.
    pub(crate) in_order: u64,
    /// For the first time, after a later one.
    pub(crate) out_of_order: u64,
    /// Once more.
    pub(crate) doubled: u64,
    /// Without a stamp, or with a number that nobody sent.
    pub(crate) unknown: u64,
    /// Not at all.
    pub(crate) lost: u64,
    /// Bytes of all `message` frames, with their headers.
    pub(crate) wire_bytes: u64,
    /// Sockets that ended before they should.
    pub(crate) ended: u64,
}

impl Counts {
    /// Messages that came for the first time.
    pub(crate) fn deliveries(&self) -> u64 {
        self.in_order + self.out_of_order
    }

    /// All `message` events.
    fn events(&self) -> u64 {
        self.deliveries() + self.doubled + self.unknown
    }

    /// The length of a `message` frame, on the average.
    pub(crate) fn frame_bytes(&self) -> u64 {
        self.wire_bytes.checked_div(self.events()).unwrap_or(0)
    }
}

/// The state of a run.
#[derive(Debug)]
pub(crate) struct Scores {
    /// All rounds together.
    pub(crate) counts: Counts,
    /// From the simulator's stamp to our reading, in microseconds, one for each delivery.
    pub(crate) latencies_us: Vec<u32>,
    /// The first things that went wrong, as sentences.
    pub(crate) reasons: Vec<String>,
    joined: usize,
    began_ns: u64,
    round_deliveries: u64,
    round_count: u32,
    sockets: Vec<Numbering>,
}

impl Scores {
    fn new(sockets: usize) -> Self {
        Self {
            counts: Counts::default(),
            latencies_us: Vec::new(),
            reasons: Vec::new(),
            joined: 0,
            began_ns: 0,
            round_deliveries: 0,
            round_count: 0,
            sockets: vec![Numbering::new(0); sockets],
        }
    }

    /// A round of the messages 1 to `count` begins now.
    fn begin_round(&mut self, count: u32, now_ns: u64) {
        self.began_ns = now_ns;
        self.round_deliveries = 0;
        self.round_count = count;
        self.sockets.fill(Numbering::new(count));
    }

    /// Counts what has not come.
    fn end_round(&mut self) {
        let missing = self
            .sockets
            .iter()
            .map(|socket| u64::from(socket.missing()));
        self.counts.lost += missing.sum::<u64>();
        let firsts = self.sockets.iter().map(Numbering::first_missing);
        let reasons = firsts.enumerate().filter_map(|(socket, first)| {
            first.map(|number| format!("socket {socket} never got message {number}"))
        });
        let reasons: Vec<String> = reasons.take(REASONS_MAX).collect();
        for reason in reasons {
            self.keep(reason);
        }
    }

    fn on_message(&mut self, socket: usize, stamp: Option<Stamp>, wire_bytes: usize, now_ns: u64) {
        self.counts.wire_bytes += wire_bytes as u64;
        let numbering = self.sockets.get_mut(socket);
        let verdict = match (stamp, numbering) {
            // A round begins when all of the one before has come: what is older came then already.
            (Some(stamp), _) if stamp.sent_ns < self.began_ns => Verdict::Doubled,
            (Some(stamp), Some(numbering)) => numbering.on_number(stamp.number),
            _ => Verdict::Unknown,
        };
        let number = stamp.map_or(0, |stamp| stamp.number);
        let counts = &mut self.counts;
        match verdict {
            Verdict::InOrder => counts.in_order += 1,
            Verdict::OutOfOrder => counts.out_of_order += 1,
            Verdict::Doubled => counts.doubled += 1,
            Verdict::Unknown => counts.unknown += 1,
        }
        if verdict != Verdict::InOrder {
            self.keep(format!("socket {socket}: message {number} was {verdict:?}"));
        }
        if let (Verdict::InOrder | Verdict::OutOfOrder, Some(stamp)) = (verdict, stamp) {
            self.round_deliveries += 1;
            let late = now_ns.saturating_sub(stamp.sent_ns) / 1_000;
            self.latencies_us
                .push(u32::try_from(late).unwrap_or(u32::MAX));
        }
    }

    fn on_ended(&mut self, socket: usize, why: &str) {
        self.counts.ended += 1;
        self.keep(format!("socket {socket} ended: {why}"));
    }

    fn keep(&mut self, reason: String) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        }
    }

    /// All have joined, or one has ended.
    fn is_joined(&self) -> bool {
        self.joined == self.sockets.len() || self.counts.ended > 0
    }

    /// All of the round has come, or a socket has ended, so that it never will.
    fn is_round_over(&self) -> bool {
        let expected = self.sockets.len() as u64 * u64::from(self.round_count);
        self.round_deliveries == expected || self.counts.ended > 0
    }
}

/// The scores, shared by all sockets.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    scores: Mutex<Scores>,
    changed: Notify,
}

impl Scoreboard {
    /// A board for so many sockets.
    pub(crate) fn new(sockets: usize) -> Self {
        Self {
            scores: Mutex::new(Scores::new(sockets)),
            changed: Notify::new(),
        }
    }

    /// Looks at the scores.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Scores) -> T) -> T {
        look(&self.scores.lock())
    }

    /// A socket is in the channel.
    pub(crate) fn on_joined(&self) {
        self.change(|scores| scores.joined += 1, Scores::is_joined);
    }

    /// A `message` event has come to a socket.
    pub(crate) fn on_message(&self, socket: usize, stamp: Option<Stamp>, wire_bytes: usize) {
        let now = unix_ns();
        self.change(
            |scores| scores.on_message(socket, stamp, wire_bytes, now),
            Scores::is_round_over,
        );
    }

    /// A socket has ended by itself.
    pub(crate) fn on_ended(&self, socket: usize, why: &str) {
        self.change(|scores| scores.on_ended(socket, why), |_| true);
    }

    /// Waits until all have joined or one can't; says how many have.
    pub(crate) async fn until_joined(&self, patience: Duration) -> usize {
        self.until(patience, Scores::is_joined).await;
        self.read(|scores| scores.joined)
    }

    /// Begins a round of the messages 1 to `count`.
    pub(crate) fn begin_round(&self, count: u32) {
        self.scores.lock().begin_round(count, unix_ns());
    }

    /// Waits until all of the round has come, or no more of it is to be expected.
    pub(crate) async fn until_round_over(&self, patience: Duration) {
        self.until(patience, Scores::is_round_over).await;
    }

    /// Counts what has not come.
    pub(crate) fn end_round(&self) {
        self.scores.lock().end_round();
    }

    fn change(&self, change: impl FnOnce(&mut Scores), wakes: impl FnOnce(&Scores) -> bool) {
        let mut scores = self.scores.lock();
        change(&mut scores);
        if wakes(&scores) {
            self.changed.notify_one();
        }
    }

    /// Waits for a state, or for so long. There is one waiter: the bench.
    async fn until(&self, patience: Duration, state: impl Fn(&Scores) -> bool) {
        let deadline = Instant::now() + patience;
        while !self.read(&state) {
            if timeout_at(deadline, self.changed.notified()).await.is_err() {
                return;
            }
        }
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: u64 = 1_000_000;

    fn scores() -> Scores {
        let mut scores = Scores::new(2);
        scores.begin_round(3, BEGAN);
        scores
    }

    fn stamp(number: u64) -> Stamp {
        Stamp {
            number,
            sent_ns: BEGAN + number,
        }
    }

    #[test]
    fn a_whole_round_is_over_and_has_nothing_to_complain_of() {
        let mut scores = scores();
        for number in 1..=3 {
            for socket in 0..2 {
                assert!(!scores.is_round_over());
                scores.on_message(socket, Some(stamp(number)), 500, BEGAN + number + 7_000);
            }
        }
        assert!(scores.is_round_over());
        scores.end_round();
        let counts = Counts {
            in_order: 6,
            wire_bytes: 3_000,
            ..Counts::default()
        };
        assert_eq!(scores.counts, counts);
        assert_eq!(scores.counts.frame_bytes(), 500);
        assert_eq!(scores.latencies_us, [7; 6]);
        assert!(scores.reasons.is_empty());
    }

    #[test]
    fn each_fault_is_counted_once_and_said() {
        let mut scores = scores();
        for (socket, number) in [(0, 1), (0, 3), (0, 2), (0, 2), (1, 1), (1, 9)] {
            scores.on_message(socket, Some(stamp(number)), 1, BEGAN);
        }
        scores.on_message(1, None, 1, BEGAN);
        scores.end_round();
        let counts = Counts {
            in_order: 3,
            out_of_order: 1,
            doubled: 1,
            unknown: 2,
            lost: 2,
            wire_bytes: 7,
            ended: 0,
        };
        assert_eq!(scores.counts, counts);
        assert_eq!(scores.reasons.len(), REASONS_MAX);
        assert_eq!(scores.latencies_us.len(), 4);
    }

    #[test]
    fn a_message_of_an_earlier_round_is_a_double() {
        let mut scores = scores();
        scores.begin_round(3, 2 * BEGAN);
        scores.on_message(0, Some(stamp(1)), 1, 2 * BEGAN);
        assert_eq!(scores.counts.doubled, 1);
        assert_eq!(scores.counts.deliveries(), 0);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_state_with_an_ended_socket_or_with_the_patience() {
        let (long, short) = (Duration::from_hours(1), Duration::from_millis(1));
        let board = Scoreboard::new(1);
        assert_eq!(board.until_joined(short).await, 0);
        board.on_joined();
        assert_eq!(board.until_joined(long).await, 1);
        board.begin_round(1);
        board.until_round_over(short).await;
        assert!(!board.read(Scores::is_round_over));
        tokio::join!(board.until_round_over(long), async {
            board.on_ended(0, "cut");
        });
        board.end_round();
        let counts = board.read(|scores| scores.counts);
        assert_eq!((counts.ended, counts.lost), (1, 1));
    }
}
