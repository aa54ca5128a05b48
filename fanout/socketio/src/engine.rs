//! Engine.IO packets of protocol revision 4 over WebSocket: one character, then the data.
//! It promises to name what a client may send and to refuse the rest, including packets of the wrong direction.
//! Source: <https://socket.io/docs/v4/engine-io-protocol/>. It knows nothing of what a message contains.

use bytes::Bytes;

use crate::{config::Config, websocket};

/// The type of an Engine.IO packet that carries a Socket.IO packet.
pub(crate) const MESSAGE: &str = "4";

/// A ping of the server, as a whole WebSocket frame.
pub(crate) const PING_FRAME: Bytes = Bytes::from_static(b"\x81\x012");

/// What a client may send over an open WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// `1`: the client ends the session.
    Close,
    /// `3`: the answer to our ping.
    Pong,
    /// `4`: a message.
    Message(&'a str),
}

impl<'a> Packet<'a> {
    /// Reads one packet; `None` for anything that a client may not send here.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut rest = text.chars();
        match rest.next()? {
            '1' => Some(Self::Close),
            '3' => Some(Self::Pong),
            '4' => Some(Self::Message(rest.as_str())),
            _ => None,
        }
    }
}

/// The packet that opens a session, as a whole WebSocket frame.
pub(crate) fn open_frame(sid: &str, config: &Config) -> Bytes {
    let open = format!(
        r#"0{{"sid":"{sid}","upgrades":[],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        config.ping_interval.as_millis(),
        config.ping_timeout.as_millis(),
        config.max_payload,
    );
    websocket::text_frame(&[&open])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_packets_of_a_client_are_read() {
        for (text, expected) in [
            ("1", Some(Packet::Close)),
            ("3", Some(Packet::Pong)),
            ("3probe", Some(Packet::Pong)),
            ("4", Some(Packet::Message(""))),
            ("42[\"é\"]", Some(Packet::Message("2[\"é\"]"))),
            ("0{}", None),
            ("2", None),
            ("2probe", None),
            ("5", None),
            ("6", None),
            ("7", None),
            ("bAAEC", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(Packet::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn the_open_packet_names_the_session_and_its_bounds() {
        let frame = open_frame("abc", &Config::default());
        let json = frame.get(3..).expect("longer than its header");
        assert_eq!(
            std::str::from_utf8(json),
            Ok(
                r#"{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":60000,"maxPayload":1000000}"#
            )
        );
    }

    proptest! {
        #[test]
        fn a_message_survives_the_round_trip(message in "\\PC{0,40}") {
            let text = format!("{MESSAGE}{message}");
            prop_assert_eq!(Packet::parse(&text), Some(Packet::Message(&message)));
        }
    }
}
