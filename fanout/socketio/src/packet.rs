//! Socket.IO packets, protocol revision 5: text to a borrowed packet, and a packet to text.
//! It promises never to panic, whatever the text, and to refuse what the reference parser refuses.
//! Source: <https://socket.io/docs/v4/socket-io-protocol/>. It knows nothing of namespaces that exist or of sockets.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Arguments of one event. The protocol has no bound; no known client comes near, and each costs an allocation.
const ARGS_MAX: usize = 64;

/// Names that clients may not emit, as in the reference parser: they are local events of every client and server.
const RESERVED_NAMES: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// One packet, borrowed from its text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packet<'a> {
    /// `0`: to a namespace, with a JSON object.
    Connect {
        namespace: &'a str,
        query: Option<&'a str>,
        payload: Option<&'a RawValue>,
    },
    /// `1`: leaves a namespace.
    Disconnect { namespace: &'a str },
    /// `2`: an event, a JSON array that begins with its name.
    Event {
        namespace: &'a str,
        ack: Option<u64>,
        array: &'a RawValue,
    },
    /// `3`: the answer to an event, a JSON array.
    Ack {
        namespace: &'a str,
        id: u64,
        array: &'a RawValue,
    },
    /// `4`: the answer to a CONNECT that is refused.
    ConnectError {
        namespace: &'a str,
        payload: &'a RawValue,
    },
}

/// Why a text is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PacketError {
    #[error("unknown packet type")]
    Type,
    #[error("binary packets are not supported")]
    Binary,
    #[error("an acknowledgement id is missing, misplaced or too large")]
    AckId,
    #[error("invalid payload")]
    Payload,
}

impl<'a> Packet<'a> {
    /// Reads one packet.
    pub(crate) fn parse(text: &'a str) -> Result<Self, PacketError> {
        let kind = text.bytes().next().ok_or(PacketError::Type)?;
        match kind {
            b'0'..=b'4' => {}
            b'5' | b'6' => return Err(PacketError::Binary),
            _ => return Err(PacketError::Type),
        }
        // The first byte is ASCII, so that 1 is a boundary.
        let (namespace, rest) = split_namespace(text.get(1..).unwrap_or_default());
        let (id, rest) = split_id(rest)?;
        match (kind, id) {
            (b'0', None) => {
                let (namespace, query) = split_query(namespace);
                let payload = match rest {
                    "" => None,
                    json => Some(raw(json, '{')?),
                };
                Ok(Self::Connect {
                    namespace,
                    query,
                    payload,
                })
            }
            (b'1', None) if rest.is_empty() => Ok(Self::Disconnect { namespace }),
            (b'1', None) => Err(PacketError::Payload),
            (b'2', ack) => Ok(Self::Event {
                namespace,
                ack,
                array: raw(rest, '[')?,
            }),
            (b'3', Some(id)) => Ok(Self::Ack {
                namespace,
                id,
                array: raw(rest, '[')?,
            }),
            (b'4', None) => Ok(Self::ConnectError {
                namespace,
                payload: raw(rest, '{')?,
            }),
            _ => Err(PacketError::AckId),
        }
    }
}

/// `/name,rest` is that namespace and the rest; anything else belongs to the main one.
fn split_namespace(text: &str) -> (&str, &str) {
    if !text.starts_with('/') {
        return ("/", text);
    }
    text.split_once(',').unwrap_or((text, ""))
}

/// Clients of version 2 append a query to the namespace of their CONNECT.
fn split_query(namespace: &str) -> (&str, Option<&str>) {
    match namespace.split_once('?') {
        Some((namespace, query)) => (namespace, Some(query)),
        None => (namespace, None),
    }
}

/// The leading digits, if any, as an acknowledgement id.
fn split_id(text: &str) -> Result<(Option<u64>, &str), PacketError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match text.split_at_checked(digits) {
        Some(("", _)) | None => Ok((None, text)),
        Some((id, rest)) => Ok((Some(id.parse().map_err(|_| PacketError::AckId)?), rest)),
    }
}

/// A whole text as JSON that begins with `first`.
fn raw(text: &str, first: char) -> Result<&RawValue, PacketError> {
    if !text.starts_with(first) {
        return Err(PacketError::Payload);
    }
    serde_json::from_str(text).map_err(|_| PacketError::Payload)
}

impl fmt::Display for Packet<'_> {
    /// The packet's text, as [`Packet::parse`] reads it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Connect {
                namespace,
                query,
                payload,
            } => {
                write!(out, "0{}", Prefix(namespace, query))?;
                payload.map_or(Ok(()), |json| out.write_str(json.get()))
            }
            Self::Disconnect { namespace } => write!(out, "1{}", Prefix(namespace, None)),
            Self::Event {
                namespace,
                ack: None,
                array,
            } => write!(out, "2{}{array}", Prefix(namespace, None)),
            Self::Event {
                namespace,
                ack: Some(id),
                array,
            } => write!(out, "2{}{id}{array}", Prefix(namespace, None)),
            Self::Ack {
                namespace,
                id,
                array,
            } => write!(out, "3{}{id}{array}", Prefix(namespace, None)),
            Self::ConnectError { namespace, payload } => {
                write!(out, "4{}{payload}", Prefix(namespace, None))
            }
        }
    }
}

/// How a namespace stands before a packet's data: nothing for the main one, else `/name,`.
pub(crate) struct Prefix<'a>(pub(crate) &'a str, pub(crate) Option<&'a str>);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self("/", None) => Ok(()),
            Self(namespace, None) => write!(out, "{namespace},"),
            Self(namespace, Some(query)) => write!(out, "{namespace}?{query},"),
        }
    }
}

/// The content of an event's array: its name and its arguments.
#[derive(Debug)]
pub(crate) struct EventArray {
    pub(crate) name: String,
    pub(crate) args: Vec<Box<RawValue>>,
}

impl EventArray {
    /// Takes an event's array apart.
    pub(crate) fn parse(array: &RawValue) -> Result<Self, PacketError> {
        let event: Self = serde_json::from_str(array.get()).map_err(|_| PacketError::Payload)?;
        if RESERVED_NAMES.contains(&event.name.as_str()) {
            return Err(PacketError::Payload);
        }
        Ok(event)
    }
}

impl<'de> Deserialize<'de> for EventArray {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = EventArray;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "an array of a name and at most {ARGS_MAX} arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<EventArray, A::Error> {
                let name = elements
                    .next_element()?
                    .ok_or_else(|| de::Error::invalid_length(0, &self))?;
                let mut args = Vec::new();
                while let Some(arg) = elements.next_element()? {
                    if args.len() == ARGS_MAX {
                        return Err(de::Error::invalid_length(ARGS_MAX + 1, &self));
                    }
                    args.push(arg);
                }
                Ok(EventArray { name, args })
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_packet_reads_as_the_protocol_page_says() {
        for (text, expected) in [
            (
                "0",
                r#"Connect { namespace: "/", query: None, payload: None }"#,
            ),
            (
                "0/admin",
                r#"Connect { namespace: "/admin", query: None, payload: None }"#,
            ),
            (
                r#"0{"token":"123"}"#,
                r#"Connect { namespace: "/", query: None, payload: Some(RawValue({"token":"123"})) }"#,
            ),
            (
                r#"0/discord?x=y,{"a":1}"#,
                r#"Connect { namespace: "/discord", query: Some("x=y"), payload: Some(RawValue({"a":1})) }"#,
            ),
            ("1", r#"Disconnect { namespace: "/" }"#),
            ("1/admin,", r#"Disconnect { namespace: "/admin" }"#),
            (
                r#"2["foo"]"#,
                r#"Event { namespace: "/", ack: None, array: RawValue(["foo"]) }"#,
            ),
            (
                r#"2/admin,12["foo",1]"#,
                r#"Event { namespace: "/admin", ack: Some(12), array: RawValue(["foo",1]) }"#,
            ),
            (
                "3/admin,13[]",
                r#"Ack { namespace: "/admin", id: 13, array: RawValue([]) }"#,
            ),
            (
                r#"4{"message":"no"}"#,
                r#"ConnectError { namespace: "/", payload: RawValue({"message":"no"}) }"#,
            ),
        ] {
            let packet = Packet::parse(text).expect(text);
            assert_eq!(format!("{packet:?}"), expected, "{text}");
        }
    }

    #[test]
    fn what_the_reference_parser_refuses_is_refused() {
        for (text, expected) in [
            ("", PacketError::Type),
            ("abc", PacketError::Type),
            ("7", PacketError::Type),
            ("é", PacketError::Type),
            ("51-[\"x\"]", PacketError::Binary),
            ("61-1[]", PacketError::Binary),
            ("0[]", PacketError::Payload),
            ("0\"x\"", PacketError::Payload),
            ("0{", PacketError::Payload),
            ("0/discord,1{}", PacketError::AckId),
            ("1{}", PacketError::Payload),
            ("2", PacketError::Payload),
            ("2{}", PacketError::Payload),
            ("2[\"x\"]]", PacketError::Payload),
            ("2abc[\"x\"]", PacketError::Payload),
            ("299999999999999999999[\"x\"]", PacketError::AckId),
            ("3[]", PacketError::AckId),
            ("31{}", PacketError::Payload),
        ] {
            assert_eq!(Packet::parse(text).expect_err(text), expected, "{text}");
        }
    }

    #[test]
    fn an_event_is_a_name_and_bounded_arguments() {
        let read = |json: &str| {
            let array: Box<RawValue> = serde_json::from_str(json).expect("test input is JSON");
            EventArray::parse(&array).map(|event| (event.name, event.args.len()))
        };
        assert_eq!(read(r#"["a"]"#), Ok(("a".to_owned(), 0)));
        assert_eq!(
            read(r#"[ "\u0061", {}, [1], null ]"#),
            Ok(("a".to_owned(), 3))
        );
        for refused in [
            "[]",
            "[1]",
            "[null]",
            "[{}]",
            r#"["connect"]"#,
            r#"["disconnecting",1]"#,
        ] {
            assert_eq!(read(refused), Err(PacketError::Payload), "{refused}");
        }
        let most = format!(r#"["a"{}]"#, ",1".repeat(ARGS_MAX));
        assert_eq!(read(&most), Ok(("a".to_owned(), ARGS_MAX)));
        let more = format!(r#"["a"{}]"#, ",1".repeat(ARGS_MAX + 1));
        assert_eq!(read(&more), Err(PacketError::Payload));
    }

    /// Texts that a parser finds interesting more often than noise does.
    fn packet_like() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("/discord,".to_owned()),
            Just("/".to_owned()),
            Just("?x=y".to_owned()),
            Just("[\"e\",1]".to_owned()),
            Just("{\"a\":\"é\"}".to_owned()),
            "[0-9]{0,22}",
            "\\PC{0,6}",
        ];
        ("[0-7]?", proptest::collection::vec(part, 0..5))
            .prop_map(|(kind, parts)| kind + &parts.concat())
    }

    fn json(open: &'static str) -> impl Strategy<Value = Box<RawValue>> {
        "[a-zé/,?0-9]{0,8}".prop_map(move |text| {
            let text = serde_json::to_string(&text).expect("a text has a JSON form");
            let json = if open == "[" {
                format!("[{text}]")
            } else {
                format!("{{{text}:1}}")
            };
            RawValue::from_string(json).expect("built as JSON")
        })
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_reads_it_prints(text in packet_like()) {
            if let Ok(packet) = Packet::parse(&text) {
                let printed = packet.to_string();
                let again = Packet::parse(&printed).expect("a printed packet is a packet");
                prop_assert_eq!(format!("{again:?}"), format!("{packet:?}"));
            }
        }

        #[test]
        fn every_packet_survives_the_round_trip(
            namespace in "/([a-z/]{1,8})?",
            query in proptest::option::of("[a-z=&]{0,8}"),
            id in any::<u64>(),
            object in json("{"),
            array in json("["),
        ) {
            let namespace = namespace.as_str();
            for packet in [
                Packet::Connect { namespace, query: query.as_deref(), payload: None },
                Packet::Connect { namespace, query: query.as_deref(), payload: Some(&object) },
                Packet::Disconnect { namespace },
                Packet::Event { namespace, ack: None, array: &array },
                Packet::Event { namespace, ack: Some(id), array: &array },
                Packet::Ack { namespace, id, array: &array },
                Packet::ConnectError { namespace, payload: &object },
            ] {
                let text = packet.to_string();
                let read = Packet::parse(&text).expect("a printed packet is a packet");
                prop_assert_eq!(format!("{read:?}"), format!("{packet:?}"));
            }
        }
    }
}
