//! `GET /ws`: the same events and requests as Socket.IO's, as plain JSON on a WebSocket (contract.md §2).
//!
//! Called with the upgrade request and its stream; the answer written, nothing of actix stays behind, and the
//! connection is one task of the worker. What a viewer may see is the hub's affair.

mod connection;
mod message;
mod wire;

use std::rc::Rc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::{Request, h1, ws};
use actix_rt::net::TcpStream;
use actix_socketio::{Refusal, refuse, switch_protocols};
use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;

pub(crate) use self::wire::text;

use self::connection::Connection;
use super::door::{Door, bearer};
use super::open::Transport;
use crate::address::FORWARDED_FOR;
use crate::http::{SecurityHeaders, refusal};

/// Where it is served.
const PATH: &str = "/ws";

/// The bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Time from a sign of life to the next ping.
    pub ping_interval: Duration,
    /// How long a ping may stay without any answer, and a write without progress.
    pub ping_timeout: Duration,
    /// How long a connection may live without a token.
    pub auth_timeout: Duration,
    /// Bytes of one message.
    pub message_bytes_max: usize,
    /// The same before the viewer is known.
    pub unknown_message_bytes_max: usize,
    /// Bytes that may wait for one slow client.
    pub queue_bytes_max: usize,
}

impl From<&actix_socketio::Config> for Bounds {
    /// The same bounds as Socket.IO's: the settings name both.
    fn from(config: &actix_socketio::Config) -> Self {
        let message_bytes_max = config.max_payload;
        Self {
            ping_interval: config.ping_interval,
            ping_timeout: config.ping_timeout,
            auth_timeout: config.connect_timeout,
            message_bytes_max,
            unknown_message_bytes_max: config.unauthenticated_payload_max.min(message_bytes_max),
            queue_bytes_max: config.queue_bytes_max,
        }
    }
}

/// The plain WebSockets of one worker.
#[derive(Debug)]
pub struct WebSockets {
    door: Rc<Door>,
    bounds: Bounds,
    headers: SecurityHeaders,
}

impl WebSockets {
    /// A worker's plain WebSockets; refusals carry these headers.
    pub fn new(door: Rc<Door>, bounds: Bounds, headers: SecurityHeaders) -> Self {
        Self {
            door,
            bounds,
            headers,
        }
    }

    /// What each connection is held to.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Whether a request is for this endpoint.
    pub fn handles(&self, request: &Request) -> bool {
        request.path() == PATH
    }

    /// Answers the handshake and, if it is admitted, starts the connection as a task of this worker.
    ///
    /// # Errors
    /// When the answer can't be written; there is nobody left to answer then.
    pub async fn serve(
        &self,
        request: Request,
        framed: Framed<TcpStream, h1::Codec>,
    ) -> Result<(), actix_web::Error> {
        if let Some(refusal) = self.refusal(&request) {
            return refuse(framed, self.headers.on(refusal)).await;
        }
        let token = bearer(request.head().headers.get(AUTHORIZATION));
        let peer = request.peer_addr().map(|peer| peer.ip());
        let forwarded = request.head().headers.get_all(FORWARDED_FOR);
        let address = self.door.proxies.client(peer, forwarded);
        let (stream, already_read) = switch_protocols(request, framed).await?;
        let stream = Rc::new(stream);
        let open = &self.door.open;
        let pipe = open.pipe(self.bounds.queue_bytes_max, Some(stream.clone()));
        let place = open.enter(Transport::WebSocket, pipe.clone());
        let connection = Connection::new(
            self.door.clone(),
            self.bounds,
            stream,
            pipe,
            place,
            address,
            &already_read,
        );
        actix_rt::spawn(connection.run(token));
        Ok(())
    }

    /// Why a handshake is not admitted.
    fn refusal(&self, request: &Request) -> Option<Refusal> {
        let headers = &request.head().headers;
        let peer = request.peer_addr().map(|peer| peer.ip());
        if !self
            .door
            .origins
            .admits_from(peer, |name| headers.get(name))
        {
            let text = "Origin not allowed";
            return Some(refusal::of(StatusCode::FORBIDDEN, text, Some("FORBIDDEN")));
        }
        let query = request.uri().query().unwrap_or_default();
        if refusal::has_token(query) {
            let text = refusal::TOKEN_IN_URL;
            return Some(refusal::of(
                StatusCode::BAD_REQUEST,
                text,
                Some("BAD_REQUEST"),
            ));
        }
        ws::verify_handshake(request.head()).err().map(|_| {
            let text = "not a WebSocket handshake";
            refusal::of(StatusCode::BAD_REQUEST, text, Some("BAD_REQUEST"))
        })
    }
}
