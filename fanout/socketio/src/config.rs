//! What an operator may choose about the transport: where it listens, how long it waits, how much it holds.
//! Every bound of a connection is here or is a constant that says where its number comes from.
//! It promises defaults that official clients work with; it knows nothing of addresses, origins or users.

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};

/// The settings of one [`Server`](crate::Server), the same on every worker. In `connections_max`,
/// `connections_per_address_max`, `packets_per_second_max` and `rooms_per_socket_max` a 0 means that there is no bound.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path of the endpoint, `/socket.io/`; it is also served without its trailing slash.
    pub path: String,
    /// The namespaces that exist, each beginning with `/`. A CONNECT to any other is refused, so that they also bound
    /// the namespaces of one connection.
    pub namespaces: Vec<String>,
    /// What every session id begins with, and another instance's does not: characters that are safe in a URL, no `.`.
    pub instance: String,
    /// Whether clients of Engine.IO 3 are let in, as those of Socket.IO 2 are.
    pub allow_eio3: bool,
    /// Time from a pong (or the opening) to the next ping of the server; in Engine.IO 3, which turns them round, the time
    /// between two pings of the client.
    pub ping_interval: Duration,
    /// How long a ping may stay without its pong, and a write without progress, before the transport is closed.
    pub ping_timeout: Duration,
    /// How long a transport may live without a connected namespace: from its opening to the first CONNECT that
    /// succeeds, and again after the last namespace was left.
    pub connect_timeout: Duration,
    /// How long an upgrade to a WebSocket may take.
    pub upgrade_timeout: Duration,
    /// Engine.IO 3 puts a client into `/` without a CONNECT. If the host refuses that, the client is told after so long,
    /// unless it has connected to another namespace by then, and closed. `None`: it is told at once, as the reference
    /// server does, and stays.
    pub implicit_grace: Option<Duration>,
    /// Bytes of one message, all of its fragments together, and of the body of one POST. A larger one closes the
    /// transport with 1009.
    pub max_payload: usize,
    /// The same bound while no namespace is connected.
    pub unauthenticated_payload_max: usize,
    /// Bytes that may wait for one slow connection. One more closes that connection with 1013.
    pub queue_bytes_max: usize,
    /// Transports that are open at a time, over all workers.
    pub connections_max: usize,
    /// The same of one peer's address; an IPv6 address counts by its first 64 bits. Where a proxy stands before this
    /// server, that is the proxy's.
    pub connections_per_address_max: usize,
    /// Frames and packets of one client in a second. More close the transport with 1008.
    pub packets_per_second_max: u32,
    /// Rooms of one socket.
    pub rooms_per_socket_max: usize,
    /// The request headers that are kept as long as the connection lives. [`Host::on_handshake`](crate::Host::on_handshake)
    /// sees all of them; [`ConnectRequest`](crate::ConnectRequest) and [`Socket::handshake`](crate::Socket::handshake) see
    /// these, because a browser's full set costs more memory than the rest of a quiet connection.
    pub handshake_headers: Vec<HeaderName>,
    /// What a refused handshake is answered with beside the headers of its [`Refusal`](crate::Refusal).
    pub refusal_headers: Vec<(HeaderName, HeaderValue)>,
}

impl Default for Config {
    /// The defaults of the reference server, with the payload bounds and namespaces of this project's contract.
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            namespaces: vec!["/".to_owned(), "/discord".to_owned()],
            instance: "0".to_owned(),
            allow_eio3: false,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(10),
            upgrade_timeout: Duration::from_secs(10),
            implicit_grace: None,
            max_payload: 1_000_000,
            unauthenticated_payload_max: 16 * 1024,
            queue_bytes_max: 1024 * 1024,
            connections_max: 0,
            connections_per_address_max: 0,
            packets_per_second_max: 10_000,
            rooms_per_socket_max: 100,
            handshake_headers: vec![
                header::AUTHORIZATION,
                header::COOKIE,
                header::FORWARDED,
                header::HOST,
                header::ORIGIN,
                header::USER_AGENT,
                HeaderName::from_static("x-forwarded-for"),
                HeaderName::from_static("x-forwarded-host"),
                HeaderName::from_static("x-forwarded-proto"),
                HeaderName::from_static("x-request-id"),
            ],
            refusal_headers: Vec::new(),
        }
    }
}

impl Config {
    /// Whether a request's path is that of this endpoint.
    pub fn is_endpoint(&self, path: &str) -> bool {
        path == self.path || self.path.strip_suffix('/') == Some(path)
    }

    /// The place of a namespace in [`Config::namespaces`].
    pub(crate) fn namespace_index(&self, namespace: &str) -> Option<usize> {
        self.namespaces.iter().position(|known| known == namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_its_path_with_or_without_the_last_slash() {
        let config = Config::default();
        for (path, expected) in [
            ("/socket.io/", true),
            ("/socket.io", true),
            ("/socket.io/socket.io.js", false),
            ("/socket.iox", false),
            ("/", false),
            ("", false),
        ] {
            assert_eq!(config.is_endpoint(path), expected, "{path}");
        }
    }
}
