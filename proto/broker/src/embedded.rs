//! The embedded home of the stream: an append log in one SQLite file, within the process.
//!
//! It survives a restart, keeps the same promises as NATS, and is never away. One process opens a file;
//! two brokers on one file share the log, the values and the lease, but not their live feeds,
//! requests and enrolled instances.

mod clock;
mod hub;
mod log;
mod notices;
mod requests;
mod roll;
mod writer;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use proto::{InstanceId, Subject};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{ConnectOptions as _, SqlitePool};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::clock::Clock;
use self::hub::Hub;
use self::notices::Board;
use self::requests::Registry;
use self::roll::Roll;
use self::writer::{JOBS_MAX, Job, LeaseChange, Writer};
use crate::broker::{
    Broker, BrokerError, Catchup, Erasure, Freshness, Lease, LiveItem, LiveReceiver, Notices,
    Publication, PublishError, Requests, Stored, StreamSettings, StreamState, Unanswered,
};
use crate::feed::{FEED_BYTES_MAX, Receiver};

/// The bound of a publication ([`Broker::publish`]).
const PUBLISH_PATIENCE: Duration = Duration::from_secs(5);

/// The bound of everything else.
const CALL_PATIENCE: Duration = Duration::from_secs(2);

/// Connections that read at the same time; SQLite serves a read in well under a millisecond.
const READERS_MAX: u32 = 4;

/// NATS takes 1 MiB with headers; the same limit here, so that what fits one home fits the other.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The headers that NATS would count: four names, a subject sequence, a trace and a content type.
const HEADER_BYTES: usize = 512;

/// How the stream is kept until [`Broker::provision`] says otherwise: nothing is dropped.
const UNPROVISIONED: StreamSettings = StreamSettings {
    age_max: Duration::MAX,
    bytes_max: u64::MAX,
    duplicate_window: Duration::from_mins(15),
    replicas: 1,
};

/// What an embedded broker is opened with.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// The time that it lives by.
    pub clock: Clock,
    /// Bytes that one live feed holds for its reader before it leaves events out.
    pub feed_bytes_max: usize,
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            feed_bytes_max: FEED_BYTES_MAX,
        }
    }
}

/// The log's file could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the broker's log cannot be opened")]
pub struct OpenError(#[from] sqlx::Error);

/// The stream in one SQLite file.
#[derive(Debug)]
pub struct Embedded {
    readers: SqlitePool,
    generation: u64,
    jobs: mpsc::Sender<Job>,
    settings: watch::Sender<StreamSettings>,
    hub: Hub,
    requests: Registry,
    notices: Board,
    roll: Roll,
    connected: watch::Sender<bool>,
    feed_bytes_max: usize,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Embedded {
    /// Opens the log in this file, or makes it.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, or holds something else.
    pub async fn open(path: &Path, settings: EmbeddedSettings) -> Result<Arc<Self>, OpenError> {
        let options = log::options(path);
        let mut connection = options.connect().await?;
        let generation = log::prepare(&mut connection, new_generation()).await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(CALL_PATIENCE);
        let readers = pool.connect_lazy_with(options);
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let embedded = Self {
            readers,
            generation,
            jobs,
            settings: watch::Sender::new(UNPROVISIONED),
            hub: Hub::default(),
            requests: Registry::default(),
            notices: Board::default(),
            roll: Roll::new(settings.clock.clone()),
            connected: watch::Sender::new(true),
            feed_bytes_max: settings.feed_bytes_max,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let writer = Writer {
            connection,
            jobs: waiting,
            settings: embedded.settings.subscribe(),
            clock: settings.clock,
            hub: embedded.hub.clone(),
        };
        embedded.tasks.spawn(writer.run(embedded.stop.clone()));
        embedded.tasks.close();
        Ok(Arc::new(embedded))
    }

    /// Ends the writer, the feeds and the served requests, and closes the file. What waits to be written
    /// and is not yet committed is left to its caller as unknown.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
        self.readers.close().await;
        self.end_readers();
    }

    fn end_readers(&self) {
        self.hub.close();
        self.requests.close();
        self.notices.close();
    }

    fn check_open(&self) -> Result<(), BrokerError> {
        let closed = || BrokerError::Away("it is closed".to_owned());
        (!self.stop.is_cancelled()).then_some(()).ok_or_else(closed)
    }

    async fn change_lease(&self, change: LeaseChange) -> Result<Option<Lease>, BrokerError> {
        let job = |reply| Job::Lease { change, reply };
        let revision = bounded(CALL_PATIENCE, self.submit(job)).await?;
        Ok(revision.map(|revision| Lease { revision }))
    }

    /// Gives a job to the writer and waits for its commit.
    async fn submit<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<T>) -> Job,
    ) -> Result<T, BrokerError> {
        let (reply, committed) = oneshot::channel();
        let sent = self.jobs.send(job(reply)).await;
        sent.map_err(|_| BrokerError::Away("it is closed".to_owned()))?;
        let committed = committed.await;
        committed.map_err(|_| BrokerError::Away("the log was not written".to_owned()))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop.cancel();
        self.end_readers();
    }
}

#[async_trait]
impl Broker for Embedded {
    async fn provision(&self, settings: &StreamSettings) -> Result<StreamState, BrokerError> {
        self.settings.send_replace(*settings);
        self.state().await
    }

    async fn state(&self) -> Result<StreamState, BrokerError> {
        read(log::state(&self.readers, self.generation)).await
    }

    async fn publish(&self, publication: &Publication, expected: u64) -> Result<u64, PublishError> {
        let bytes = publication.payload.len() + publication.identity.len() + HEADER_BYTES;
        if bytes > MESSAGE_BYTES_MAX {
            return Err(PublishError::Refused(format!("{bytes} bytes are too many")));
        }
        if publication.identity.contains(['\r', '\n']) {
            return Err(PublishError::Refused("the identity has lines".to_owned()));
        }
        let job = |reply| Job::Publish {
            publication: publication.clone(),
            expected,
            reply,
        };
        let outcome = bounded(PUBLISH_PATIENCE, self.submit(job)).await;
        outcome.unwrap_or_else(|error| Err(PublishError::Unknown(error.to_string())))
    }

    async fn last_of(&self, subject: Subject) -> Result<Option<Stored>, BrokerError> {
        read(log::last_of(&self.readers, subject)).await
    }

    async fn read(
        &self,
        from: u64,
        subject: Option<Subject>,
        events_max: usize,
        _freshness: Freshness,
    ) -> Result<Catchup, BrokerError> {
        read(log::read(&self.readers, from, subject, events_max)).await
    }

    async fn remove(&self, sequence: u64, erasure: Erasure) -> Result<bool, BrokerError> {
        let job = |reply| Job::Remove {
            sequence,
            erasure,
            reply,
        };
        bounded(CALL_PATIENCE, self.submit(job)).await
    }

    async fn live(&self) -> Result<Box<dyn LiveReceiver>, BrokerError> {
        self.check_open()?;
        let queue = self.hub.subscribe(self.feed_bytes_max);
        Ok(Box::new(Receiver::new(queue, None)))
    }

    async fn announce_head(&self, generation: u64, sequence: u64) -> Result<(), BrokerError> {
        self.hub.push(&LiveItem::Head(generation, sequence));
        Ok(())
    }

    async fn lease_acquire(&self, owner: &str) -> Result<Option<Lease>, BrokerError> {
        let owner = owner.to_owned();
        self.change_lease(LeaseChange::Acquire { owner }).await
    }

    async fn lease_renew(&self, owner: &str, lease: Lease) -> Result<Option<Lease>, BrokerError> {
        let owner = owner.to_owned();
        let revision = lease.revision;
        self.change_lease(LeaseChange::Renew { owner, revision })
            .await
    }

    async fn lease_release(&self, lease: Lease) -> Result<(), BrokerError> {
        let revision = lease.revision;
        self.change_lease(LeaseChange::Release { revision }).await?;
        Ok(())
    }

    async fn value(&self, key: &str) -> Result<Option<Bytes>, BrokerError> {
        read(log::value(&self.readers, key)).await
    }

    async fn set_value(&self, key: &str, value: Bytes) -> Result<(), BrokerError> {
        let key = key.to_owned();
        let job = |reply| Job::SetValue { key, value, reply };
        bounded(CALL_PATIENCE, self.submit(job)).await
    }

    async fn enroll(
        &self,
        instance: &InstanceId,
        address: SocketAddr,
        term: Duration,
    ) -> Result<(), BrokerError> {
        self.check_open()?;
        self.roll.enroll(instance, address, term);
        Ok(())
    }

    async fn withdraw(&self, instance: &InstanceId) -> Result<(), BrokerError> {
        self.check_open()?;
        self.roll.withdraw(instance);
        Ok(())
    }

    async fn address_of(&self, instance: &InstanceId) -> Result<Option<SocketAddr>, BrokerError> {
        self.check_open()?;
        Ok(self.roll.address_of(instance))
    }

    async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Unanswered> {
        self.requests.ask(subject, payload, timeout).await
    }

    async fn serve(&self, subject: &str) -> Result<Box<dyn Requests>, BrokerError> {
        self.check_open()?;
        Ok(Box::new(self.requests.serve(subject)))
    }

    async fn notify(&self, subject: &str, payload: Bytes) -> Result<(), BrokerError> {
        self.check_open()?;
        self.notices.say(subject, payload);
        Ok(())
    }

    async fn notices(&self, subject: &str) -> Result<Box<dyn Notices>, BrokerError> {
        self.check_open()?;
        Ok(Box::new(self.notices.listen(subject)))
    }

    fn is_connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }
}

/// Other databases keep a generation in 63 bits, and 0 means none.
fn new_generation() -> u64 {
    rand::random_range(1..=i64::MAX).cast_unsigned()
}

async fn read<T>(query: impl Future<Output = sqlx::Result<T>>) -> Result<T, BrokerError> {
    let failed = |error| match error {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
            BrokerError::Malformed(format!("a row of the log: {error}"))
        }
        _ => BrokerError::Away(error.to_string()),
    };
    bounded(CALL_PATIENCE, async { query.await.map_err(failed) }).await
}

async fn bounded<T>(
    patience: Duration,
    call: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    let done = tokio::time::timeout(patience, call).await;
    done.unwrap_or_else(|_| Err(BrokerError::Away("no answer in time".to_owned())))
}
