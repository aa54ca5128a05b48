//! Socket.IO packets, protocol revision 5 and, where it differs, 4: text to a borrowed packet, and a packet to text.
//! It promises never to panic, whatever the text, and to refuse what the reference parser refuses.
//! Source: <https://socket.io/docs/v4/socket-io-protocol/>. It knows nothing of namespaces that exist or of sockets.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// Arguments of one event. The protocol has no bound; no known client comes near, and each costs an allocation.
const ARGS_MAX: usize = 64;

/// Binary attachments of one packet. Each is a message of its own that has to be held until the last has come.
const ATTACHMENTS_MAX: usize = 64;

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
    /// `2`: an event, a JSON array that begins with its name; `5`, with binary messages that follow it.
    Event {
        namespace: &'a str,
        ack: Option<u64>,
        array: &'a RawValue,
        attachments: Option<usize>,
    },
    /// `3`: the answer to an event, a JSON array; `6`, with binary messages that follow it.
    Ack {
        namespace: &'a str,
        id: u64,
        array: &'a RawValue,
        attachments: Option<usize>,
    },
    /// `4`: the answer to a CONNECT that is refused: a JSON object, in revision 4 a JSON text.
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
    #[error("the number of attachments is missing or too large")]
    Attachments,
    #[error("an acknowledgement id is missing, misplaced or too large")]
    AckId,
    #[error("invalid payload")]
    Payload,
}

impl<'a> Packet<'a> {
    /// Reads one packet.
    pub(crate) fn parse(text: &'a str) -> Result<Self, PacketError> {
        let kind = text.bytes().next().ok_or(PacketError::Type)?;
        if !kind.is_ascii_digit() || kind > b'6' {
            return Err(PacketError::Type);
        }
        // The first byte is ASCII, so that 1 is a boundary.
        let rest = text.get(1..).unwrap_or_default();
        let (attachments, rest) = match kind {
            b'5' | b'6' => split_attachments(rest)?,
            _ => (None, rest),
        };
        let (namespace, rest) = split_namespace(rest);
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
            (b'2' | b'5', ack) => Ok(Self::Event {
                namespace,
                ack,
                array: raw(rest, '[')?,
                attachments,
            }),
            (b'3' | b'6', Some(id)) => Ok(Self::Ack {
                namespace,
                id,
                array: raw(rest, '[')?,
                attachments,
            }),
            (b'4', None) => Ok(Self::ConnectError {
                namespace,
                payload: raw(rest, '{').or_else(|_| raw(rest, '"'))?,
            }),
            _ => Err(PacketError::AckId),
        }
    }
}

/// `<number>-rest`.
fn split_attachments(text: &str) -> Result<(Option<usize>, &str), PacketError> {
    let (number, rest) = text.split_once('-').ok_or(PacketError::Attachments)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|_| is_number);
    let number = number.filter(|&number| number <= ATTACHMENTS_MAX);
    Ok((Some(number.ok_or(PacketError::Attachments)?), rest))
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
                ack,
                array,
                attachments,
            } => {
                out.write_str(if attachments.is_some() { "5" } else { "2" })?;
                write!(out, "{}{}", Count(attachments), Prefix(namespace, None))?;
                ack.map_or(Ok(()), |id| write!(out, "{id}"))?;
                out.write_str(array.get())
            }
            Self::Ack {
                namespace,
                id,
                array,
                attachments,
            } => {
                out.write_str(if attachments.is_some() { "6" } else { "3" })?;
                let prefix = Prefix(namespace, None);
                write!(out, "{}{prefix}{id}{array}", Count(attachments))
            }
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

/// How the number of attachments stands after a packet's type.
pub(crate) struct Count(pub(crate) Option<usize>);

impl fmt::Display for Count {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(count) => write!(out, "{count}-"),
            None => Ok(()),
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

/// The elements of an acknowledgement's array.
pub(crate) fn ack_args(array: &RawValue) -> Result<Vec<Box<RawValue>>, PacketError> {
    let args: Args = serde_json::from_str(array.get()).map_err(|_| PacketError::Payload)?;
    Ok(args.0)
}

/// Whether every placeholder in a payload stands for one of so many attachments.
pub(crate) fn has_valid_placeholders(array: &RawValue, attachments: usize) -> bool {
    let is_known = |number: Option<&Value>| {
        let number = number.and_then(Value::as_u64);
        number.is_some_and(|number| usize::try_from(number).is_ok_and(|n| n < attachments))
    };
    let mut left = match serde_json::from_str(array.get()) {
        Ok(value) => vec![value],
        Err(_) => return false,
    };
    while let Some(value) = left.pop() {
        match value {
            Value::Array(values) => left.extend(values),
            Value::Object(object) => {
                let is_placeholder = object.get("_placeholder") == Some(&Value::Bool(true));
                if is_placeholder && !is_known(object.get("num")) {
                    return false;
                }
                left.extend(object.into_iter().map(|(_, value)| value));
            }
            _ => {}
        }
    }
    true
}

/// At most so many arguments: reading stops at one more.
struct Args(Vec<Box<RawValue>>);

impl Args {
    fn read<'de, A: SeqAccess<'de>>(mut elements: A) -> Result<Self, A::Error> {
        let mut args = Vec::new();
        while let Some(arg) = elements.next_element()? {
            if args.len() == ARGS_MAX {
                let message = format_args!("more than {ARGS_MAX} arguments");
                return Err(de::Error::custom(message));
            }
            args.push(arg);
        }
        Ok(Self(args))
    }
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = Args;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "an array of at most {ARGS_MAX} arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Args, A::Error> {
                Args::read(elements)
            }
        }

        deserializer.deserialize_seq(Elements)
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
                let Args(args) = Args::read(elements)?;
                Ok(EventArray { name, args })
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}

#[cfg(test)]
mod tests;
