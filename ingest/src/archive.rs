//! The stream → SQL: reads in order from SQL's own position, writes folded batches, moves the position with them.
//!
//! The position moves by compare-and-set, so that two archives never both write. What can't be decoded or
//! stored is set aside, counted and passed: nothing stops the rest. Knows no gateway.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker::{Broker, BrokerError, Freshness, Stored, StreamState};
use proto::envelope::Opened;
use proto::{ChannelId, GuildId};
use runtime::{Check, Health};
use store::{Batch, Position, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::leader::{Tenure, bounded};
use crate::places::Places;
use crate::status::Status;
use crate::trace;

/// Events a batch, at the most; the broker bounds the bytes at 4 MiB.
const BATCH_EVENTS_MAX: usize = 500;
/// How often the stream is looked at when no acknowledgement of our own wakes us.
const PERIOD: Duration = Duration::from_secs(1);
/// The first wait after a failure, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Longer than a lost lease is trusted: whoever waits so long and still holds it has renewed it since.
const LEASE_CHECK: Duration = Duration::from_secs(4);
/// How long one call on the stream may take.
const CALL: Duration = Duration::from_secs(5);

/// Why the archive could not go on.
#[derive(Debug, thiserror::Error)]
enum ArchiveError {
    #[error("the stream can't be read")]
    Broker(#[from] BrokerError),
    #[error("the store can't be written")]
    Store(#[from] StoreError),
    #[error("the stream ends before what is archived")]
    Rewound,
}

/// Writes the stream into SQL.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) store: Store,
    pub(crate) tenure: Tenure,
    pub(crate) health: Health,
    pub(crate) status: Status,
    pub(crate) places: Places,
    pub(crate) acknowledged: watch::Receiver<u64>,
    /// The last sequence in SQL.
    pub(crate) archived: watch::Sender<u64>,
}

impl Archive {
    /// Archives until told to stop; a batch that is begun is finished.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        while !stop.is_cancelled() {
            // What is done between two looks at the token is bounded: a batch, or a failed call.
            let error = match self.open(&stop).await {
                Ok(position) => self.follow(position, &stop, &mut retry).await,
                Err(error) => Err(error),
            };
            let wait = match error {
                Ok(()) => return,
                Err(error) => self.on_error(&error, &mut retry),
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    fn on_error(&self, error: &ArchiveError, retry: &mut Backoff) -> Duration {
        match error {
            ArchiveError::Store(StoreError::AnotherArchive) => {
                tracing::error!("another archive has moved the position; waiting for the lease");
                return LEASE_CHECK;
            }
            ArchiveError::Store(StoreError::Away(cause)) => {
                self.health.set("database", Check::Down);
                tracing::warn!(%cause, "the database is away; the archive waits");
            }
            ArchiveError::Store(error) => {
                tracing::error!(error = %chain(error), "the archive fails; it tries again");
            }
            ArchiveError::Rewound => {}
            ArchiveError::Broker(error) => {
                tracing::debug!(%error, "the archive can't read the stream");
            }
        }
        retry.next()
    }

    /// Where to begin: the schema is brought up to date, the directory read, the generation compared.
    async fn open(&mut self, stop: &CancellationToken) -> Result<Position, ArchiveError> {
        tokio::select! {
            () = stop.cancelled() => return Ok(Position::default()),
            () = self.tenure.valid() => {}
        }
        self.store.migrate().await?;
        self.health.set("database", Check::Up);
        if !self.places.is_loaded() {
            self.load_places().await?;
        }
        let stream = bounded(CALL, self.broker.state()).await?;
        let position = self.store.position().await?;
        if position.generation == stream.generation && position.sequence > stream.last {
            // A broker that lost power before its disk had the tail. Nobody knows where it began anew, and what
            // it has numbered since is missing here: all that it holds is archived again, which changes nothing
            // that was right.
            tracing::error!(
                position = position.sequence,
                last = stream.last,
                "the stream has lost events that are archived; what it holds is archived again"
            );
            let before = stream.first.saturating_sub(1);
            self.store.rewind(stream.generation, before).await?;
            return Ok(self.store.position().await?);
        }
        if position.generation == stream.generation {
            check_first(position, stream);
            return Ok(position);
        }
        if position.generation != 0 {
            tracing::error!("the stream is another one than the archive knows; it begins at 1");
        }
        self.store.begin_generation(stream.generation).await?;
        Ok(self.store.position().await?)
    }

    async fn load_places(&self) -> Result<(), ArchiveError> {
        let directory = self.store.directory().await?;
        let known = directory.guilds.into_iter().filter_map(|guild| {
            let channels = guild.channels.iter();
            let ids = channels.filter_map(|channel| ChannelId::new(channel.id));
            Some((GuildId::new(guild.guild.id)?, ids.collect()))
        });
        self.places.load(known);
        Ok(())
    }

    /// Archives what comes, from this position on.
    async fn follow(
        &mut self,
        mut position: Position,
        stop: &CancellationToken,
        retry: &mut Backoff,
    ) -> Result<(), ArchiveError> {
        while !stop.is_cancelled() {
            self.on_position(position);
            let from = position.sequence + 1;
            let read = self
                .broker
                .read(from, None, BATCH_EVENTS_MAX, Freshness::Any);
            let mut events = bounded(CALL, read).await?.events;
            events.retain(|event| event.sequence >= from);
            if events.is_empty() {
                let is_quiet = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    changed = timeout(PERIOD, self.acknowledged.changed()) => changed.is_err(),
                };
                if is_quiet && bounded(CALL, self.broker.state()).await?.last < position.sequence {
                    return Err(ArchiveError::Rewound);
                }
                continue;
            }
            if events.first().is_some_and(|first| first.sequence > from) {
                let stream = bounded(CALL, self.broker.state()).await?;
                check_first(position, stream);
            }
            self.tenure.valid().await;
            self.write(&mut position, &events).await?;
            retry.reset();
        }
        Ok(())
    }

    fn on_position(&self, position: Position) {
        self.archived.send_replace(position.sequence);
        self.status
            .on_archived(position.generation, position.sequence);
        self.status.on_acknowledged(*self.acknowledged.borrow());
        self.health.set("database", Check::Up);
    }

    /// Writes a run of events. One that fails for good is halved until the single culprit is set aside.
    async fn write(&self, position: &mut Position, events: &[Stored]) -> Result<(), StoreError> {
        let mut runs = vec![events];
        while let Some(run) = runs.pop() {
            let begun = SystemTime::now();
            let Folded { batch, undecodable } = fold(*position, run);
            let (to, refused) = (batch.to, batch.refused());
            match self.store.apply(batch).await {
                Ok(()) => {
                    trace::on_archived(run, begun);
                    self.status.on_refused_rows(refused);
                    self.status.on_undecodable(undecodable);
                }
                Err(error) if !is_for_good(&error) => return Err(error),
                Err(_) if run.len() > 1 => {
                    let (first, second) = run.split_at(run.len() / 2);
                    runs.extend([second, first]);
                    continue;
                }
                Err(error) => {
                    tracing::error!(sequence = to, error = %chain(&error), "an event can't be stored; it is set aside");
                    let mut passed = Batch::new(*position);
                    passed.skip(to);
                    self.store.apply(passed).await?;
                    self.status.on_refused_rows(1);
                }
            }
            position.sequence = to;
        }
        Ok(())
    }
}

/// Says so if the stream's retention was faster than the archive.
fn check_first(position: Position, stream: StreamState) {
    let next = position.sequence + 1;
    if stream.first > next {
        let lost = stream.first - next;
        tracing::error!(
            lost,
            "the stream no longer holds events that the archive lacks"
        );
    }
}

/// The same statement will fail again.
fn is_for_good(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused(_) | StoreError::Corrupt { .. })
}

struct Folded {
    batch: Batch,
    undecodable: usize,
}

fn fold(position: Position, events: &[Stored]) -> Folded {
    let mut batch = Batch::new(position);
    let mut undecodable = 0;
    for event in events {
        match Opened::decode(event.payload.clone()) {
            Ok(opened) => batch.push(event.sequence, &opened),
            Err(error) => {
                tracing::warn!(sequence = event.sequence, %error, "an event of the stream can't be decoded");
                batch.skip(event.sequence);
                undecodable += 1;
            }
        }
    }
    Folded { batch, undecodable }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
