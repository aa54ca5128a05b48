//! A frame of the gateway, as it waits for the stream to acknowledge all of it.
//!
//! Knows the frame's head, not its content.

use std::borrow::Cow;
use std::sync::Arc;

use proto::identity::Dispatch;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::shard::ShardId;

/// The head of a frame (<https://docs.discord.com/developers/events/gateway-events#payload-structure>).
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Peek<'a> {
    /// The opcode.
    pub(crate) op: u64,
    /// A dispatch's sequence.
    #[serde(default)]
    pub(crate) s: Option<u64>,
    /// A dispatch's kind.
    #[serde(borrow, default)]
    pub(crate) t: Option<Cow<'a, str>>,
    /// The data, unread.
    #[serde(borrow, default)]
    pub(crate) d: Option<&'a RawValue>,
}

impl<'a> Peek<'a> {
    /// Reads the head; none if the text is no frame.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The data's JSON.
    pub(crate) fn data(&self) -> &'a str {
        self.d.map_or("null", RawValue::get)
    }
}

/// A dispatch on its way.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Its name in the session.
    pub(crate) dispatch: Dispatch,
    /// The shard that it came over.
    pub(crate) shard: ShardId,
    /// The whole frame's JSON.
    pub(crate) text: String,
    /// When it was read, in milliseconds since 1970.
    pub(crate) received_ms: i64,
    /// Its room in the buffer.
    pub(crate) held: Held,
}

/// Room in the buffer, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: usize,
    used: Arc<watch::Sender<usize>>,
}

impl Held {
    /// Room of so many bytes, counted in `used` as long as this lives.
    pub(crate) fn new(bytes: usize, used: Arc<watch::Sender<usize>>) -> Self {
        used.send_modify(|used| *used += bytes);
        Self { bytes, used }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.used.send_modify(|used| *used -= self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_read_in_any_order_and_data_may_be_missing() {
        let peek =
            Peek::read(r#"{"d":{"op":9,"t":"X"},"op":0,"s":7,"t":"MESSAGE_CREATE"}"#).unwrap();
        assert_eq!(
            (peek.op, peek.s, peek.t.as_deref()),
            (0, Some(7), Some("MESSAGE_CREATE"))
        );
        assert_eq!(peek.data(), r#"{"op":9,"t":"X"}"#);
        assert_eq!(Peek::read(r#"{"op":11}"#).unwrap().data(), "null");
        assert!(Peek::read("{").is_none());
    }
}
