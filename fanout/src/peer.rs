//! The other instances: a request whose session lives on one of them is passed on to it (decisions.md, "Polling on any
//! instance").
//!
//! A session's id begins with its instance's name; the broker knows the address; a preface tells whose bytes come. It
//! promises one hop at most, 2 s at most until an instance is reached, and that a request which its client gives up is
//! given up there too. It knows nothing of what the sessions say.

mod enrolment;
mod link;
mod outcome;
mod port;
mod preface;
mod settings;
mod splice;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::Request;
use actix_web::dev::RequestHead;
use actix_web::{HttpRequest, HttpResponse};
use broker::Broker;
use bytes::Bytes;
use moka::future::Cache;
use proto::InstanceId;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use self::enrolment::Enrolment;
use self::outcome::{Counts, Outcome};
pub use self::port::FromPeer;
pub(crate) use self::port::Port;
pub use self::settings::PeerSettings;
pub use self::splice::Splice;

/// Until an instance is found, connected and prefaced (decisions.md: slower is gone).
const REACH_PATIENCE: Duration = Duration::from_secs(2);

/// The broker's part of that, so that there is time left to connect.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(1);

/// An instance never moves: this is how long one that has gone is still tried. Those of a large deployment fit.
const KNOWN_FOR: Duration = Duration::from_secs(10);
const KNOWN_MAX: u64 = 1_024;

/// How long an address is good while the broker does not answer: an outage of it ends no session.
const REMEMBERED_FOR: Duration = Duration::from_mins(10);

/// Bodies of requests that are passed on, all together: 64 MiB. Who finds no room begins a new session.
const BODIES_KIB_MAX: usize = 64 * 1024;

/// Look-ups on their way to the broker; those beyond wait, and are gone by [`LOOKUP_PATIENCE`].
const LOOKUPS_MAX: usize = 64;

/// Splices at the same time, of two descriptors each: as many as viewers have room on an instance. Beyond them a
/// client's probe fails, and it goes on polling.
const SPLICES_MAX: usize = 16_384;

/// What is on its way and not acknowledged for so long ends a connection: the request of a poll, and what a spliced
/// client sends (as on the public port).
const ASK_STALL_MAX: Duration = Duration::from_secs(2);
const SPLICE_STALL_MAX: Duration = Duration::from_mins(1);

/// Beyond a session's own time limit, which ends every poll.
const ANSWER_SLACK: Duration = Duration::from_secs(5);

/// Why a request was not passed on. To the client all are one: 400 `{"code":1,"message":"Session ID unknown"}`, and it
/// begins a new session.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// No instance has this name, or the broker does not say in time.
    #[error("the instance is unknown")]
    Unknown,
    /// It is not there, or not within 2 s.
    #[error("the instance is not reached")]
    Unreachable(#[source] io::Error),
    /// It was reached, and the connection broke.
    #[error("the instance broke the connection off")]
    Broken(#[source] hyper::Error),
    /// It was reached, and gave no answer for longer than any poll takes.
    #[error("the instance gave no answer")]
    Silent,
    /// Too many upgrades are spliced already.
    #[error("too many splices")]
    Crowded,
    /// The request came from a peer.
    #[error("the request was passed on before")]
    SecondHop,
}

impl PeerError {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown => Outcome::Unknown,
            Self::Unreachable(_) => Outcome::Unreachable,
            Self::Broken(_) | Self::Silent => Outcome::Unanswered,
            Self::Crowded => Outcome::Crowded,
            Self::SecondHop => Outcome::SecondHop,
        }
    }
}

/// A request as it came in, of which everything is passed on but what concerns its connection.
#[derive(Clone, Copy)]
pub struct Arrived<'r> {
    head: &'r RequestHead,
    is_from_peer: bool,
}

impl<'r> Arrived<'r> {
    /// A plain request.
    pub fn request(request: &'r HttpRequest) -> Self {
        Self {
            head: request.head(),
            is_from_peer: request.conn_data::<FromPeer>().is_some(),
        }
    }

    /// A request to upgrade.
    pub fn upgrade(request: &'r Request) -> Self {
        Self {
            head: request.head(),
            is_from_peer: request.conn_data::<FromPeer>().is_some(),
        }
    }
}

/// The instances beside this one. Clones share it.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    instance: InstanceId,
    /// None where this instance is alone.
    broker: Option<Arc<dyn Broker>>,
    known: Cache<InstanceId, SocketAddr>,
    /// The same for longer, for when the broker does not say.
    remembered: Cache<InstanceId, SocketAddr>,
    /// Room for bodies that are on their way, in KiB.
    bodies: Arc<Semaphore>,
    lookups: Semaphore,
    splices: Arc<Semaphore>,
    answer_max: Duration,
    drain: CancellationToken,
    over: Duration,
    counts: Arc<Counts>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No addresses.
        f.debug_tuple("Peers").field(&self.0.instance).finish()
    }
}

/// How long things take with the sessions of the instances, which are all set alike.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For so long a poll may stay unanswered: the interval and the time limit of a session's pings.
    pub poll: Duration,
    /// Over so long splices end when this instance drains.
    pub drain: Duration,
}

impl Peers {
    /// The instances that tell this broker where they are; none without one. Splices end after `drain` is cancelled.
    pub fn new(broker: Option<Arc<dyn Broker>>, bounds: Bounds, drain: CancellationToken) -> Self {
        let known = Cache::builder().max_capacity(KNOWN_MAX);
        let remembered = Cache::builder().max_capacity(KNOWN_MAX);
        Self(Arc::new(Inner {
            instance: InstanceId::from_bits(rand::random()),
            broker,
            known: known.time_to_live(KNOWN_FOR).build(),
            remembered: remembered.time_to_live(REMEMBERED_FOR).build(),
            bodies: Arc::new(Semaphore::new(BODIES_KIB_MAX)),
            lookups: Semaphore::new(LOOKUPS_MAX),
            splices: Arc::new(Semaphore::new(SPLICES_MAX)),
            answer_max: bounds.poll + ANSWER_SLACK,
            drain,
            over: bounds.drain,
            counts: Arc::default(),
        }))
    }

    /// This instance's name: 8 characters of base64url with which the ids of its sessions begin.
    pub fn instance(&self) -> &str {
        self.0.instance.as_str()
    }

    /// Room for the body of a request that is to be passed on to the instance of this name, as long as it is held.
    ///
    /// # Errors
    /// Nobody knows the instance, the request has come from a peer, or there is no room.
    pub async fn room_for(
        &self,
        instance: &str,
        arrived: &Arrived<'_>,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, PeerError> {
        let tally = self.0.counts.begin();
        let found = self.0.room_for(instance, arrived, bytes).await;
        match &found {
            Ok(_) => tally.forget(),
            Err(error) => tally.end(error.outcome()),
        }
        found
    }

    /// Passes a request on to the instance of this name, and gives its answer back, whose body comes as it is taken. A
    /// poll may wait for it; whoever drops this, or the answer, gives the request up there too. The caller has read
    /// the body within its own limit. There is no limit on how many are passed on but that of this instance's own
    /// connections.
    ///
    /// # Errors
    /// There is no answer to be had.
    pub async fn forward(
        &self,
        instance: &str,
        arrived: Arrived<'_>,
        body: Bytes,
    ) -> Result<HttpResponse, PeerError> {
        let tally = self.0.counts.begin();
        let outcome = self.0.ask(instance, arrived, body).await;
        tally.end(
            outcome
                .as_ref()
                .map_or_else(PeerError::outcome, |_| Outcome::Answered),
        );
        outcome
    }

    /// Hands an upgrade to the instance of this name, which from now on answers in this one's place: nothing of the
    /// client's stream has been touched yet when this fails.
    ///
    /// # Errors
    /// The instance is not reached, or too many splices are open.
    pub async fn reach(&self, instance: &str, arrived: Arrived<'_>) -> Result<Splice, PeerError> {
        let tally = self.0.counts.begin();
        let outcome = self.0.splice(instance, arrived).await;
        tally.end(
            outcome
                .as_ref()
                .map_or_else(PeerError::outcome, |_| Outcome::Spliced),
        );
        outcome
    }

    /// Splices that are open.
    pub fn splices(&self) -> usize {
        SPLICES_MAX - self.0.splices.available_permits()
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Where the workers listen to the others, and what tells the others so; `stop` is cancelled when no session is
    /// left. None where this instance is alone.
    pub(crate) fn join(
        &self,
        listener: TcpListener,
        settings: &PeerSettings,
        stop: &CancellationToken,
    ) -> io::Result<Option<(Port, Enrolment)>> {
        let Some(broker) = self.0.broker.clone() else {
            return Ok(None);
        };
        let enrolment = Enrolment {
            broker,
            instance: self.0.instance.clone(),
            listening: listener.local_addr()?,
            brokers: settings.brokers.clone(),
            counts: self.0.counts.clone(),
            stop: stop.clone(),
        };
        let port = Port {
            listener: Arc::new(listener),
            counts: self.0.counts.clone(),
            stop: stop.clone(),
        };
        Ok(Some((port, enrolment)))
    }
}

impl Inner {
    async fn room_for(
        &self,
        instance: &str,
        arrived: &Arrived<'_>,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, PeerError> {
        if arrived.is_from_peer {
            return Err(PeerError::SecondHop);
        }
        let instance = instance.parse().map_err(|_| PeerError::Unknown)?;
        self.address_of(&instance).await.ok_or(PeerError::Unknown)?;
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let room = self.bodies.clone().try_acquire_many_owned(kib);
        room.map_err(|_| PeerError::Crowded)
    }

    async fn ask(
        &self,
        instance: &str,
        arrived: Arrived<'_>,
        body: Bytes,
    ) -> Result<HttpResponse, PeerError> {
        let malformed = |error| PeerError::Unreachable(io::Error::other(error));
        let request = link::request(arrived.head, body).map_err(malformed)?;
        let stream = self
            .connected(instance, arrived, ASK_STALL_MAX, &[])
            .await?;
        let answer = timeout(self.answer_max, link::ask(stream, request)).await;
        let answer = answer.map_err(|_| PeerError::Silent)?;
        answer.map_err(PeerError::Broken)
    }

    async fn splice(&self, instance: &str, arrived: Arrived<'_>) -> Result<Splice, PeerError> {
        let place = self.splices.clone().try_acquire_owned();
        let place = place.map_err(|_| PeerError::Crowded)?;
        let head = link::head(arrived.head);
        let peer = self
            .connected(instance, arrived, SPLICE_STALL_MAX, &head)
            .await?;
        Ok(Splice {
            peer,
            place,
            drain: self.drain.clone(),
            over: self.over,
        })
    }

    /// A connection to an instance that has the preface and these bytes, within [`REACH_PATIENCE`].
    async fn connected(
        &self,
        instance: &str,
        arrived: Arrived<'_>,
        stall_max: Duration,
        first: &[u8],
    ) -> Result<TcpStream, PeerError> {
        if arrived.is_from_peer {
            return Err(PeerError::SecondHop);
        }
        let instance = instance.parse().map_err(|_| PeerError::Unknown)?;
        let reaching = async {
            let address = self.address_of(&instance).await.ok_or(PeerError::Unknown)?;
            let connecting = async {
                let client = arrived.head.peer_addr;
                let mut stream = link::connect(address, client, stall_max).await?;
                stream.write_all(first).await?;
                Ok(stream)
            };
            connecting.await.map_err(PeerError::Unreachable)
        };
        let reached = timeout(REACH_PATIENCE, reaching).await;
        let reached = reached.unwrap_or_else(|late| Err(PeerError::Unreachable(late.into())));
        if matches!(reached, Err(PeerError::Unreachable(_))) {
            self.known.invalidate(&instance).await;
            self.remembered.invalidate(&instance).await;
        }
        reached
    }

    /// Where an instance is, asked of the broker once for all who want to know.
    async fn address_of(&self, instance: &InstanceId) -> Option<SocketAddr> {
        let broker = self.broker.as_ref()?;
        let asking = async {
            let _turn = self.lookups.acquire().await.ok()?;
            match broker.address_of(instance).await {
                Ok(found) => found.map(Ok),
                Err(error) => Some(Err(error)),
            }
        };
        let asking = async {
            let told = asking.await?.inspect_err(|error| {
                tracing::debug!(%error, "the broker does not say where an instance is");
            });
            match told {
                Ok(address) => {
                    self.remembered.insert(instance.clone(), address).await;
                    Some(address)
                }
                Err(_) => self.remembered.get(instance).await,
            }
        };
        let asking = self.known.optionally_get_with_by_ref(instance, asking);
        match timeout(LOOKUP_PATIENCE, asking).await {
            Ok(found) => found,
            Err(_) => self.remembered.get(instance).await,
        }
    }
}
