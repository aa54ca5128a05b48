//! An event, encoded once: a frame is shared by every socket of every worker that it goes to.
//! It promises that all sockets of a namespace get the same bytes, made when the first of them needs them.
//! It knows nothing of who receives it.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{engine, packet::Prefix, websocket};

/// One event to emit, cheap to clone and to send between threads.
#[derive(Clone)]
pub struct Frame(Arc<Encoded>);

struct Encoded {
    /// The event's JSON array, its name first.
    array: Box<str>,
    wire: Wire,
}

/// The bytes for one namespace and, behind them, for the next one that was asked for. Servers have one or two.
#[derive(Default)]
struct Wire(OnceLock<Box<Encoding>>);

struct Encoding {
    namespace: Box<str>,
    bytes: Bytes,
    next: Wire,
}

impl Frame {
    /// An event of arguments that are JSON already.
    pub fn event(name: &str, args: &[&RawValue]) -> Self {
        let length = args.iter().map(|arg| arg.get().len() + 1).sum::<usize>();
        let mut array = String::with_capacity(length + name.len() + 4);
        array.push('[');
        array.push_str(&serde_json::Value::from(name).to_string());
        for arg in args {
            array.push(',');
            array.push_str(arg.get());
        }
        array.push(']');
        Self::from_array(array)
    }

    /// An event of one argument.
    ///
    /// # Errors
    /// If the argument has no JSON form, such as a map whose keys are not texts.
    pub fn event_json(name: &str, arg: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_string(&(name, arg)).map(Self::from_array)
    }

    fn from_array(array: String) -> Self {
        Self(Arc::new(Encoded {
            array: array.into_boxed_str(),
            wire: Wire::default(),
        }))
    }

    /// The event's JSON array, its name first.
    pub fn json(&self) -> &str {
        &self.0.array
    }

    /// The WebSocket frame of this event in a namespace.
    pub(crate) fn bytes(&self, namespace: &str) -> Bytes {
        let mut wire = &self.0.wire;
        loop {
            let encoding = wire.0.get_or_init(|| Box::new(self.encode(namespace)));
            if *encoding.namespace == *namespace {
                return encoding.bytes.clone();
            }
            wire = &encoding.next;
        }
    }

    fn encode(&self, namespace: &str) -> Encoding {
        let prefix = Prefix(namespace, None).to_string();
        Encoding {
            namespace: namespace.into(),
            bytes: websocket::text_frame(&[engine::MESSAGE, "2", &prefix, &self.0.array]),
            next: Wire::default(),
        }
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

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes.get(2..).expect("a header")).expect("a text frame")
    }

    #[test]
    fn an_event_is_the_same_bytes_for_every_socket_of_a_namespace() {
        let number = serde_json::value::to_raw_value(&7).expect("a number has a JSON form");
        let frame = Frame::event("say \"hi\"", &[&number, &number]);
        let first = frame.bytes("/discord");
        assert_eq!(text(&first), r#"42/discord,["say \"hi\"",7,7]"#);
        assert_eq!(text(&frame.bytes("/")), r#"42["say \"hi\"",7,7]"#);
        assert_eq!(
            text(&frame.bytes("/third")),
            r#"42/third,["say \"hi\"",7,7]"#
        );
        let again = frame.clone().bytes("/discord");
        assert_eq!(first.as_ptr(), again.as_ptr());
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
                    scope.spawn(move || frame.bytes(namespace).as_ptr() as usize)
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
