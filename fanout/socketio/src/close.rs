//! Why a transport or a socket ends: one table of WebSocket close codes and one of reasons for the host.
//! It promises that each reason has one short label for a metric, and that what goes over the wire is said here alone.

use crate::{engine::payload::Malformed, websocket::Violation};

/// The close codes that this server sends (RFC 6455 §7.4.1 and the IANA registry of close codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Close {
    /// 1000: everything is said.
    Normal,
    /// 1001: this instance is going away; come back to another one.
    GoingAway,
    /// 1002: the peer broke the WebSocket, Engine.IO or Socket.IO protocol.
    ProtocolError,
    /// 1003: this kind of message is not supported.
    Unsupported,
    /// 1007: a text message that is not UTF-8.
    InvalidText,
    /// 1008: against the rules of this server.
    Policy,
    /// 1009: a message over the limit.
    TooBig,
    /// 1011: this server failed.
    InternalError,
    /// 1013: too slow, or over a limit for now; come back later.
    TooSlow,
}

impl Close {
    /// The code on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::ProtocolError => 1002,
            Self::Unsupported => 1003,
            Self::InvalidText => 1007,
            Self::Policy => 1008,
            Self::TooBig => 1009,
            Self::InternalError => 1011,
            Self::TooSlow => 1013,
        }
    }
}

/// Why a connected socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisconnectReason {
    /// The client sent DISCONNECT for this namespace.
    ClientLeft,
    /// [`Socket::disconnect`](crate::Socket::disconnect).
    ServerLeft,
    /// [`Socket::close`](crate::Socket::close) or [`Endpoint::close_all`](crate::Endpoint::close_all).
    Closed(Close),
    /// The client closed the transport.
    TransportClosed,
    /// Reading or writing failed.
    TransportError,
    /// A ping stayed without its pong.
    PingTimeout,
    /// Too much was waiting for this client, or it took nothing for [`Config::ping_timeout`](crate::Config::ping_timeout).
    TooSlow,
    /// A message was over the limit.
    TooBig,
    /// The client broke a protocol: invalid frame, packet, text or order of packets.
    ProtocolError,
    /// The client sent more packets than [`Config::packets_per_second_max`](crate::Config::packets_per_second_max).
    Flood,
    /// No namespace was connected in time.
    ConnectTimeout,
    /// The host panicked in one of its methods.
    HostPanicked,
}

impl DisconnectReason {
    /// A short word for a metric's label or a log.
    pub fn label(self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::ServerLeft => "server_left",
            Self::Closed(_) => "closed",
            Self::TransportClosed => "transport_closed",
            Self::TransportError => "transport_error",
            Self::PingTimeout => "ping_timeout",
            Self::TooSlow => "slow",
            Self::TooBig => "too_big",
            Self::ProtocolError => "protocol_error",
            Self::Flood => "flood",
            Self::ConnectTimeout => "connect_timeout",
            Self::HostPanicked => "host_panicked",
        }
    }
}

/// The end of a transport: what the host is told, and what the peer is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) reason: DisconnectReason,
    pub(crate) farewell: Farewell,
}

impl Ending {
    /// Whether the client sent what it may not send.
    pub(crate) fn is_fault(self) -> bool {
        matches!(
            self.reason,
            DisconnectReason::ProtocolError | DisconnectReason::TooBig | DisconnectReason::Flood
        )
    }

    /// Whether a client that polls is to come back: then its polls fail from now on. All official clients take that for a
    /// broken transport, but python-engineio does not come back after a close packet.
    pub(crate) fn is_return(self) -> bool {
        matches!(
            self.reason,
            DisconnectReason::Closed(Close::GoingAway | Close::TooSlow)
                | DisconnectReason::TooSlow
                | DisconnectReason::HostPanicked
        )
    }

    /// Whether the last word must reach the client also if it does not poll just now.
    pub(crate) fn is_awaited(self) -> bool {
        matches!(self.reason, DisconnectReason::Closed(_)) && !self.is_return()
    }
}

/// The last frame to a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Farewell {
    /// Our close frame.
    Frame(u16),
    /// The answer to the peer's close frame, with its code if it gave one. It sends nothing more.
    Echo(Option<u16>),
    /// The peer has closed the session: a poll ends with nothing, a WebSocket normally.
    Agreed,
    /// Nothing: the connection is gone already.
    Silent,
}

impl From<DisconnectReason> for Ending {
    fn from(reason: DisconnectReason) -> Self {
        let close = match reason {
            DisconnectReason::ClientLeft | DisconnectReason::ServerLeft => Close::Normal,
            DisconnectReason::Closed(close) => close,
            DisconnectReason::TooSlow => Close::TooSlow,
            DisconnectReason::TooBig => Close::TooBig,
            DisconnectReason::ProtocolError => Close::ProtocolError,
            DisconnectReason::PingTimeout
            | DisconnectReason::ConnectTimeout
            | DisconnectReason::Flood => Close::Policy,
            DisconnectReason::HostPanicked => Close::InternalError,
            DisconnectReason::TransportClosed | DisconnectReason::TransportError => {
                return Self {
                    reason,
                    farewell: Farewell::Silent,
                };
            }
        };
        Self {
            reason,
            farewell: Farewell::Frame(close.code()),
        }
    }
}

impl From<Violation> for Ending {
    fn from(violation: Violation) -> Self {
        let reason = match violation {
            Violation::TooBig => DisconnectReason::TooBig,
            Violation::Frame | Violation::Text => DisconnectReason::ProtocolError,
        };
        Self {
            reason,
            farewell: Farewell::Frame(violation.close().code()),
        }
    }
}

impl From<Malformed> for Ending {
    fn from(_: Malformed) -> Self {
        DisconnectReason::ProtocolError.into()
    }
}
