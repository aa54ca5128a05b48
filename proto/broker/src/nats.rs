//! The distributed home of the stream: NATS JetStream and two key-value buckets, server 2.11 or newer.
//!
//! Every call has its own time limit and waits for the connection within it; nothing is retried here. It
//! refuses to know what the events mean.

mod api;
mod bucket;
mod connection;
mod instances;
mod live;
mod notices;
mod provision;
mod read;
mod requests;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::Stream;
use async_trait::async_trait;
use bytes::Bytes;
use proto::subject::{FANOUT_BUCKET, HEADS, INGEST_BUCKET, STREAM};
use proto::{InstanceId, Subject};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::api::{CALL_PATIENCE, RequestFailure};
use self::connection::Connection;
pub use self::connection::{ConnectError, NatsSettings};
use self::provision::PROVISION_PATIENCE;
use self::wire::{Ack, Info, Removed, Reply};
use crate::broker::{
    Broker, BrokerError, Catchup, Erasure, Freshness, Lease, LiveReceiver, Notices, Publication,
    PublishError, Requests, Stored, StreamSettings, StreamState, Unanswered,
};

/// The bound of a publication ([`Broker::publish`]).
const PUBLISH_PATIENCE: Duration = Duration::from_secs(5);

/// The stream on NATS.
#[derive(Debug)]
pub struct Nats {
    connection: Connection,
    jetstream: Context,
    stream: Stream<()>,
    bucket: Stream<()>,
    instances: Stream<()>,
    feed_bytes_max: usize,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Nats {
    /// Connects, or begins to: if no server answers within 2 s this returns all the same, calls fail with
    /// [`BrokerError::Away`], and the connection is tried for ever (after 100 ms to 2 s, with jitter).
    ///
    /// # Errors
    ///
    /// If the settings can never lead to a connection, or the server is older than 2.11.
    pub async fn connect(settings: NatsSettings) -> Result<Arc<Self>, ConnectError> {
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let connection = Connection::open(&settings, stop.clone(), &tasks).await?;
        let client = connection.client().clone();
        let jetstream = ContextBuilder::new().timeout(CALL_PATIENCE).build(client);
        Ok(Arc::new(Self {
            stream: handle(&jetstream, STREAM).await,
            bucket: handle(&jetstream, &provision::bucket_stream(INGEST_BUCKET)).await,
            instances: handle(&jetstream, &provision::bucket_stream(FANOUT_BUCKET)).await,
            connection,
            jetstream,
            feed_bytes_max: settings.feed_bytes_max,
            tasks,
            stop,
        }))
    }

    /// Ends the feeds and the served requests, sends what waits, and closes the connection.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let drained = tokio::time::timeout(CALL_PATIENCE, self.connection.client().drain()).await;
        if !matches!(drained, Ok(Ok(()))) {
            tracing::debug!("the NATS connection was not drained");
        }
    }

    /// Makes a call once the connection stands, all within `patience`.
    async fn bounded<T>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        let exchange = async {
            self.connection.ready().await?;
            call.await
        };
        let done = tokio::time::timeout(patience, exchange).await;
        done.unwrap_or_else(|_| Err(BrokerError::Away("no answer in time".to_owned())))
    }

    async fn subscribe(&self, subject: &str) -> Result<Subscriber, BrokerError> {
        let subscribed = self.connection.client().subscribe(subject.to_owned()).await;
        subscribed.map_err(|error| BrokerError::Away(error.to_string()))
    }

    /// Waits until the server has taken everything sent before: it reads a connection in order, so any
    /// answer to a request will do, even that there is no stream.
    async fn round_trip(&self) -> Result<(), BrokerError> {
        match self
            .request(&stream_info(), Bytes::new(), CALL_PATIENCE)
            .await
        {
            Ok(_) | Err(Unanswered::Nobody) => Ok(()),
            Err(Unanswered::Late) => Err(BrokerError::Away("no answer in time".to_owned())),
        }
    }

    /// The stream's numbers, which only its leader tells.
    async fn leader_state(&self) -> Result<StreamState, BrokerError> {
        Ok(self.info(STREAM).await?.state())
    }

    async fn info(&self, stream: &str) -> Result<Info, BrokerError> {
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        let asked = api::request(&self.connection, subject, None, Bytes::new(), CALL_PATIENCE);
        match api::reply::<Info>(&asked.await?)? {
            Reply::Ok(info) => Ok(info),
            Reply::Err { error } => Err(error.away()),
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Broker for Nats {
    async fn provision(&self, settings: &StreamSettings) -> Result<StreamState, BrokerError> {
        let provisioning = Box::pin(provision::provision(&self.jetstream, settings));
        self.bounded(PROVISION_PATIENCE, provisioning).await?;
        self.leader_state().await
    }

    async fn state(&self) -> Result<StreamState, BrokerError> {
        self.leader_state().await
    }

    async fn publish(&self, publication: &Publication, expected: u64) -> Result<u64, PublishError> {
        let headers = wire::headers(publication, expected)?;
        let subject = publication.subject.to_string();
        let payload = publication.payload.clone();
        let sent = api::request(
            &self.connection,
            subject,
            Some(headers),
            payload,
            PUBLISH_PATIENCE,
        );
        let answer = sent.await.map_err(|failure| match failure {
            RequestFailure::TooLarge => PublishError::Refused(failure.to_string()),
            RequestFailure::Nobody | RequestFailure::Away(_) => {
                PublishError::Unknown(failure.to_string())
            }
        })?;
        let reply = api::reply::<Ack>(&answer);
        match reply.map_err(|error| PublishError::Unknown(error.to_string()))? {
            Reply::Ok(ack) => Ok(ack.seq),
            Reply::Err { error } => Err(error.not_published()),
        }
    }

    async fn last_of(&self, subject: Subject) -> Result<Option<Stored>, BrokerError> {
        let subject = subject.to_string();
        let asking = api::last_of(&self.stream, &subject);
        let last = self.bounded(CALL_PATIENCE, asking).await?;
        Ok(last.and_then(read::ours))
    }

    async fn read(
        &self,
        from: u64,
        subject: Option<Subject>,
        events_max: usize,
        freshness: Freshness,
    ) -> Result<Catchup, BrokerError> {
        read::read(self, from, subject, events_max, freshness).await
    }

    async fn remove(&self, sequence: u64, erasure: Erasure) -> Result<bool, BrokerError> {
        let subject = format!("$JS.API.STREAM.MSG.DELETE.{STREAM}");
        let asked = serde_json::json!({
            "seq": sequence,
            "no_erase": erasure == Erasure::Forget,
        });
        let payload = asked.to_string().into();
        let asked = api::request(&self.connection, subject, None, payload, CALL_PATIENCE);
        match api::reply::<Removed>(&asked.await?)? {
            Reply::Ok(removed) => Ok(removed.success),
            Reply::Err { error } if error.is_nothing_there() => Ok(false),
            Reply::Err { error } => Err(error.away()),
        }
    }

    async fn live(&self) -> Result<Box<dyn LiveReceiver>, BrokerError> {
        Ok(Box::new(live::subscribe(self).await?))
    }

    async fn announce_head(&self, generation: u64, sequence: u64) -> Result<(), BrokerError> {
        let head = wire::head(generation, sequence).into();
        notices::say(self, HEADS, head).await
    }

    async fn lease_acquire(&self, owner: &str) -> Result<Option<Lease>, BrokerError> {
        bucket::acquire(self, owner).await
    }

    async fn lease_renew(&self, owner: &str, lease: Lease) -> Result<Option<Lease>, BrokerError> {
        bucket::renew(self, owner, lease).await
    }

    async fn lease_release(&self, lease: Lease) -> Result<(), BrokerError> {
        bucket::release(self, lease).await
    }

    async fn value(&self, key: &str) -> Result<Option<Bytes>, BrokerError> {
        bucket::value(self, key).await
    }

    async fn set_value(&self, key: &str, value: Bytes) -> Result<(), BrokerError> {
        bucket::set_value(self, key, value).await
    }

    async fn enroll(
        &self,
        instance: &InstanceId,
        address: SocketAddr,
        term: Duration,
    ) -> Result<(), BrokerError> {
        instances::enroll(self, instance, address, term).await
    }

    async fn withdraw(&self, instance: &InstanceId) -> Result<(), BrokerError> {
        instances::withdraw(self, instance).await
    }

    async fn address_of(&self, instance: &InstanceId) -> Result<Option<SocketAddr>, BrokerError> {
        instances::address_of(self, instance).await
    }

    async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Unanswered> {
        let asked = api::request(&self.connection, subject.to_owned(), None, payload, timeout);
        asked.await.map_err(|failure| match failure {
            RequestFailure::Nobody => Unanswered::Nobody,
            RequestFailure::TooLarge | RequestFailure::Away(_) => Unanswered::Late,
        })
    }

    async fn serve(&self, subject: &str) -> Result<Box<dyn Requests>, BrokerError> {
        Ok(Box::new(requests::serve(self, subject).await?))
    }

    async fn notify(&self, subject: &str, payload: Bytes) -> Result<(), BrokerError> {
        notices::say(self, subject, payload).await
    }

    async fn notices(&self, subject: &str) -> Result<Box<dyn Notices>, BrokerError> {
        Ok(Box::new(notices::listen(self, subject).await?))
    }

    fn is_connected(&self) -> watch::Receiver<bool> {
        self.connection.is_connected()
    }
}

fn stream_info() -> String {
    format!("$JS.API.STREAM.INFO.{STREAM}")
}

/// A handle asks the server nothing.
async fn handle(jetstream: &Context, name: &str) -> Stream<()> {
    let handle = jetstream.get_stream_no_info(name).await;
    handle.expect("the names are constants that the client accepts")
}
