//! An event, encoded once: a frame is shared by every socket of every worker that it goes to.
//! It promises that all sockets of a namespace get the same bytes, made when the first of them needs them.
//! It knows nothing of who receives it.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    engine::{self, Message, Protocol},
    packet::{Count, Prefix},
    websocket,
};

/// One event to emit, cheap to clone and to send between threads.
#[derive(Clone)]
pub struct Frame(Arc<Encoded>);

struct Encoded {
    /// The event's JSON array, its name first.
    array: Box<str>,
    attachments: Box<[Bytes]>,
    wire: Wire,
}

/// The bytes of one form and, behind them, of the next one that was asked for. Servers have one or two.
#[derive(Default)]
struct Wire(OnceLock<Box<Encoding>>);

struct Encoding {
    namespace: Box<str>,
    /// Both revisions have one form of text; bytes differ.
    protocol: Option<Protocol>,
    bytes: Bytes,
    next: Wire,
}

/// An event that waits: its place in a queue, and what refers to it.
const HELD_BYTES: usize = 64;

impl Frame {
    /// An event of arguments that are JSON already.
    pub fn event(name: &str, args: &[&RawValue]) -> Self {
        Self::binary_event(name, args, Vec::new())
    }

    /// An event of arguments that are JSON already, in which `{"_placeholder":true,"num":N}` stands for the attachment
    /// of that number, from 0.
    pub fn binary_event(name: &str, args: &[&RawValue], attachments: Vec<Bytes>) -> Self {
        let length = args.iter().map(|arg| arg.get().len() + 1).sum::<usize>();
        let mut array = String::with_capacity(length + name.len() + 4);
        array.push('[');
        array.push_str(&serde_json::Value::from(name).to_string());
        for arg in args {
            array.push(',');
            array.push_str(arg.get());
        }
        array.push(']');
        Self::new(array, attachments)
    }

    /// An event of one argument.
    ///
    /// # Errors
    /// If the argument has no JSON form, such as a map whose keys are not texts.
    pub fn event_json(name: &str, arg: &impl Serialize) -> Result<Self, serde_json::Error> {
        let array = serde_json::to_string(&(name, arg))?;
        Ok(Self::new(array, Vec::new()))
    }

    fn new(array: String, attachments: Vec<Bytes>) -> Self {
        Self(Arc::new(Encoded {
            array: array.into_boxed_str(),
            attachments: attachments.into_boxed_slice(),
            wire: Wire::default(),
        }))
    }

    /// The event's JSON array, its name first.
    pub fn json(&self) -> &str {
        &self.0.array
    }

    /// What it counts where events that wait are bounded: its bytes, and what holding it costs.
    pub(crate) fn size(&self) -> usize {
        let attachments = self.0.attachments.iter().map(Bytes::len);
        self.0.array.len() + attachments.sum::<usize>() + HELD_BYTES
    }

    /// The WebSocket frames of this event in a namespace: one, and one for each attachment.
    pub(crate) fn bytes(&self, namespace: &str, protocol: Protocol) -> Bytes {
        let protocol = (!self.0.attachments.is_empty()).then_some(protocol);
        let mut wire = &self.0.wire;
        loop {
            let encoding = wire
                .0
                .get_or_init(|| Box::new(self.encode(namespace, protocol)));
            if *encoding.namespace == *namespace && encoding.protocol == protocol {
                return encoding.bytes.clone();
            }
            wire = &encoding.next;
        }
    }

    /// The same with a question's id, for one socket alone.
    pub(crate) fn question(&self, namespace: &str, protocol: Protocol, id: u64) -> Bytes {
        let encoded = &*self.0;
        let id = Some(id);
        Kind::Event.frames(
            namespace,
            id,
            &encoded.array,
            &encoded.attachments,
            protocol,
        )
    }

    fn encode(&self, namespace: &str, protocol: Option<Protocol>) -> Encoding {
        let encoded = &self.0;
        Encoding {
            namespace: namespace.into(),
            protocol,
            bytes: Kind::Event.frames(
                namespace,
                None,
                &encoded.array,
                &encoded.attachments,
                protocol.unwrap_or(Protocol::V4),
            ),
            next: Wire::default(),
        }
    }
}

/// The packets that carry a JSON array.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Event,
    Ack,
}

impl Kind {
    /// A packet and its attachments, as WebSocket frames behind each other.
    pub(crate) fn frames(
        self,
        namespace: &str,
        id: Option<u64>,
        array: &str,
        attachments: &[Bytes],
        protocol: Protocol,
    ) -> Bytes {
        let (plain, binary) = match self {
            Self::Event => ("2", "5"),
            Self::Ack => ("3", "6"),
        };
        let prefix = Prefix(namespace, None).to_string();
        let id = id.map_or_else(String::new, |id| id.to_string());
        if attachments.is_empty() {
            return websocket::text_frame(&[engine::MESSAGE, plain, &prefix, &id, array]);
        }
        let count = Count(Some(attachments.len())).to_string();
        let parts = [engine::MESSAGE, binary, &count, &prefix, &id, array];
        let mut frames = BytesMut::from(&websocket::text_frame(&parts)[..]);
        for attachment in attachments {
            let message = Message::Binary(attachment);
            frames.extend_from_slice(&engine::message_frame(message, protocol));
        }
        frames.freeze()
    }
}

impl fmt::Debug for Frame {
    /// The length alone: an event's content has no place in a log.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Frame({} bytes)", self.0.array.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::{Payload, payloads};

    const V4: Protocol = Protocol::V4;

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes.get(2..).expect("a header")).expect("a text frame")
    }

    #[test]
    fn an_event_is_the_same_bytes_for_every_socket_of_a_namespace() {
        let number = serde_json::value::to_raw_value(&7).expect("a number has a JSON form");
        let frame = Frame::event("say \"hi\"", &[&number, &number]);
        let first = frame.bytes("/discord", V4);
        assert_eq!(text(&first), r#"42/discord,["say \"hi\"",7,7]"#);
        assert_eq!(text(&frame.bytes("/", V4)), r#"42["say \"hi\"",7,7]"#);
        assert_eq!(
            text(&frame.bytes("/third", V4)),
            r#"42/third,["say \"hi\"",7,7]"#
        );
        let again = frame.clone().bytes("/discord", Protocol::V3);
        assert_eq!(first.as_ptr(), again.as_ptr());
        assert_eq!(
            text(&frame.question("/discord", V4, 12)),
            r#"42/discord,12["say \"hi\"",7,7]"#
        );
    }

    #[test]
    fn attachments_follow_and_each_revision_has_its_form_of_them() {
        let place: Box<RawValue> =
            serde_json::from_str(r#"{"_placeholder":true,"num":0}"#).expect("test input is JSON");
        let frame = Frame::binary_event("e", &[&place], vec![Bytes::from_static(&[1, 2])]);
        let header = r#"451-["e",{"_placeholder":true,"num":0}]"#;
        for (protocol, bytes) in [(V4, &[1, 2][..]), (Protocol::V3, &[4, 1, 2])] {
            let encoded = frame.bytes("/", protocol);
            let seen: Vec<_> = payloads(&encoded).collect();
            assert_eq!(seen, [Payload::Text(header), Payload::Binary(bytes)]);
            assert_eq!(encoded.as_ptr(), frame.bytes("/", protocol).as_ptr());
        }
    }

    #[test]
    fn a_serializable_argument_becomes_an_event() {
        let frame = Frame::event_json("message", &serde_json::json!({"a": ["é"]}));
        assert_eq!(
            frame.expect("has a JSON form").json(),
            r#"["message",{"a":["é"]}]"#
        );
        let keys = std::collections::BTreeMap::from([(vec![1], 1)]);
        assert!(Frame::event_json("message", &keys).is_err());
    }

    #[test]
    fn threads_that_ask_at_once_share_one_encoding() {
        let frame = Frame::event("e", &[]);
        let pointers: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|index| {
                    let frame = &frame;
                    let namespace = if index % 2 == 0 { "/a" } else { "/b" };
                    scope.spawn(move || frame.bytes(namespace, V4).as_ptr() as usize)
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        assert_eq!(
            pointers
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            2
        );
    }
}
