//! Reading what the live feed left out, up to a target, before anything later goes out (decisions.md).

use std::time::Duration;

use broker::{BrokerError, Catchup, Freshness};
use tokio::time::Instant;

use super::{End, Feed};

/// Between two reads that did not reach the target.
const PAUSE: Duration = Duration::from_millis(50);

/// After this long a replica's word is not enough: the stream's leader is asked.
const REPLICA_PATIENCE: Duration = Duration::from_secs(1);

/// Events a read.
const READ_EVENTS: usize = 500;

impl Feed {
    /// Delivers everything up to this sequence. Some end if the feed can't go on from its position.
    pub(super) async fn catch_up(&mut self, target: u64) -> Option<End> {
        let began = Instant::now();
        while self.sequence() < target {
            let freshness = if began.elapsed() < REPLICA_PATIENCE {
                Freshness::Any
            } else {
                Freshness::Leader
            };
            let Some(read) = self.read_on(freshness).await else {
                return Some(End::Stopped);
            };
            match read {
                Ok(catchup) => {
                    self.on_broker(false);
                    if self.is_below_the_first(&catchup).await {
                        return Some(End::Broken("the stream no longer holds what is missing"));
                    }
                    let had_any = !catchup.events.is_empty();
                    for stored in catchup.events {
                        self.deliver(stored).await;
                    }
                    if catchup.complete_to > self.sequence() {
                        self.advance(catchup.complete_to).await;
                    }
                    if had_any {
                        continue;
                    }
                }
                Err(error) => {
                    self.on_broker(true);
                    tracing::debug!(%error, "a catch-up must wait");
                }
            }
            if self.sequence() < target {
                self.meanwhile(tokio::time::sleep(PAUSE)).await;
            }
        }
        None
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
    async fn read_on(&mut self, freshness: Freshness) -> Option<Result<Catchup, BrokerError>> {
        let broker = self.broker.clone();
        let from = self.sequence() + 1;
        let read = async move { broker.read(from, None, READ_EVENTS, freshness).await };
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

    /// The first event after the position may be missing because the stream has dropped it by age or size.
    async fn is_below_the_first(&mut self, catchup: &Catchup) -> bool {
        let next = self.sequence() + 1;
        let first_read = catchup
            .events
            .first()
            .map_or(catchup.complete_to + 1, |e| e.sequence);
        if first_read <= next {
            return false;
        }
        // A gap in the numbers: deleted events, or the stream's beginning has passed us.
        let broker = self.broker.clone();
        let state = self
            .unless_stopped(async move { broker.state().await })
            .await;
        matches!(state, Some(Ok(state)) if state.first > next)
    }
}
