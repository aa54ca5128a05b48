//! The application's side of the transport: the trait that it implements and what it is given and gives back.
//! It promises that a host is called on its own worker thread alone, never from inside a call on a socket, and is
//! told of each connected socket's end exactly once. What a token, a user or an event means is the host's affair.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use actix_codec::Framed;
use actix_http::{Request, h1};
use actix_rt::net::TcpStream;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::future::{FutureExt, LocalBoxFuture, ready};
use http::{HeaderMap, StatusCode, Uri, header::HeaderName, header::HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::{close::DisconnectReason, engine::Protocol, socket::Ack, socket::Socket};

/// The application on one worker thread. Its methods must not block.
///
/// No method is called from inside a call on a [`Socket`], so a host may hold a borrow of its own state while it
/// sends, disconnects or closes. A method that panics closes the transport that it was called for, and no other.
pub trait Host: 'static {
    /// What [`Host::connect`] learned and [`Host::on_connected`] takes over: the user, a place in a room.
    type Session: 'static;

    /// Looks at a handshake (origin, address, limits) before it is answered, and at that of an upgrade.
    ///
    /// # Errors
    /// The HTTP answer that the client gets in place of the upgrade.
    fn on_handshake(&self, handshake: &Handshake) -> Result<(), Refusal>;

    /// The address on whose account the connection counts
    /// ([`Config::connections_per_address_max`](crate::Config::connections_per_address_max)), `None` if on none: the peer's,
    /// unless a host behind a proxy knows better.
    fn address(&self, handshake: &Handshake) -> Option<IpAddr> {
        handshake.peer.map(|peer| peer.ip())
    }

    /// Authenticates one CONNECT. The future is dropped when the client leaves or
    /// [`Config::connect_timeout`](crate::Config::connect_timeout) ends first.
    ///
    /// # Errors
    /// What the client gets as `CONNECT_ERROR`; the transport stays open.
    fn connect(
        self: Rc<Self>,
        request: ConnectRequest,
    ) -> LocalBoxFuture<'static, Result<Accepted<Self::Session>, ConnectError>>;

    /// A namespace is connected: its CONNECT answer is queued, and what is sent here follows it.
    fn on_connected(&self, socket: &Socket, session: Self::Session);

    /// The client emitted an event.
    fn on_event(&self, socket: &Socket, event: Event);

    /// A connected socket has ended: exactly once for each [`Host::on_connected`], except where the runtime itself
    /// is dropped with connections open.
    fn on_disconnected(&self, socket: &Socket, reason: DisconnectReason);

    /// A request of long polling for a session of another instance: its answer, or `None` where that instance is gone or
    /// nobody knows it. The future is dropped when the client gives up.
    fn forward(self: Rc<Self>, _request: Forward) -> LocalBoxFuture<'static, Option<HttpResponse>> {
        ready(None).boxed_local()
    }

    /// A WebSocket for a session of another instance: spliced to it, or given back where that instance is gone or nobody
    /// knows it.
    fn splice(self: Rc<Self>, request: Splice) -> LocalBoxFuture<'static, Result<(), Splice>> {
        ready(Err(request)).boxed_local()
    }
}

/// A request of long polling for a session of another instance.
pub struct Forward {
    /// The instance, as in its [`Config::instance`](crate::Config::instance).
    pub instance: String,
    /// The request.
    pub request: HttpRequest,
    /// Its body, of which nothing was read.
    pub body: web::Payload,
}

impl fmt::Debug for Forward {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Forward")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// A WebSocket handshake for a session of another instance, which nobody has answered yet.
pub struct Splice {
    /// The instance, as in its [`Config::instance`](crate::Config::instance).
    pub instance: String,
    /// The request.
    pub request: Request,
    /// Its stream.
    pub framed: Framed<TcpStream, h1::Codec>,
}

impl fmt::Debug for Splice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Splice")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// The HTTP request that opened a transport.
#[derive(Clone)]
pub struct Handshake {
    /// Its headers; all of them in [`Host::on_handshake`], later those of
    /// [`Config::handshake_headers`](crate::Config::handshake_headers).
    pub headers: HeaderMap,
    /// Its path and query.
    pub uri: Uri,
    /// The other end of the TCP connection, which may be a proxy.
    pub peer: Option<SocketAddr>,
}

/// The names of the headers alone: tokens, cookies and addresses have no place in a log.
impl fmt::Debug for Handshake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        out.debug_struct("Handshake")
            .field("path", &self.uri.path())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// One CONNECT packet of a client.
pub struct ConnectRequest {
    /// The namespace, one of [`Config::namespaces`](crate::Config::namespaces).
    pub namespace: String,
    /// The id that the socket will have unless [`Accepted::id`] gives it another.
    pub id: String,
    /// The revision of Engine.IO that the client speaks.
    pub protocol: Protocol,
    /// The client did not ask: Engine.IO 3 puts it into `/` by itself.
    pub is_implicit: bool,
    /// What followed a `?` in the packet's namespace, as clients of version 2 send it; still percent-encoded.
    pub query: Option<String>,
    /// The payload, a JSON object: what clients call `auth`.
    pub auth: Option<Box<RawValue>>,
    /// The session that the client would like to go on with.
    pub recovery: Option<Recovery>,
    /// The request that opened the transport.
    pub handshake: Rc<Handshake>,
}

/// Whether there is a payload, not what it says: it is a secret.
impl fmt::Debug for ConnectRequest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ConnectRequest")
            .field("namespace", &self.namespace)
            .field("has_query", &self.query.is_some())
            .field("has_auth", &self.auth.is_some())
            .finish_non_exhaustive()
    }
}

/// What a client remembers of a connection that was interrupted.
/// <https://socket.io/docs/v4/connection-state-recovery>
#[derive(Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The private id that it was given.
    pub pid: String,
    /// The last argument of the last event that it got, if that was a text.
    pub offset: Option<String>,
}

impl Recovery {
    /// Reads it from the payload of a CONNECT.
    pub(crate) fn of(payload: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields {
            pid: Option<Value>,
            offset: Option<Value>,
        }
        let fields: Fields = serde_json::from_str(payload.get()).ok()?;
        let text = |value| match value {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        Some(Self {
            pid: text(fields.pid)?,
            offset: text(fields.offset),
        })
    }
}

/// Not the private id: whoever has it may take the session over.
impl fmt::Debug for Recovery {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Recovery")
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// A CONNECT that the host admits.
///
/// A connection is recovered where `pid` is the one that the client came with: the host then also restores the socket's
/// former `id`, and sends what the client has missed with [`Socket::replay`] before anything else.
#[derive(Debug)]
pub struct Accepted<S> {
    /// Handed to [`Host::on_connected`].
    pub session: S,
    /// The private id of connection state recovery, sent to the client beside the socket's id.
    pub pid: Option<String>,
    /// The socket's former id; `None`: the new one of [`ConnectRequest::id`].
    pub id: Option<String>,
}

impl<S> Accepted<S> {
    /// Admits without recovery.
    pub fn new(session: S) -> Self {
        Self {
            session,
            pid: None,
            id: None,
        }
    }
}

/// A CONNECT that the host refuses: the client's `connect_error`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    /// The error's message.
    pub message: String,
    /// The error's `data`, if any.
    pub data: Option<Box<RawValue>>,
}

impl ConnectError {
    /// A refusal of only a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            data: None,
        }
    }

    /// Adds the error's `data`; a value that has no JSON form is left out.
    #[must_use]
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::value::to_raw_value(data).ok();
        self
    }
}

/// The HTTP answer to a handshake that is not admitted.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Its status.
    pub status: StatusCode,
    /// Its headers beside `Content-Type: application/json` and the length.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body, JSON.
    pub body: String,
}

impl Refusal {
    /// An answer of a status and a JSON text.
    pub fn new(status: StatusCode, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "handshake refused with {}", self.status)
    }
}

impl std::error::Error for Refusal {}

/// An event that a client emitted.
pub struct Event {
    /// Its name, the first element of the packet's array.
    pub name: String,
    /// The other elements. In them `{"_placeholder":true,"num":N}` stands for an attachment.
    pub args: Vec<Box<RawValue>>,
    /// The attachments, by their number.
    pub attachments: Vec<Bytes>,
    /// Where the client asked for an acknowledgement.
    pub ack: Option<Ack>,
}

/// What a client answers to a question.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The arguments, as in [`Event::args`].
    pub args: Vec<Box<RawValue>>,
    /// The attachments, by their number.
    pub attachments: Vec<Bytes>,
}

/// The name and the number of arguments: what a user says has no place in a log.
impl fmt::Debug for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Event")
            .field("name", &self.name)
            .field("args", &self.args.len())
            .field("has_ack", &self.ack.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_shows_in_a_log() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer hidden"));
        let handshake = Rc::new(Handshake {
            headers,
            uri: Uri::from_static("/socket.io/?token=hidden"),
            peer: None,
        });
        let request = ConnectRequest {
            namespace: "/".to_owned(),
            id: "id".to_owned(),
            protocol: Protocol::V4,
            is_implicit: false,
            query: Some("token=hidden".to_owned()),
            auth: serde_json::value::to_raw_value("hidden").ok(),
            recovery: Some(Recovery {
                pid: "hidden".to_owned(),
                offset: None,
            }),
            handshake: Rc::clone(&handshake),
        };
        let event = Event {
            name: "refresh_token".to_owned(),
            args: vec![serde_json::value::to_raw_value("hidden").expect("a text has a JSON form")],
            attachments: Vec::new(),
            ack: None,
        };
        let log = format!("{handshake:?} {request:?} {event:?} {:?}", request.recovery);
        assert!(
            log.contains("authorization") && log.contains("refresh_token"),
            "{log}"
        );
        assert!(!log.contains("hidden"), "{log}");
    }

    #[test]
    fn a_recovery_is_a_private_id_and_perhaps_an_offset() {
        let read = |json: &str| {
            let payload: Box<RawValue> = serde_json::from_str(json).expect("test input is JSON");
            Recovery::of(&payload).map(|recovery| (recovery.pid, recovery.offset))
        };
        let (pid, offset) = ("p".to_owned(), Some("1".to_owned()));
        assert_eq!(
            read(r#"{"token":"t","pid":"p","offset":"1"}"#),
            Some((pid.clone(), offset))
        );
        assert_eq!(read(r#"{"pid":"p"}"#), Some((pid.clone(), None)));
        assert_eq!(read(r#"{"pid":"p","offset":1}"#), Some((pid, None)));
        for none in ["{}", r#"{"pid":1,"offset":"1"}"#, r#"{"offset":"1"}"#] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
