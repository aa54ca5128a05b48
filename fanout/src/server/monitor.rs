//! Looks after the parts that others own, for the probes: broker, database, Redis, ingest.

use std::time::Duration;

use registry::{Registry, State};
use runtime::{Check, Health};
use store::Store;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Fanout;
use crate::feed::FeedHandle;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// A part that takes longer to answer is down.
const ANSWER: Duration = Duration::from_secs(2);

/// A broker that has been away for longer makes the instance unready (decisions.md, "Probes").
const BROKER_PATIENCE: Duration = Duration::from_secs(30);

/// The leader announces its head every 5 s; after three that did not come it counts as away.
const HEAD_PATIENCE: Duration = Duration::from_secs(15);

struct Monitor {
    broker: watch::Receiver<bool>,
    store: Store,
    feed: FeedHandle,
    redis: watch::Receiver<State>,
    health: Health,
    stop: CancellationToken,
}

impl Fanout {
    /// Looks after the parts for as long as the service is to run.
    pub(super) fn monitor(&self, feed: FeedHandle, registry: &Registry) {
        let monitor = Monitor {
            broker: self.broker.is_connected(),
            store: self.store.clone(),
            feed,
            redis: registry.watch(),
            health: self.health.clone(),
            stop: self.life.soft.clone(),
        };
        self.life.spawn("monitor", monitor.run());
    }
}

impl Monitor {
    async fn run(mut self) {
        let mut connected_at = None;
        let mut ticks = tokio::time::interval(LOOK);
        self.health.hold("nats", "never connected");
        loop {
            self.health.set("redis", redis_check(*self.redis.borrow()));
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
                Ok(()) = self.redis.changed() => {}
            }
            self.look_at_broker(&mut connected_at);
            let answered = tokio::time::timeout(ANSWER, self.store.ping()).await;
            self.health
                .set("database", check(matches!(answered, Ok(Ok(())))));
            let is_heard = self.feed.head_age().is_some_and(|age| age < HEAD_PATIENCE);
            self.health.set("ingest", check(is_heard));
        }
    }

    fn look_at_broker(&self, connected_at: &mut Option<Instant>) {
        let is_connected = *self.broker.borrow();
        self.health.set("nats", check(is_connected));
        if is_connected {
            *connected_at = Some(Instant::now());
            self.health.release("nats");
        } else if connected_at.is_none_or(|at| at.elapsed() > BROKER_PATIENCE) {
            self.health.hold("nats", "not connected");
        }
    }
}

fn redis_check(state: State) -> Check {
    match state {
        State::Off => Check::Off,
        State::Up => Check::Up,
        State::Down => Check::Down,
    }
}

fn check(is_up: bool) -> Check {
    if is_up { Check::Up } else { Check::Down }
}
