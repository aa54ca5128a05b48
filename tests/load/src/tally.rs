//! What came to the sockets of one room: each numbered message to each socket, once and in order, and how late.
//! It promises that every message is counted in exactly one place, and wakes the one who waits for the rest.
//! It knows nothing of connections; a socket is its number here.

use std::time::Duration;

use anyhow::bail;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Reasons that are kept as sentences; beyond them they are only counted.
const REASONS_MAX: usize = 5;

/// What has come so far. Messages that were sent are delivered, lost, or still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// For the first time, in order.
    pub(crate) delivered: u64,
    /// Overtaken by a later one, or not there when the patience was over.
    pub(crate) lost: u64,
    /// Once more, or too late.
    pub(crate) doubled: u64,
    /// Without a number, or with one that nobody sent.
    pub(crate) unknown: u64,
    /// Sockets that ended before they should.
    pub(crate) ended: u64,
}

/// The state of a room, seen from the clients.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// All messages so far.
    pub(crate) counts: Counts,
    /// From the moment that a message was due to our reading, in microseconds, one for each delivery.
    pub(crate) latencies_us: Vec<u32>,
    joined: usize,
    reasons: Vec<String>,
    /// When each message was due; its number is the place.
    due: Vec<Instant>,
    /// The number that each socket gets next.
    next: Vec<usize>,
    outstanding: u64,
}

impl State {
    fn expect(&mut self, count: u32, due: Instant) -> usize {
        let first = self.due.len();
        self.due.resize(first + count as usize, due);
        self.outstanding += u64::from(count) * self.next.len() as u64;
        first
    }

    fn on_message(&mut self, socket: usize, number: Option<usize>, now: Instant) {
        let due = number.and_then(|number| Some((number, *self.due.get(number)?)));
        let (Some((number, due)), Some(next)) = (due, self.next.get_mut(socket)) else {
            self.counts.unknown += 1;
            self.keep(format!("socket {socket} got a message that nobody sent"));
            return;
        };
        let Some(missing) = number.checked_sub(*next) else {
            self.counts.doubled += 1;
            self.keep(format!("socket {socket} got message {number} once more"));
            return;
        };
        *next = number + 1;
        self.counts.delivered += 1;
        self.outstanding -= 1 + missing as u64;
        let late = now.saturating_duration_since(due).as_micros();
        self.latencies_us
            .push(u32::try_from(late).unwrap_or(u32::MAX));
        if missing > 0 {
            self.counts.lost += missing as u64;
            self.keep(format!("socket {socket} lost {missing} before {number}"));
        }
    }

    /// What has not come by now is lost.
    fn give_up(&mut self) {
        self.counts.lost += self.outstanding;
        self.outstanding = 0;
        self.next.fill(self.due.len());
    }

    fn keep(&mut self, reason: String) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        }
    }

    /// What went wrong, each as a sentence.
    fn faults(&self) -> Vec<String> {
        let counts = &self.counts;
        let said = [
            (counts.lost, "messages were lost"),
            (counts.doubled, "messages came twice"),
            (counts.unknown, "messages were none of those that were sent"),
            (counts.ended, "sockets ended early"),
        ];
        let said = said.into_iter().filter(|(count, _)| *count > 0);
        let said = said.map(|(count, what)| format!("{count} {what}"));
        said.chain(self.reasons.iter().cloned()).collect()
    }
}

/// The tally of one room, shared by its sockets.
#[derive(Debug)]
pub(crate) struct Tally {
    state: Mutex<State>,
    changed: Notify,
}

impl Tally {
    /// A room of so many sockets.
    pub(crate) fn new(sockets: usize) -> Self {
        let state = State {
            next: vec![0; sockets],
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// Looks at the state.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock())
    }

    /// A socket is in the room.
    pub(crate) fn on_joined(&self) {
        self.state.lock().joined += 1;
        self.changed.notify_one();
    }

    /// A socket has ended by itself.
    pub(crate) fn on_ended(&self, socket: usize, why: &str) {
        let mut state = self.state.lock();
        state.counts.ended += 1;
        state.keep(format!("socket {socket} ended: {why}"));
        self.changed.notify_one();
    }

    /// So many messages, due then, are about to be sent to all; says the number of the first.
    pub(crate) fn expect(&self, count: u32, due: Instant) -> usize {
        self.state.lock().expect(count, due)
    }

    /// A message has come to a socket, with this number if it has any.
    pub(crate) fn on_message(&self, socket: usize, number: Option<usize>, now: Instant) {
        let mut state = self.state.lock();
        state.on_message(socket, number, now);
        if state.outstanding == 0 {
            self.changed.notify_one();
        }
    }

    /// Waits until so many have joined.
    ///
    /// # Errors
    /// They have not within the patience, or one has ended.
    pub(crate) async fn joined(&self, wanted: usize, patience: Duration) -> anyhow::Result<()> {
        self.until(patience, |state| state.joined == wanted).await;
        self.check()?;
        let joined = self.read(|state| state.joined);
        anyhow::ensure!(
            joined == wanted,
            "{joined} of {wanted} sockets joined within {} s",
            patience.as_secs()
        );
        Ok(())
    }

    /// Waits until everything that was sent has come.
    ///
    /// # Errors
    /// Something was lost or doubled, or a socket has ended.
    pub(crate) async fn complete(&self, patience: Duration) -> anyhow::Result<()> {
        self.until(patience, |state| state.outstanding == 0).await;
        self.state.lock().give_up();
        self.check()
    }

    /// An error if anything went wrong so far.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let faults = self.read(State::faults);
        if !faults.is_empty() {
            bail!("{}", faults.join("; "));
        }
        Ok(())
    }

    /// Waits for a state, for a socket's end, or for so long. There is one waiter: the bench.
    async fn until(&self, patience: Duration, is_reached: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + patience;
        while !self.read(|state| is_reached(state) || state.counts.ended > 0) {
            if timeout_at(deadline, self.changed.notified()).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn a_whole_burst_is_complete_and_its_latencies_are_known() {
        let tally = Tally::new(2);
        let due = Instant::now();
        assert_eq!(tally.expect(2, due), 0);
        for (socket, number) in [(0, 0), (1, 0), (1, 1), (0, 1)] {
            tally.on_message(socket, Some(number), due + Duration::from_micros(7));
        }
        tally.complete(SHORT).await.unwrap();
        let counts = Counts {
            delivered: 4,
            ..Counts::default()
        };
        assert_eq!(tally.read(|state| state.counts), counts);
        assert_eq!(tally.read(|state| state.latencies_us.clone()), [7; 4]);
        assert_eq!(tally.expect(1, due), 2);
    }

    #[tokio::test]
    async fn each_fault_is_counted_once_and_said() {
        let tally = Tally::new(2);
        let now = Instant::now();
        tally.expect(4, now);
        for number in [Some(0), Some(2), Some(1), Some(2), Some(4), None] {
            tally.on_message(0, number, now);
        }
        tally.on_message(1, Some(0), now);
        let error = tally.complete(SHORT).await.unwrap_err().to_string();
        let counts = Counts {
            delivered: 3,
            lost: 1 + 1 + 3,
            doubled: 2,
            unknown: 2,
            ended: 0,
        };
        assert_eq!(tally.read(|state| state.counts), counts);
        assert!(error.starts_with("5 messages were lost; 2 messages came twice"));
        tally.on_message(1, Some(3), now);
        assert_eq!(tally.read(|state| state.counts.doubled), 3);
    }

    #[tokio::test]
    async fn an_ended_socket_ends_the_waiting() {
        let tally = Tally::new(1);
        assert!(tally.joined(1, SHORT).await.is_err());
        tally.on_joined();
        tally.joined(1, SHORT).await.unwrap();
        tally.expect(1, Instant::now());
        let (ended, ()) = tokio::join!(tally.complete(LONG), async { tally.on_ended(0, "cut") });
        assert!(
            ended
                .unwrap_err()
                .to_string()
                .contains("socket 0 ended: cut")
        );
    }
}
