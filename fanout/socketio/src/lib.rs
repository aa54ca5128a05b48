//! A Socket.IO server for actix-web: Engine.IO 4 and Socket.IO 5 on the raw stream of actix-http.
//!
//! actix accepts the connection and reads the handshake; its upgrade service hands the stream over to an [`Upgrade`],
//! which drops everything of actix and runs the connection as one task of that worker. The application is a [`Host`],
//! one a worker thread. An event is encoded once, as a [`Frame`]; [`Socket::send`] only queues it, and one flusher a
//! worker writes everything that is pending to a connection in one call.
//!
//! A server is composed of three things, as `examples/echo.rs` shows: an [`Upgrade`] a worker, an upgrade service that
//! calls [`Upgrade::serve`], and an application with [`routes`] for requests that are no upgrade.

mod close;
mod config;
mod connection;
mod driver;
mod engine;
mod flusher;
mod frame;
mod host;
mod http_error;
mod outbox;
mod packet;
mod sid;
mod socket;
mod stats;
mod upgrade;
mod websocket;
mod worker;

pub use close::{Close, DisconnectReason};
pub use config::Config;
pub use frame::Frame;
pub use host::{Accepted, ConnectError, ConnectRequest, Event, Handshake, Host, Recovery, Refusal};
/// The header map of the `http` version that actix is built on.
pub use http::HeaderMap;
pub use http_error::{http_answer, routes};
pub use socket::{Ack, Socket, SocketKey};
pub use stats::Stats;
pub use upgrade::{Upgrade, refuse, switch_protocols};
