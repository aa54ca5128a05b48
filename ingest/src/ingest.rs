//! The service: stands by, leads while it holds the lease, and stands by again.
//!
//! The binary and the standalone one both wire it: a broker, a store, a health and a life come from outside.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use runtime::{Check, Health, Lifecycle, Metrics};
use store::Store;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::exclusions::Exclusions;
use crate::gateway::Fatal;
use crate::http::Probes;
use crate::leader::{Held, Leader};
use crate::links;
use crate::metrics;
use crate::rest::{Rest, RestError};
use crate::settings::IngestSettings;
use crate::status::Status;
use crate::term::{self, Ended, Ends};

/// How often SQL is asked whether it is there.
const DATABASE_CHECK: Duration = Duration::from_secs(5);
/// How long its answer may take.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);
/// The first wait before a broken term is followed by the next, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How long the broker may take to make or check its stream.
const PROVISION: Duration = Duration::from_secs(10);
/// A term of this length was a good one: what ended it has nothing to do with what ended the one before.
const TERM_GOOD: Duration = Duration::from_mins(1);

/// Why the service ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Discord will not have us back.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The client for Discord's API could not be made.
    #[error("Discord's API can't be used")]
    Rest(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<RestError> for IngestError {
    fn from(error: RestError) -> Self {
        Self::Rest(Box::new(error))
    }
}

/// The service.
#[derive(Debug)]
pub struct Ingest {
    parts: term::Parts,
    lifecycle: Lifecycle,
}

impl Ingest {
    /// A service that has not begun. It is not ready until it has reached the broker and the question of
    /// the lease was answered once.
    ///
    /// # Errors
    /// The token is no text for a header, or the process has no TLS provider.
    pub fn new(
        settings: IngestSettings,
        broker: Arc<dyn Broker>,
        store: Store,
        health: Health,
        lifecycle: Lifecycle,
    ) -> Result<Self, IngestError> {
        health.hold("broker", "not reached yet");
        health.hold("lease", "not settled yet");
        health.set("redis", Check::Off);
        let rest = Rest::new(&settings.api_url, &settings.token)?;
        let parts = term::Parts {
            status: Status::new(rest.counts()),
            rest,
            exclusions: Exclusions::new(settings.exclusions.clone()),
            links: links::Known::default(),
            settings,
            broker,
            store,
            health,
        };
        Ok(Self { parts, lifecycle })
    }

    /// The state, for whoever tells of it.
    pub fn status(&self) -> Status {
        self.parts.status.clone()
    }

    /// The probes' routes.
    pub fn probes(&self) -> Probes {
        Probes {
            status: self.status(),
            health: self.parts.health.clone(),
            environment: self.parts.settings.environment.clone(),
        }
    }

    /// Tells of itself at each scrape.
    pub fn tell(&self, metrics: &Metrics) {
        let (status, rest) = (self.status(), self.parts.rest.statuses.clone());
        metrics.collect(move |scrape| metrics::collect(&status, &rest, scrape));
    }

    /// Runs as a task of its lifecycle. The receiver gets how it ended; an end by itself ends the life.
    pub fn spawn(self) -> oneshot::Receiver<Result<(), IngestError>> {
        let (sender, receiver) = oneshot::channel();
        let lifecycle = self.lifecycle.clone();
        self.lifecycle.clone().spawn("ingest", async move {
            let ended = self.run().await;
            lifecycle.soft.cancel();
            if let Err(Err(error)) = sender.send(ended) {
                tracing::error!(%error, "ingest ended");
            }
        });
        receiver
    }

    /// Runs until the life's soft token is cancelled, and then ends in order.
    ///
    /// # Errors
    /// Discord will not have us back.
    pub async fn run(self) -> Result<(), IngestError> {
        let hard = self.lifecycle.hard.clone();
        tokio::select! {
            () = hard.cancelled() => Ok(()),
            ended = self.lead() => ended,
            never = self.watch_parts() => match never {},
        }
    }

    async fn lead(&self) -> Result<(), IngestError> {
        let soft = &self.lifecycle.soft;
        let owner = format!("{:016x}", rand::random::<u64>());
        let leader = Leader::new(Arc::clone(&self.parts.broker), owner);
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        loop {
            self.parts.status.on_role(false);
            self.parts.health.set("discord", Check::Off);
            // Before each time: the stream may have been lost with its broker meanwhile.
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = self.provision() => {}
            }
            let health = &self.parts.health;
            let held = tokio::select! {
                () = soft.cancelled() => return Ok(()),
                held = leader.stand_by(|| health.release("lease")) => held,
            };
            let Some(mut held) = held else {
                tracing::error!("the broker has lost what it held; it is made anew");
                continue;
            };
            self.parts.status.on_role(true);
            let begun = Instant::now();
            let ended = self.term(&leader, &mut held).await;
            self.parts.status.on_left();
            if !matches!(ended, Ended::Lost) {
                leader.release(held).await;
            }
            if begun.elapsed() >= TERM_GOOD {
                retry.reset();
            }
            match ended {
                Ended::Stopped => return Ok(()),
                Ended::Fatal(fatal) => {
                    let why = "Discord will not have the bot back";
                    self.parts.health.hold("discord", why);
                    return Err(fatal.into());
                }
                Ended::Lost => tracing::warn!("the lease is lost; standing by"),
                Ended::Broken(why) => tracing::error!(why, "the term ended; standing by"),
            }
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = sleep(retry.next()) => {}
            }
        }
    }

    /// Leads while the lease is kept.
    async fn term(&self, leader: &Leader, held: &mut Held) -> Ended {
        let lost = CancellationToken::new();
        let ends = Ends {
            soft: &self.lifecycle.soft,
            lost: &lost,
        };
        let term = Box::pin(term::run(self.parts.clone(), held.tenure(), ends));
        let keeping = async {
            leader.keep(held).await;
            lost.cancel();
            std::future::pending().await
        };
        tokio::select! {
            ended = term => ended,
            ended = keeping => ended,
        }
    }

    /// Makes or checks the stream, for as long as that takes.
    async fn provision(&self) {
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let provisioned = self.parts.broker.provision(&self.parts.settings.stream);
            match timeout(PROVISION, provisioned).await {
                Ok(Ok(_)) => break,
                Ok(Err(error)) => tracing::warn!(%error, "the stream can't be provisioned"),
                Err(_) => tracing::warn!("the broker does not answer"),
            }
            sleep(retry.next()).await;
        }
        self.parts.health.release("broker");
    }

    /// Keeps the checks of the broker and of SQL true, and the readiness once the end has begun.
    async fn watch_parts(&self) -> std::convert::Infallible {
        let broker = async {
            let mut connected = self.parts.broker.is_connected();
            loop {
                let is_connected = *connected.borrow_and_update();
                self.parts.health.set("nats", check(is_connected));
                if connected.changed().await.is_err() {
                    self.parts.health.set("nats", Check::Down);
                    std::future::pending::<()>().await;
                }
            }
        };
        let database = async {
            loop {
                let answered = timeout(DATABASE_PATIENCE, self.parts.store.ping()).await;
                let is_there = matches!(answered, Ok(Ok(())));
                self.parts.health.set("database", check(is_there));
                sleep(DATABASE_CHECK).await;
            }
        };
        let end = async {
            self.lifecycle.soft.cancelled().await;
            self.parts.health.hold("service", "draining");
            std::future::pending().await
        };
        tokio::select! {
            never = broker => never,
            never = database => never,
            never = end => never,
        }
    }
}

fn check(is_up: bool) -> Check {
    if is_up { Check::Up } else { Check::Down }
}
