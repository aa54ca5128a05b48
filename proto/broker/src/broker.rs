//! What a broker promises, whichever home it has.
//!
//! * A publication is acknowledged once it is stored. One identity is stored once within the duplicate
//!   window, and stored events are numbered 1, 2, 3, … over all subjects: the stream's total order.
//! * A publication with a stale expectation of its subject's last sequence is refused: that keeps order over
//!   retries and fences off an old leader.
//! * The live feed repeats what was stored, in the stream's order, at most once. It may leave events out
//!   (a lost connection, a slow reader): whoever follows it compares numbers and reads holes with [`Broker::read`].
//! * Everything here may fail or take as long as its documented bound; nothing is retried inside.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use proto::{InstanceId, Subject, TraceParent};
use tokio::sync::watch;

/// An event to be stored.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Where it goes; order is kept within a subject.
    pub subject: Subject,
    /// What makes it the same event when it comes again (`Nats-Msg-Id`).
    pub identity: String,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
    /// The encoded envelope.
    pub payload: Bytes,
}

/// An event as the stream holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its number in the stream's total order, from 1.
    pub sequence: u64,
    /// Where it was published.
    pub subject: Subject,
    /// What makes it the same event when it comes again.
    pub identity: String,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
    /// The encoded envelope.
    pub payload: Bytes,
}

/// The stream's numbers, as its leader knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamState {
    /// A hash of the stream's creation: another generation is another numbering.
    pub generation: u64,
    /// The first sequence that is still held; `last + 1` in an empty stream.
    pub first: u64,
    /// The last sequence that was given; 0 in a new stream.
    pub last: u64,
}

/// What the live feed yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveItem {
    /// A stored event.
    Event(Stored),
    /// The leader says that the stream has this sequence by now (generation, sequence).
    Head(u64, u64),
    /// Events may have been left out: a reconnection, a full buffer, a new leader of the stream. The reader
    /// catches up to the stream's last sequence.
    Disturbed(&'static str),
}

/// What answers a read of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Any replica: cheap, and possibly behind.
    Any,
    /// The stream's leader: the truth, one event a request where the server offers no more.
    Leader,
}

/// One answer to [`Broker::read`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catchup {
    /// Events in order, within the asked subjects.
    pub events: Vec<Stored>,
    /// Everything asked for up to this sequence is in `events`, or does not exist for whoever answered.
    pub complete_to: u64,
}

/// How a stored event is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// Nobody reads it any more; its bytes go when the disk has use for them.
    Forget,
    /// Its bytes are overwritten as well.
    Overwrite,
}

/// The lease, held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The revision that a renewal must meet.
    pub revision: u64,
}

/// Why a publication was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The subject's last sequence is another one: read it and decide.
    #[error("the subject's last sequence is not the expected one")]
    Expectation,
    /// The broker will never take it (too large, malformed).
    #[error("the broker refuses the event for good: {0}")]
    Refused(String),
    /// Nobody knows whether it was stored: try again with the same identity.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

/// Why a call failed; always worth another try.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The broker is away or did not answer in time.
    #[error("the broker is away: {0}")]
    Away(String),
    /// Its answer made no sense.
    #[error("the broker's answer is malformed: {0}")]
    Malformed(String),
    /// The broker is there and knows nothing of the stream, or of what is kept beside it: it has lost them, or they
    /// were removed. Until they are provisioned anew no call succeeds.
    #[error("the broker has no stream")]
    Missing,
}

/// Why a request had no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// Nobody serves the subject.
    #[error("nobody answers")]
    Nobody,
    /// No answer in time, or the broker is away.
    #[error("no answer in time")]
    Late,
}

/// The live feed of one reader.
#[async_trait]
pub trait LiveReceiver: Send {
    /// The next item; `None` once the broker is closed. Cancel-safe.
    async fn next(&mut self) -> Option<LiveItem>;
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Answer {
    /// What was asked.
    pub payload: Bytes,
    /// Where the answer goes; dropping it answers nothing.
    pub reply: tokio::sync::oneshot::Sender<Bytes>,
}

/// The requests of one subject.
#[async_trait]
pub trait Requests: Send {
    /// The next request; `None` once the broker is closed. Cancel-safe.
    async fn next(&mut self) -> Option<Answer>;
}

/// Something said to whoever listens now, and never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Where it was said.
    pub subject: String,
    /// What was said.
    pub payload: Bytes,
}

/// The notices of one listener, its own among them. A listener that is too slow, or cut off, misses some
/// without a word: whoever says something that must hold says it again.
#[async_trait]
pub trait Notices: Send {
    /// The next notice; `None` once the broker is closed. Cancel-safe.
    async fn next(&mut self) -> Option<Notice>;
}

/// One home of the stream. Cheap to share; every call is cancel-safe in that a cancelled call may or may not
/// have happened.
#[async_trait]
pub trait Broker: Send + Sync + std::fmt::Debug + 'static {
    /// Makes the stream, its settings and the buckets, or checks them. The writer's first call.
    async fn provision(&self, settings: &StreamSettings) -> Result<StreamState, BrokerError>;

    /// The stream's numbers, from its leader; [`BrokerError::Missing`] where there is none.
    async fn state(&self) -> Result<StreamState, BrokerError>;

    /// Stores an event if its subject's last sequence is `expected` (0: none). Returns its sequence; for an
    /// identity that is stored already, the one that it has (with a stale expectation either answer may
    /// come). Bounded by 5 s, then [`PublishError::Unknown`].
    async fn publish(&self, publication: &Publication, expected: u64) -> Result<u64, PublishError>;

    /// The last event of a subject, from the stream's leader.
    async fn last_of(&self, subject: Subject) -> Result<Option<Stored>, BrokerError>;

    /// Events from sequence `from` on, of one subject or of all, at most about `events_max` of them and
    /// 4 MiB. Bounded by 2 s.
    async fn read(
        &self,
        from: u64,
        subject: Option<Subject>,
        events_max: usize,
        freshness: Freshness,
    ) -> Result<Catchup, BrokerError>;

    /// Removes a stored event; false if it is not there (any more). Its number is not given again, and a read passes
    /// over it as over one that never was. Its subject's last sequence is then that of the event before. Bounded by
    /// 2 s.
    async fn remove(&self, sequence: u64, erasure: Erasure) -> Result<bool, BrokerError>;

    /// Follows the live feed from now on. When this returns, the subscription stands: what is stored later comes.
    async fn live(&self) -> Result<Box<dyn LiveReceiver>, BrokerError>;

    /// Tells all live feeds what they should have by now.
    async fn announce_head(&self, generation: u64, sequence: u64) -> Result<(), BrokerError>;

    /// Takes the lease if it is free, or this owner's own: a renewal whose answer was lost. Exclusive; ends by itself [`LEASE_TTL`] after the last renewal.
    async fn lease_acquire(&self, owner: &str) -> Result<Option<Lease>, BrokerError>;

    /// Renews the lease; `None` if another has it or it has ended. This and [`Self::lease_acquire`] fail with
    /// [`BrokerError::Missing`] where there is nothing that could hold a lease.
    async fn lease_renew(&self, owner: &str, lease: Lease) -> Result<Option<Lease>, BrokerError>;

    /// Gives the lease back.
    async fn lease_release(&self, lease: Lease) -> Result<(), BrokerError>;

    /// A small value that outlives the process (the gateway's session).
    async fn value(&self, key: &str) -> Result<Option<Bytes>, BrokerError>;

    /// Replaces such a value.
    async fn set_value(&self, key: &str, value: Bytes) -> Result<(), BrokerError>;

    /// Tells the other instances at which address this one is, for `term` from now on: whole seconds, one at the
    /// least. A later call takes the place of an earlier one. Bounded by 2 s.
    async fn enroll(
        &self,
        instance: &InstanceId,
        address: SocketAddr,
        term: Duration,
    ) -> Result<(), BrokerError>;

    /// Forgets where an instance is; nothing if nobody knows. Bounded by 2 s.
    async fn withdraw(&self, instance: &InstanceId) -> Result<(), BrokerError>;

    /// Where an instance is; `None` if it never enrolled, has withdrawn, or its term has ended. What was enrolled
    /// before the call is found. Bounded by 2 s.
    async fn address_of(&self, instance: &InstanceId) -> Result<Option<SocketAddr>, BrokerError>;

    /// Asks whoever serves this subject.
    async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Unanswered>;

    /// Serves a subject of requests, until the receiver is dropped.
    async fn serve(&self, subject: &str) -> Result<Box<dyn Requests>, BrokerError>;

    /// Says something to whoever listens now, at most once.
    async fn notify(&self, subject: &str, payload: Bytes) -> Result<(), BrokerError>;

    /// Listens to a subject, or to all below it (`ephemeral.discord.v1.>`), until the receiver is dropped. When
    /// this returns, the subscription stands.
    async fn notices(&self, subject: &str) -> Result<Box<dyn Notices>, BrokerError>;

    /// Whether the broker is connected now.
    fn is_connected(&self) -> watch::Receiver<bool>;
}

/// How long the lease outlives its last renewal. The holder stops publishing before, at its own deadline
/// of 3 s, and renews every second (decisions.md, the lease).
pub const LEASE_TTL: Duration = Duration::from_secs(4);

/// How the stream keeps events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSettings {
    /// Events older than this are dropped (`STREAM_MAX_AGE`).
    pub age_max: Duration,
    /// Beyond this many bytes the oldest are dropped.
    pub bytes_max: u64,
    /// For how long an identity is remembered (`STREAM_DUPLICATE_WINDOW`).
    pub duplicate_window: Duration,
    /// Copies on a cluster.
    pub replicas: usize,
}
