//! Reading what the live feed left out, up to a target, before anything later goes out (decisions.md).

use std::time::Duration;

use broker::{BrokerError, Catchup, Freshness};
use tokio::time::Instant;

use super::{End, Feed};

/// Between two reads that did not reach the target.
const PAUSE: Duration = Duration::from_millis(50);

/// After this long a replica's word is not enough: the stream's leader is asked.
const REPLICA_PATIENCE: Duration = Duration::from_secs(1);

/// A hole that a broker which answers has not filled by then is not waited for (decisions.md, "One feed").
const HOLE_PATIENCE: Duration = Duration::from_secs(2);

/// Events a read.
const READ_EVENTS: usize = 500;

/// Why nothing was read.
enum Unreadable {
    /// The broker is away: later.
    Broker(BrokerError),
    /// What comes next has left the stream.
    Lost,
}

impl From<BrokerError> for Unreadable {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

impl Feed {
    /// Delivers everything up to this sequence. Some end if the feed can't go on from its position.
    pub(super) async fn catch_up(&mut self, target: u64) -> Option<End> {
        if self.sequence() < target {
            self.pulse.on_catch_up();
        }
        let mut answered = None;
        while self.sequence() < target {
            let asked_for: Duration = answered.map_or(Duration::ZERO, |at: Instant| at.elapsed());
            let freshness = if asked_for < REPLICA_PATIENCE {
                Freshness::Any
            } else {
                Freshness::Leader
            };
            let Some(read) = self.read_on(freshness).await else {
                return Some(End::Stopped);
            };
            match read {
                Ok(catchup) => {
                    // Only a broker that answers can fail to have the target: one that is away is waited for.
                    answered.get_or_insert_with(Instant::now);
                    if self.take(catchup).await {
                        answered = None;
                        continue;
                    }
                    if asked_for > HOLE_PATIENCE {
                        return Some(End::Broken("the stream can't fill a hole"));
                    }
                }
                Err(Unreadable::Lost) => {
                    return Some(End::Broken("the stream no longer holds what is missing"));
                }
                Err(Unreadable::Broker(error)) => {
                    self.on_broker(true);
                    answered = None;
                    tracing::debug!(%error, "a catch-up must wait");
                }
            }
            if self.sequence() < target {
                self.meanwhile(tokio::time::sleep(PAUSE)).await;
            }
        }
        None
    }

    /// Delivers what was read. True if there was anything.
    async fn take(&mut self, catchup: Catchup) -> bool {
        self.on_broker(false);
        let before = self.sequence();
        for stored in catchup.events {
            self.deliver(stored).await;
        }
        if catchup.complete_to > self.sequence() {
            self.advance(catchup.complete_to).await;
        }
        self.sequence() > before
    }

    /// Catches up to whatever the stream has now; another stream ends this feed.
    pub(super) async fn catch_up_to_last(&mut self) -> Option<End> {
        loop {
            let broker = self.broker.clone();
            let state = self
                .unless_stopped(async move { broker.state().await })
                .await;
            match state {
                None => return Some(End::Stopped),
                Some(Ok(state)) if state.generation != self.generation() => {
                    return Some(End::Broken("the stream was made anew"));
                }
                Some(Ok(state)) if state.last < self.sequence() => {
                    return Some(End::Broken("the stream has lost events that went out"));
                }
                Some(Ok(state)) => {
                    self.on_broker(false);
                    return self.catch_up(state.last).await;
                }
                Some(Err(_)) => self.on_broker(true),
            }
            self.meanwhile(tokio::time::sleep(PAUSE)).await;
        }
    }

    /// Events after the position; none when stopped.
    async fn read_on(&mut self, freshness: Freshness) -> Option<Result<Catchup, Unreadable>> {
        let broker = self.broker.clone();
        let from = self.sequence() + 1;
        let read = async move {
            let catchup = broker.read(from, None, READ_EVENTS, freshness).await?;
            let first = catchup
                .events
                .first()
                .map_or(catchup.complete_to + 1, |e| e.sequence);
            // A gap in the numbers: deleted events, or the stream's beginning has passed us.
            if first > from && broker.state().await?.first > from {
                return Err(Unreadable::Lost);
            }
            Ok(catchup)
        };
        self.unless_stopped(read).await
    }

    async fn unless_stopped<F: Future>(&mut self, work: F) -> Option<F::Output> {
        let stop = self.stop.clone();
        let work = async move {
            tokio::select! {
                () = stop.cancelled() => None,
                done = work => Some(done),
            }
        };
        self.meanwhile(work).await
    }
}
