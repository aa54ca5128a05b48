//! A Socket.IO server for actix-web: Engine.IO 4 and 3 with long polling and WebSockets, and Socket.IO for the clients of
//! all versions since 2, on the raw stream of actix-http.
//!
//! actix accepts a connection and reads its request. What is no WebSocket goes through the app to the routes of an
//! [`Endpoint`]; a WebSocket is handed over by the upgrade service with its stream, and everything of actix is dropped: the
//! connection is one task of its worker from then on. An event is encoded once, as a [`Frame`]; sending only queues it,
//! and one flusher a worker writes everything that is pending to a connection in one call.
//!
//! A server is composed of a [`Server`] a process and, on each worker, an [`Endpoint`], an upgrade service that calls
//! [`Endpoint::serve`], and an app with [`Endpoint::routes`]. The application is a [`Host`], one a worker thread: most
//! are made of closures, as [`Handlers`].
//!
//! ```no_run
#![doc = include_str!("../examples/chat.rs")]
//! ```

mod application;
mod bare;
mod beat;
mod close;
mod config;
mod connection;
mod drain;
mod driver;
mod endpoint;
mod engine;
mod flusher;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handlers;
mod heartbeat;
mod host;
mod namespaces;
mod orders;
mod outbox;
mod packet;
mod probe;
mod request;
mod rooms;
mod server;
mod service;
mod sid;
mod socket;
mod stats;
mod websocket;
mod worker;

pub use bare::{EngineHost, EngineSession};
/// When broadcasts are written, also for whoever serves a plain WebSocket or a stream beside Socket.IO.
pub use beat::Beat;
pub use close::{Close, DisconnectReason};
pub use config::Config;
pub use drain::drain;
pub use endpoint::{Endpoint, refuse, switch_protocols};
pub use engine::{Message, Protocol};
pub use frame::Frame;
pub use handlers::{Client, Coming, Handlers, Namespace};
pub use host::{
    Accepted, ConnectError, ConnectRequest, Event, Forward, Handshake, Host, Recovery, Refusal,
    Reply, Splice,
};
/// The header map of the `http` version that actix is built on.
pub use http::HeaderMap;
pub use outbox::{Outbox, Written};
pub use server::{Congested, Server};
pub use socket::{Ack, Socket, SocketKey, TooManyRooms, Unanswered};
pub use stats::Stats;
