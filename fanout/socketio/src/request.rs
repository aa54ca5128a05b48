//! What an HTTP request on the endpoint asks for, and Engine.IO's table of errors.
//! Sources: <https://socket.io/docs/v4/engine-io-protocol/#http-long-polling> and, for the errors,
//! <https://socket.io/docs/v4/server-instance/#connection_error>. It promises the reference server's order of checks
//! and its bodies, and looks at nothing but the query and the method.

use http::{Method, StatusCode};

use crate::{config::Config, engine::Protocol, host::Refusal};

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandshakeError {
    TransportUnknown,
    SessionUnknown,
    Method,
    BadRequest,
    Protocol,
    TooBig,
}

impl HandshakeError {
    pub(crate) fn refusal(self) -> Refusal {
        Refusal::new(self.status(), self.body())
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooBig => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub(crate) fn body(self) -> &'static str {
        match self {
            Self::TransportUnknown => r#"{"code":0,"message":"Transport unknown"}"#,
            Self::SessionUnknown => r#"{"code":1,"message":"Session ID unknown"}"#,
            Self::Method => r#"{"code":2,"message":"Bad handshake method"}"#,
            Self::BadRequest | Self::TooBig => r#"{"code":3,"message":"Bad request"}"#,
            Self::Protocol => r#"{"code":5,"message":"Unsupported protocol version"}"#,
        }
    }
}

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose<'a> {
    /// A new session.
    Open(Open),
    /// The packets that wait in a session.
    Poll { sid: &'a str },
    /// Packets for a session.
    Post { sid: &'a str },
    /// A WebSocket in place of a session's polling.
    Upgrade { sid: &'a str },
}

/// How a new session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) protocol: Protocol,
    /// Whether a client of revision 3 can read bytes in a poll's answer.
    pub(crate) has_binary: bool,
}

impl<'a> Purpose<'a> {
    /// Reads a request's query.
    pub(crate) fn of(
        query: &'a str,
        method: &Method,
        is_upgrade: bool,
        config: &Config,
    ) -> Result<Self, HandshakeError> {
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(key, value)| (key == name).then_some(value))
        };
        let is_websocket = match parameter("transport") {
            Some("websocket") => true,
            Some("polling") => false,
            _ => return Err(HandshakeError::TransportUnknown),
        };
        let protocol = match parameter("EIO") {
            Some("4") => Ok(Protocol::V4),
            Some("3") if config.allow_eio3 => Ok(Protocol::V3),
            _ => Err(HandshakeError::Protocol),
        };
        if let Some(sid) = parameter("sid").filter(|sid| !sid.is_empty()) {
            return match (is_websocket, is_upgrade, method) {
                (true, true, &Method::GET) => protocol.map(|_| Self::Upgrade { sid }),
                (false, false, &Method::GET) => protocol.map(|_| Self::Poll { sid }),
                (false, false, &Method::POST) => protocol.map(|_| Self::Post { sid }),
                (false, false, _) => Err(HandshakeError::Method),
                _ => Err(HandshakeError::BadRequest),
            };
        }
        if method != Method::GET {
            return Err(HandshakeError::Method);
        }
        if is_websocket != is_upgrade {
            return Err(HandshakeError::BadRequest);
        }
        let has_binary = parameter("b64").is_none();
        protocol.map(|protocol| {
            Self::Open(Open {
                protocol,
                has_binary,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(protocol: Protocol, has_binary: bool) -> Purpose<'static> {
        Purpose::Open(Open {
            protocol,
            has_binary,
        })
    }

    fn of<'a>(
        query: &'a str,
        method: &Method,
        is_upgrade: bool,
    ) -> Result<Purpose<'a>, HandshakeError> {
        let config = Config {
            allow_eio3: true,
            ..Config::default()
        };
        Purpose::of(query, method, is_upgrade, &config)
    }

    #[test]
    fn the_query_says_what_a_request_is_for() {
        let (v4, sid) = (open(Protocol::V4, true), "a");
        for (query, is_upgrade, expected) in [
            ("EIO=4&transport=websocket", true, v4.clone()),
            ("transport=websocket&EIO=4&t=x&sid=", true, v4.clone()),
            ("EIO=4&transport=polling", false, v4),
            ("EIO=3&transport=polling", false, open(Protocol::V3, true)),
            (
                "EIO=3&transport=polling&b64=1",
                false,
                open(Protocol::V3, false),
            ),
            (
                "EIO=4&transport=polling&sid=a",
                false,
                Purpose::Poll { sid },
            ),
            (
                "EIO=4&transport=websocket&sid=a",
                true,
                Purpose::Upgrade { sid },
            ),
        ] {
            assert_eq!(of(query, &Method::GET, is_upgrade), Ok(expected), "{query}");
        }
        let post = of("EIO=4&transport=polling&sid=a", &Method::POST, false);
        assert_eq!(post, Ok(Purpose::Post { sid }));
    }

    #[test]
    fn what_is_for_nothing_is_refused_as_by_the_reference_server() {
        use HandshakeError::{BadRequest, Method as BadMethod, Protocol, TransportUnknown};
        for (query, method, is_upgrade, expected) in [
            ("", Method::GET, false, TransportUnknown),
            ("&&=&EIO", Method::GET, false, TransportUnknown),
            ("EIO=4&transport=abc", Method::GET, false, TransportUnknown),
            ("EIO=4&transport=polling", Method::POST, false, BadMethod),
            ("EIO=4&transport=polling", Method::PUT, false, BadMethod),
            (
                "EIO=4&transport=polling&sid=a",
                Method::PUT,
                false,
                BadMethod,
            ),
            ("EIO=4&transport=websocket", Method::GET, false, BadRequest),
            ("EIO=4&transport=polling", Method::GET, true, BadRequest),
            (
                "EIO=4&transport=websocket&sid=a",
                Method::GET,
                false,
                BadRequest,
            ),
            ("EIO=2&transport=websocket", Method::GET, true, Protocol),
            ("transport=websocket", Method::GET, true, Protocol),
            ("transport=polling&sid=a", Method::GET, false, Protocol),
        ] {
            assert_eq!(
                of(query, &method, is_upgrade),
                Err(expected),
                "{method} {query}"
            );
        }
        let query = "EIO=3&transport=polling";
        let seen = Purpose::of(query, &Method::GET, false, &Config::default());
        assert_eq!(seen, Err(Protocol));
    }
}
