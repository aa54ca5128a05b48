//! A long piece of work on a worker, in turns: sockets, joins and pings go between (decisions.md, "Fairness").

use std::time::{Duration, Instant};

/// How long a worker may be busy before others get their turn.
pub(super) const TURN_TIME_MAX: Duration = Duration::from_millis(2);

/// The time of one piece of work.
#[derive(Debug)]
pub(super) struct Turns(Instant);

impl Turns {
    /// A turn begins.
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    /// A step is done; the next one waits for the others if the turn was long enough.
    pub(super) async fn end(&mut self) {
        if self.0.elapsed() >= TURN_TIME_MAX {
            tokio::task::yield_now().await;
            self.0 = Instant::now();
        }
    }
}
