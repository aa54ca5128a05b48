//! A frame of the gateway and the buffer that it waits in until the stream has acknowledged all of it.
//!
//! The buffer is bounded in bytes (`PUBLISH_BUFFER_MAX`). Putting never waits: when it is full the gateway
//! leaves with a code that lets it come back, so nothing is dropped. Knows the frame's head, not its content.

use std::borrow::Cow;
use std::sync::Arc;

use proto::identity::Dispatch;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};

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

impl Drop for Held {
    fn drop(&mut self) {
        self.used.send_modify(|used| *used -= self.bytes);
    }
}

/// The side that puts frames in.
#[derive(Debug, Clone)]
pub(crate) struct Buffer {
    used: Arc<watch::Sender<usize>>,
    bytes_max: usize,
    shard: ShardId,
    // Unbounded in frames because it is bounded in bytes: whoever puts looks at `is_full` after each frame.
    frames: mpsc::UnboundedSender<Frame>,
}

/// What a frame takes beside its text: its place in queues and in the books of the publisher.
const FRAME_BYTES: usize = 512;

impl Buffer {
    /// A buffer of so many bytes, and the side that takes frames out.
    pub(crate) fn new(
        bytes_max: usize,
        used: watch::Sender<usize>,
    ) -> (Self, mpsc::UnboundedReceiver<Frame>) {
        let (frames, receiver) = mpsc::unbounded_channel();
        let buffer = Self {
            used: Arc::new(used),
            bytes_max,
            shard: ShardId::ONE,
            frames,
        };
        (buffer, receiver)
    }

    /// The same buffer, for the frames of this shard.
    pub(crate) fn of(&self, shard: ShardId) -> Self {
        Self {
            shard,
            ..self.clone()
        }
    }

    /// Puts a frame in; false if nobody takes frames any more. The frame that fills the buffer is taken too.
    pub(crate) fn put(&self, dispatch: Dispatch, text: String, received_ms: i64) -> bool {
        let bytes = text.len() + FRAME_BYTES;
        self.used.send_modify(|used| *used += bytes);
        let held = Held {
            bytes,
            used: Arc::clone(&self.used),
        };
        let frame = Frame {
            dispatch,
            shard: self.shard,
            text,
            received_ms,
            held,
        };
        self.frames.send(frame).is_ok()
    }

    /// It holds as much as it may.
    pub(crate) fn is_full(&self) -> bool {
        *self.used.borrow() >= self.bytes_max
    }

    /// Waits until it has room for a while: a quarter of it at the most is used.
    pub(crate) async fn drained(&self) {
        self.down_to(self.bytes_max / 4).await;
    }

    /// Waits until all that was put in is settled.
    pub(crate) async fn emptied(&self) {
        self.down_to(0).await;
    }

    async fn down_to(&self, bytes: usize) {
        let mut used = self.used.subscribe();
        // The sender lives in self, so that waiting can't fail.
        if used.wait_for(|used| *used <= bytes).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISPATCH: Dispatch = Dispatch {
        epoch: 1,
        shard: 0,
        sequence: 1,
    };

    #[tokio::test]
    async fn the_buffer_is_full_by_bytes_and_drains_as_frames_are_dropped() {
        let (buffer, mut frames) = Buffer::new(10_000, watch::Sender::new(0));
        while !buffer.is_full() {
            assert!(buffer.put(DISPATCH, "x".repeat(1_000), 0));
        }
        let waiting = tokio::spawn({
            let buffer = buffer.clone();
            async move { buffer.drained().await }
        });
        while let Ok(frame) = frames.try_recv() {
            drop(frame);
        }
        waiting.await.unwrap();
        assert_eq!(*buffer.used.borrow(), 0);
        drop(frames);
        assert!(!buffer.put(DISPATCH, String::new(), 0));
        buffer.emptied().await;
        assert_eq!(*buffer.used.borrow(), 0);
    }

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
