//! Who leads: the lease, its renewal, and the moment from which it is no longer surely ours.
//!
//! The lease ends by itself 4 s after its last renewal; the holder renews every second and stops publishing
//! at its own deadline, 3 s after it last asked with success. While the broker is away nobody can take it:
//! the holder keeps its gateway session and its buffer and takes the lease again if it is free.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerError, Lease};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// How often the lease is renewed (decisions.md, the lease).
const RENEWAL: Duration = Duration::from_secs(1);
/// How long the holder trusts a renewal, counted from its request (decisions.md, the lease).
const TRUST: Duration = Duration::from_secs(3);
/// How often a standby asks; a takeover is late by this at the most.
const STANDBY: Duration = Duration::from_millis(300);
/// How long a standby lets the broker be back before it asks: whoever led before goes on without a RESUME, with all
/// that it has buffered, if it comes first. Some tries of [`RETRY`].
const DEFERENCE: Duration = Duration::from_secs(1);
/// How soon a failed renewal is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// How long one call on the lease may take.
const CALL: Duration = Duration::from_secs(1);
/// A broker that says for so long that it knows nothing of ours has lost it: the first answers of a server that has
/// just started need not be true.
const CERTAIN: Duration = Duration::from_secs(2);

/// Bounds a call that has no bound of its own.
pub(crate) async fn bounded<T>(
    patience: Duration,
    call: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    let late = |_| Err(BrokerError::Away("no answer in time".into()));
    tokio::time::timeout(patience, call)
        .await
        .unwrap_or_else(late)
}

/// Whether the lease is surely ours, for whoever publishes.
#[derive(Debug, Clone)]
pub(crate) struct Tenure {
    deadline: watch::Receiver<Instant>,
}

impl Tenure {
    /// The lease is ours now.
    pub(crate) fn is_valid(&self) -> bool {
        Instant::now() < *self.deadline.borrow()
    }

    /// A tenure until this moment, and who moves it.
    #[cfg(test)]
    pub(crate) fn until(deadline: Instant) -> (watch::Sender<Instant>, Self) {
        let (sender, deadline) = watch::channel(deadline);
        (sender, Self { deadline })
    }

    /// Waits until the lease is ours.
    pub(crate) async fn valid(&mut self) {
        let is_ours = |deadline: &Instant| Instant::now() < *deadline;
        if self.deadline.wait_for(is_ours).await.is_err() {
            // The term is over; whoever waits here ends with it.
            std::future::pending::<()>().await;
        }
    }
}

/// Asks for the lease and keeps it.
#[derive(Debug)]
pub(crate) struct Leader {
    broker: Arc<dyn Broker>,
    owner: String,
}

/// The lease in hand.
#[derive(Debug)]
pub(crate) struct Held {
    lease: Lease,
    deadline: watch::Sender<Instant>,
}

impl Held {
    fn new(lease: Lease, asked: Instant) -> Self {
        Self {
            lease,
            deadline: watch::Sender::new(asked + TRUST),
        }
    }

    /// The deadline, as others watch it.
    pub(crate) fn tenure(&self) -> Tenure {
        Tenure {
            deadline: self.deadline.subscribe(),
        }
    }

    fn on_granted(&mut self, lease: Lease, asked: Instant) {
        self.lease = lease;
        self.deadline.send_replace(asked + TRUST);
    }
}

/// Since when the broker says that it knows nothing of ours.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    since: Option<Instant>,
}

impl Missing {
    /// A call succeeded, or failed so. True once it is certain that the broker has lost everything.
    pub(crate) fn is_certain<T>(&mut self, answer: &Result<T, BrokerError>) -> bool {
        match answer {
            Err(BrokerError::Missing) => {
                self.since.get_or_insert_with(Instant::now).elapsed() > CERTAIN
            }
            // Who is away says nothing.
            Err(_) => false,
            Ok(_) => {
                self.since = None;
                false
            }
        }
    }
}

impl Leader {
    /// A candidate of this name, which no other process has.
    pub(crate) fn new(broker: Arc<dyn Broker>, owner: String) -> Self {
        Self { broker, owner }
    }

    /// Asks until the lease is ours; none if there is no lease to be had, because the broker has lost everything.
    /// `on_answer` hears whenever the question was answered either way.
    pub(crate) async fn stand_by(&self, on_answer: impl Fn()) -> Option<Held> {
        let mut connected = self.broker.is_connected();
        let mut was_answered = false;
        let mut missing = Missing::default();
        loop {
            let asked = Instant::now();
            let answer = bounded(CALL, self.broker.lease_acquire(&self.owner)).await;
            if missing.is_certain(&answer) {
                return None;
            }
            match answer {
                Ok(Some(lease)) => {
                    on_answer();
                    return Some(Held::new(lease, asked));
                }
                Ok(None) => {
                    on_answer();
                    // The connections until now were there before somebody else led.
                    was_answered = was_answered || *connected.borrow_and_update();
                }
                Err(error) => tracing::debug!(%error, "the lease can't be asked for"),
            }
            sleep(STANDBY).await;
            if was_answered && connected.has_changed().unwrap_or_default() {
                self.defer(&mut connected).await;
            }
        }
    }

    /// The broker was away while another led: waits until it is back, and a moment more.
    async fn defer(&self, connected: &mut watch::Receiver<bool>) {
        if connected
            .wait_for(|is_connected| *is_connected)
            .await
            .is_ok()
        {
            sleep(DEFERENCE).await;
        }
    }

    /// Keeps the lease; returns once it is lost.
    pub(crate) async fn keep(&self, held: &mut Held) {
        let mut next = Instant::now() + RENEWAL;
        let mut missing = Missing::default();
        loop {
            sleep_until(next).await;
            let asked = Instant::now();
            let answer = self.renew(held.lease).await;
            if missing.is_certain(&answer) {
                tracing::error!("the broker knows no lease: it has lost what it held");
                return;
            }
            match answer {
                Ok(Some(lease)) => {
                    held.on_granted(lease, asked);
                    next = asked + RENEWAL;
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "the lease can't be renewed");
                    next = asked + RETRY;
                }
            }
        }
    }

    /// Renews the lease, or takes it anew if it has ended and is free, or if it is ours by a renewal whose
    /// answer was lost; none if another has it.
    async fn renew(&self, lease: Lease) -> Result<Option<Lease>, BrokerError> {
        let renewed = bounded(CALL, self.broker.lease_renew(&self.owner, lease)).await?;
        if renewed.is_some() {
            return Ok(renewed);
        }
        bounded(CALL, self.broker.lease_acquire(&self.owner)).await
    }

    /// Gives the lease back, so that the next need not wait for its end.
    pub(crate) async fn release(&self, held: Held) {
        if let Err(error) = bounded(CALL, self.broker.lease_release(held.lease)).await {
            tracing::warn!(%error, "the lease could not be given back; it ends by itself");
        }
    }
}

#[cfg(test)]
mod tests;
