//! The entrance: one `Endpoint` a worker thread. `websocket_entrance.rs` is called by actix's upgrade service with each
//! request and its stream, `http_entrance.rs` serves everything else on the endpoint's path.

mod http_entrance;
mod websocket_entrance;

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use actix_http::Request;
use actix_web::web;
use http::{HeaderMap, StatusCode, Uri, header};
use tokio::time::Duration;

pub use websocket_entrance::{refuse, switch_protocols};

use crate::{
    bare::EngineHost,
    close::Close,
    config::Config,
    connection::{Connection, Opening},
    engine, flusher,
    host::{Handshake, Host, Refusal},
    orders,
    request::{HandshakeError, Open},
    server::{Server, Slot},
    service::{EngineIo, Service, SocketIo},
    sid,
    stats::Stats,
    worker::Worker,
};

/// What is kept of a handshake, its target and its headers: as much as a client may send before it is known.
const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// The server of one worker thread. Cheap to clone within it.
///
/// When the last clone is dropped, what is open is closed with 1001.
#[derive(Clone)]
pub struct Endpoint {
    inner: Rc<Inner>,
    /// Requests come from another instance, which has looked for their session's home already.
    is_peer: bool,
}

struct Inner {
    service: Rc<dyn Service>,
    worker: Rc<Worker>,
}

impl Server {
    /// The endpoint of one more worker: of the thread that this is called on, within its `LocalSet`.
    ///
    /// # Panics
    /// Outside a `LocalSet`, or when the server has 64 workers already.
    pub fn endpoint<H: Host>(&self, host: Rc<H>) -> Endpoint {
        Endpoint::new(self, Rc::new(SocketIo(host)))
    }

    /// The same for an application of Engine.IO alone, without Socket.IO inside.
    ///
    /// # Panics
    /// As [`Server::endpoint`].
    pub fn engine_endpoint<E: EngineHost>(&self, host: Rc<E>) -> Endpoint {
        Endpoint::new(self, Rc::new(EngineIo(host)))
    }
}

impl Endpoint {
    fn new(server: &Server, service: Rc<dyn Service>) -> Self {
        let worker = Rc::new(Worker::new(server));
        worker.tasks.spawn_local(flusher::run(Rc::clone(&worker)));
        worker.tasks.spawn_local(orders::run(Rc::clone(&worker)));
        Self {
            inner: Rc::new(Inner { service, worker }),
            is_peer: false,
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        self.worker().config()
    }

    /// The same endpoint for requests that another instance has passed on: a session that does not live here is unknown,
    /// so that no request goes further than one hop.
    #[must_use]
    pub fn for_peers(&self) -> Self {
        Self {
            is_peer: true,
            ..self.clone()
        }
    }

    /// Whether a request is for this endpoint.
    pub fn handles(&self, request: &Request) -> bool {
        self.config().is_endpoint(request.path())
    }

    /// Serves the endpoint's path, for everything that is no WebSocket: `App::new().configure(endpoint.routes())`.
    /// Requests of other sites' pages need CORS around it, such as `actix-cors` with `supports_credentials`.
    pub fn routes(&self) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
        http_entrance::routes(self.clone())
    }

    /// The counters of this thread.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.worker().stats)
    }

    /// Closes every transport that is open now, yielding after every 256.
    pub async fn close_all(&self, close: Close) {
        self.worker().close_all(close, Duration::ZERO).await;
    }

    /// The same, the slices of 256 spread evenly over a duration: a drain.
    pub async fn close_all_over(&self, close: Close, over: Duration) {
        self.worker().close_all(close, over).await;
    }

    /// Waits until no transport is open.
    pub async fn closed(&self) {
        self.worker().emptied().await;
    }

    /// Closes every transport at once and lets no other in. Nothing that was asked of this worker is answered any more.
    pub fn stop(&self) {
        self.worker().stop(Close::GoingAway);
    }

    fn worker(&self) -> &Rc<Worker> {
        &self.inner.worker
    }

    /// Everything that is looked at before a new session is answered.
    fn admit(&self, mut handshake: Handshake) -> Result<(Handshake, Slot), Refusal> {
        if self.worker().is_stopped() {
            return Err(too_many());
        }
        self.inner.service.on_handshake(&handshake)?;
        let address = self.inner.service.address(&handshake);
        let place = self.worker().shared.take_place(address);
        let place = place.ok_or_else(too_many)?;
        let kept = &self.config().handshake_headers;
        let headers = handshake
            .headers
            .iter()
            .filter(|(name, _)| kept.contains(name));
        handshake.headers = headers
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if size(&handshake) > HANDSHAKE_BYTES_MAX {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Refusal::new(status, HandshakeError::BadRequest.body()));
        }
        Ok((handshake, place))
    }

    /// Begins a session: its open packet is queued, its task runs.
    fn open(&self, opening: Opening, already_read: Vec<u8>) -> Rc<Connection> {
        let upgrades: &[&str] = match opening.stream {
            Some(_) => &[],
            None => &["websocket"],
        };
        let connection = Connection::open(self.worker(), opening);
        connection.queue_control(engine::open_frame(
            connection.sid(),
            upgrades,
            self.config(),
        ));
        let service = &self.inner.service;
        service.start(Rc::clone(&connection), already_read);
        connection
    }

    /// What a refused handshake is answered with.
    fn refused(&self, mut refusal: Refusal) -> Refusal {
        self.worker().stats.on_refused();
        let more = &self.config().refusal_headers;
        refusal.headers.extend(more.iter().cloned());
        refusal
    }

    /// Where a session of this id lives.
    fn home_of(&self, sid: &str) -> Home {
        match sid::home_of(sid) {
            Some((instance, worker)) if *instance == self.config().instance => Home::Here(worker),
            Some((instance, _)) if !self.is_peer => Home::Elsewhere(instance.to_owned()),
            _ => Home::Nowhere,
        }
    }
}

enum Home {
    /// On this worker of this instance.
    Here(usize),
    /// On another instance.
    Elsewhere(String),
    Nowhere,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.worker.stop(Close::GoingAway);
    }
}

/// Bytes that are kept of a handshake.
fn size(handshake: &Handshake) -> usize {
    let target = handshake.uri.path_and_query();
    let headers = handshake.headers.iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
    target.map_or(0, |target| target.as_str().len()) + headers.sum::<usize>()
}

fn too_many() -> Refusal {
    let body = r#"{"code":4,"message":"Too many connections"}"#;
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, body)
        .with_header(header::RETRY_AFTER, header::HeaderValue::from_static("5"))
}

/// What is kept of a request. Copied, because a header of the request is a slice of its read buffer and would keep all
/// of it.
fn handshake<'a>(
    headers: impl Iterator<Item = (&'a header::HeaderName, &'a header::HeaderValue)>,
    uri: &Uri,
    peer: Option<SocketAddr>,
) -> Handshake {
    let copy = |value: &header::HeaderValue| header::HeaderValue::from_bytes(value.as_bytes());
    let headers: HeaderMap = headers
        .filter_map(|(name, value)| Some((name.clone(), copy(value).ok()?)))
        .collect();
    Handshake {
        headers,
        // A text that was a URI is one again.
        uri: uri.to_string().parse().unwrap_or_default(),
        peer,
    }
}

impl Opening {
    fn of(open: Open, handshake: Handshake, place: Slot) -> Self {
        Self {
            protocol: open.protocol,
            has_binary: open.has_binary,
            handshake,
            place,
            stream: None,
        }
    }
}
