//! Engine.IO packets of the protocol revisions 4 and 3: one character, then the data.
//! It promises to name what a client may send and to refuse the rest, including packets of the wrong direction.
//! Sources: <https://socket.io/docs/v4/engine-io-protocol/> and revision 3 of the same page. It knows nothing of what a
//! message contains.

pub(crate) mod payload;

use bytes::Bytes;

use crate::{config::Config, websocket};

/// The type of an Engine.IO packet that carries a message.
pub(crate) const MESSAGE: &str = "4";

/// The same before binary data over a WebSocket, in revision 3 alone.
pub(crate) const MESSAGE_BYTE: u8 = 4;

/// A ping of the server, as a whole WebSocket frame.
pub(crate) const PING_FRAME: Bytes = Bytes::from_static(b"\x81\x012");

/// The end of a session, as a whole WebSocket frame.
pub(crate) const CLOSE_FRAME: Bytes = Bytes::from_static(b"\x81\x011");

/// Nothing, which ends a poll; as a whole WebSocket frame.
pub(crate) const NOOP_FRAME: Bytes = Bytes::from_static(b"\x81\x016");

/// A revision of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Revision 3: Socket.IO clients 1 and 2.
    V3,
    /// Revision 4: Socket.IO clients 3 and 4.
    V4,
}

/// The content of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// What a client may send in an open session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// `1`: the client ends the session.
    Close,
    /// `2`: a ping of revision 3, with the data that its answer repeats.
    Ping(&'a str),
    /// `3`: the answer to our ping of revision 4.
    Pong,
    /// `4`: a message.
    Message(Message<'a>),
    /// `5` and `6`: of an upgrade that is over.
    Idle,
}

impl<'a> Packet<'a> {
    /// Reads a packet of text; `None` for anything that a client may not send here.
    pub(crate) fn parse(text: &'a str, protocol: Protocol) -> Option<Self> {
        let mut rest = text.chars();
        let kind = rest.next()?;
        match (kind, protocol) {
            ('1', _) => Some(Self::Close),
            ('2', Protocol::V3) => Some(Self::Ping(rest.as_str())),
            ('3', Protocol::V4) => Some(Self::Pong),
            ('4', _) => Some(Self::Message(Message::Text(rest.as_str()))),
            ('5' | '6', _) => Some(Self::Idle),
            _ => None,
        }
    }

    /// Reads a packet of bytes as it comes over a WebSocket: in revision 4 always a message, in revision 3 with its
    /// type before it.
    pub(crate) fn parse_binary(bytes: &'a [u8], protocol: Protocol) -> Option<Self> {
        match (protocol, bytes) {
            (Protocol::V4, bytes) | (Protocol::V3, [MESSAGE_BYTE, bytes @ ..]) => {
                Some(Self::Message(Message::Binary(bytes)))
            }
            (Protocol::V3, _) => None,
        }
    }
}

/// The packet that opens a session, as a whole WebSocket frame.
pub(crate) fn open_frame(sid: &str, upgrades: &[&str], config: &Config) -> Bytes {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Open<'a> {
        sid: &'a str,
        upgrades: &'a [&'a str],
        ping_interval: u128,
        ping_timeout: u128,
        max_payload: usize,
    }
    let open = serde_json::to_string(&Open {
        sid,
        upgrades,
        ping_interval: config.ping_interval.as_millis(),
        ping_timeout: config.ping_timeout.as_millis(),
        max_payload: config.max_payload,
    })
    .expect("texts and numbers have a JSON form");
    websocket::text_frame(&["0", &open])
}

/// The answer to a ping of revision 3.
pub(crate) fn pong_frame(data: &str) -> Bytes {
    websocket::text_frame(&["3", data])
}

/// A message, as a whole WebSocket frame.
pub(crate) fn message_frame(message: Message<'_>, protocol: Protocol) -> Bytes {
    match (message, protocol) {
        (Message::Text(text), _) => websocket::text_frame(&[MESSAGE, text]),
        (Message::Binary(bytes), Protocol::V4) => websocket::binary_frame(&[bytes]),
        (Message::Binary(bytes), Protocol::V3) => {
            websocket::binary_frame(&[&[MESSAGE_BYTE], bytes])
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::websocket::{Payload, payloads};

    fn message(text: &str) -> Packet<'_> {
        Packet::Message(Message::Text(text))
    }

    #[test]
    fn only_the_packets_of_a_client_are_read() {
        for (text, in_4, in_3) in [
            ("1", Some(Packet::Close), Some(Packet::Close)),
            ("2", None, Some(Packet::Ping(""))),
            ("2probe", None, Some(Packet::Ping("probe"))),
            ("3", Some(Packet::Pong), None),
            ("3probe", Some(Packet::Pong), None),
            ("4", Some(message("")), Some(message(""))),
            (
                "42[\"é\"]",
                Some(message("2[\"é\"]")),
                Some(message("2[\"é\"]")),
            ),
            ("5", Some(Packet::Idle), Some(Packet::Idle)),
            ("6", Some(Packet::Idle), Some(Packet::Idle)),
            ("0{}", None, None),
            ("7", None, None),
            ("bAAEC", None, None),
            ("", None, None),
            ("é", None, None),
        ] {
            assert_eq!(Packet::parse(text, Protocol::V4), in_4, "{text}");
            assert_eq!(Packet::parse(text, Protocol::V3), in_3, "{text}");
        }
    }

    #[test]
    fn bytes_are_a_message_and_in_revision_3_say_so() {
        let binary = |bytes| Some(Packet::Message(Message::Binary(bytes)));
        assert_eq!(Packet::parse_binary(&[4, 1], Protocol::V4), binary(&[4, 1]));
        assert_eq!(Packet::parse_binary(&[], Protocol::V4), binary(&[]));
        assert_eq!(Packet::parse_binary(&[4, 1], Protocol::V3), binary(&[1]));
        assert_eq!(Packet::parse_binary(&[1, 4], Protocol::V3), None);
        assert_eq!(Packet::parse_binary(&[], Protocol::V3), None);
    }

    #[test]
    fn the_open_packet_names_the_session_and_its_bounds() {
        let frame = open_frame("abc", &["websocket"], &Config::default());
        assert_eq!(
            payloads(&frame).next(),
            Some(Payload::Text(
                r#"0{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":60000,"maxPayload":1000000}"#
            ))
        );
    }

    proptest! {
        #[test]
        fn a_message_survives_the_round_trip(text in "\\PC{0,40}", bytes: Vec<u8>) {
            for protocol in [Protocol::V3, Protocol::V4] {
                for sent in [Message::Text(&text), Message::Binary(&bytes)] {
                    let frame = message_frame(sent, protocol);
                    let read = match payloads(&frame).next() {
                        Some(Payload::Text(text)) => Packet::parse(text, protocol),
                        Some(Payload::Binary(bytes)) => Packet::parse_binary(bytes, protocol),
                        None => None,
                    };
                    prop_assert_eq!(read, Some(Packet::Message(sent)));
                }
            }
        }

        #[test]
        fn no_packet_makes_the_parser_panic(text in "\\PC{0,10}", bytes: Vec<u8>) {
            for protocol in [Protocol::V3, Protocol::V4] {
                let _read = (Packet::parse(&text, protocol), Packet::parse_binary(&bytes, protocol));
            }
        }
    }
}
