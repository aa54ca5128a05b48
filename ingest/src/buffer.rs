//! What came from the gateway and waits to be published, bounded in bytes (`PUBLISH_BUFFER_MAX`).
//!
//! Putting never waits: when it is full the gateway leaves with a code that lets it come back, so nothing is dropped.
//! What has to wait for long, because the broker is away, is packed block by block, so that an outage of minutes fits:
//! frames are JSON and like each other. Knows the frames' bytes, not their content.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use proto::identity::Dispatch;
use tokio::sync::{Notify, watch};

use crate::frame::{Frame, Held};
use crate::shard::ShardId;

/// What a frame takes beside its text: its place in queues and in the books of the publisher.
const FRAME_BYTES: usize = 512;

/// What a packed frame takes beside its share of the block: its name, its length and its time.
const PACKED_BYTES: usize = 64;

/// So much lies plain at the end that is taken from; what comes beyond it waits for long. Some seconds of a busy bot.
const PLAIN_BYTES: usize = 4 * 1024 * 1024;

/// Text of a block: large enough to be packed well, small enough to be packed between two heartbeats (a millisecond).
const BLOCK_BYTES: usize = 256 * 1024;

/// zstd's fastest regular level: what it leaves is names and ids, which no level makes small.
const LEVEL: i32 = 1;

/// The side that puts frames in, for one shard.
#[derive(Debug, Clone)]
pub(crate) struct Buffer {
    shared: Arc<Shared>,
    bytes_max: usize,
    shard: ShardId,
    _open: Arc<Open>,
}

/// The side that takes frames out.
#[derive(Debug)]
pub(crate) struct Frames {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Notify,
    used: Arc<watch::Sender<usize>>,
}

#[derive(Debug, Default)]
struct Queue {
    /// What is taken next.
    head: VecDeque<Frame>,
    head_bytes: usize,
    /// What comes after it, packed.
    blocks: VecDeque<Block>,
    /// What came last.
    tail: Vec<Frame>,
    tail_bytes: usize,
    /// Nobody puts frames in any more.
    is_closed: bool,
    /// Nobody takes frames out any more.
    is_deaf: bool,
}

/// Frames whose texts are packed together.
#[derive(Debug)]
struct Block {
    texts: Texts,
    frames: Vec<Packed>,
    _held: Held,
}

#[derive(Debug)]
enum Texts {
    /// By zstd, and the length of what was packed.
    Zstd(Vec<u8>, usize),
    /// Where that failed.
    Plain(String),
}

/// A frame without its text.
#[derive(Debug)]
struct Packed {
    dispatch: Dispatch,
    shard: ShardId,
    received_ms: i64,
    length: usize,
}

/// Closes the buffer once nobody can put anything in.
#[derive(Debug)]
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.queue.lock().is_closed = true;
        self.0.arrived.notify_one();
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let deaf = Queue {
            is_deaf: true,
            ..Queue::default()
        };
        // Their room is given back, as they will never be taken.
        drop(std::mem::replace(&mut *self.shared.queue.lock(), deaf));
    }
}

impl Buffer {
    /// A buffer of so many bytes, and the side that takes frames out.
    pub(crate) fn new(bytes_max: usize, used: watch::Sender<usize>) -> (Self, Frames) {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            arrived: Notify::new(),
            used: Arc::new(used),
        });
        let frames = Frames {
            shared: Arc::clone(&shared),
        };
        let buffer = Self {
            _open: Arc::new(Open(Arc::clone(&shared))),
            shared,
            bytes_max,
            shard: ShardId::ONE,
        };
        (buffer, frames)
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
        let frame = Frame {
            held: self.shared.hold(text.len() + FRAME_BYTES),
            dispatch,
            shard: self.shard,
            text,
            received_ms,
        };
        let mut queue = self.shared.queue.lock();
        if queue.is_deaf {
            return false;
        }
        if let Some(run) = queue.push(frame) {
            let block = self.shared.pack(&run);
            queue.blocks.push_back(block);
        }
        drop(queue);
        self.shared.arrived.notify_one();
        true
    }

    /// It holds as much as it may.
    pub(crate) fn is_full(&self) -> bool {
        *self.shared.used.borrow() >= self.bytes_max
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
        let mut used = self.shared.used.subscribe();
        // The sender lives in self, so that waiting can't fail.
        if used.wait_for(|used| *used <= bytes).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Frames {
    /// The next frame, in the order in which they were put in; none once nobody puts any in and all are taken.
    /// Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Option<Frame> {
        loop {
            {
                let mut queue = self.shared.queue.lock();
                let frame = queue.pop(&self.shared);
                if frame.is_some() || queue.is_closed {
                    return frame;
                }
            }
            self.shared.arrived.notified().await;
        }
    }
}

#[cfg(test)]
impl Frames {
    /// The next frame, if there is one now.
    pub(crate) fn try_recv(&mut self) -> Option<Frame> {
        self.shared.queue.lock().pop(&self.shared)
    }
}

impl Shared {
    fn hold(&self, bytes: usize) -> Held {
        Held::new(bytes, Arc::clone(&self.used))
    }

    /// The frames keep what they hold until the block has its own: whoever waits until all is settled must not see a
    /// moment in which nothing is held.
    fn pack(&self, run: &[Frame]) -> Block {
        let mut texts = String::with_capacity(run.iter().map(|frame| frame.text.len()).sum());
        let mut frames = Vec::with_capacity(run.len());
        for frame in run {
            texts.push_str(&frame.text);
            frames.push(Packed {
                dispatch: frame.dispatch,
                shard: frame.shard,
                received_ms: frame.received_ms,
                length: frame.text.len(),
            });
        }
        let length = texts.len();
        let texts = match zstd::bulk::compress(texts.as_bytes(), LEVEL) {
            Ok(mut packed) => {
                packed.shrink_to_fit();
                Texts::Zstd(packed, length)
            }
            Err(error) => {
                tracing::warn!(%error, "frames that wait can't be packed");
                Texts::Plain(texts)
            }
        };
        let bytes = texts.len() + frames.len() * PACKED_BYTES;
        Block {
            texts,
            frames,
            _held: self.hold(bytes),
        }
    }

    fn unpack(&self, block: Block) -> VecDeque<Frame> {
        let texts = block.texts.into_string();
        let mut rest = texts.as_str();
        let frames = block.frames.into_iter().map(|packed| {
            let (text, after) = rest.split_at(packed.length);
            rest = after;
            Frame {
                dispatch: packed.dispatch,
                shard: packed.shard,
                text: text.to_owned(),
                received_ms: packed.received_ms,
                held: self.hold(packed.length + FRAME_BYTES),
            }
        });
        frames.collect()
    }
}

impl Texts {
    fn len(&self) -> usize {
        match self {
            Self::Zstd(packed, _) => packed.len(),
            Self::Plain(text) => text.len(),
        }
    }

    fn into_string(self) -> String {
        match self {
            Self::Zstd(packed, length) => {
                let bytes = zstd::bulk::decompress(&packed, length).expect("it was packed here");
                String::from_utf8(bytes).expect("texts were packed")
            }
            Self::Plain(text) => text,
        }
    }
}

impl Queue {
    /// Puts a frame at the end. What is to be packed now, if enough waits behind what lies plain.
    fn push(&mut self, frame: Frame) -> Option<Vec<Frame>> {
        let is_short = self.blocks.is_empty() && self.tail.is_empty();
        if is_short && self.head_bytes < PLAIN_BYTES {
            self.head_bytes += frame.text.len();
            self.head.push_back(frame);
            return None;
        }
        self.tail_bytes += frame.text.len();
        self.tail.push(frame);
        if self.tail_bytes < BLOCK_BYTES {
            return None;
        }
        self.tail_bytes = 0;
        Some(std::mem::take(&mut self.tail))
    }

    fn pop(&mut self, shared: &Shared) -> Option<Frame> {
        if self.head.is_empty() {
            self.head = if let Some(block) = self.blocks.pop_front() {
                shared.unpack(block)
            } else {
                self.tail_bytes = 0;
                std::mem::take(&mut self.tail).into()
            };
            self.head_bytes = self.head.iter().map(|frame| frame.text.len()).sum();
        }
        let frame = self.head.pop_front()?;
        self.head_bytes -= frame.text.len();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispatch(sequence: u64) -> Dispatch {
        Dispatch {
            epoch: 1,
            shard: 0,
            sequence,
        }
    }

    fn text(sequence: u64, bytes: usize) -> String {
        let mut text = format!("{{\"s\":{sequence},\"d\":\"");
        while text.len() < bytes {
            text.push(char::from(
                b'a' + u8::try_from(text.len() as u64 * sequence % 26).unwrap(),
            ));
        }
        text
    }

    #[tokio::test]
    async fn the_buffer_is_full_by_bytes_and_drains_as_frames_are_dropped() {
        let used = watch::Sender::new(0);
        let bytes = used.subscribe();
        let (buffer, mut frames) = Buffer::new(10_000, used);
        let mut count = 0;
        while !buffer.is_full() {
            assert!(buffer.put(dispatch(1), "x".repeat(1_000), 0));
            count += 1;
        }
        let waiting = tokio::spawn({
            let buffer = buffer.clone();
            async move { buffer.drained().await }
        });
        for _ in 0..count {
            drop(frames.recv().await);
        }
        waiting.await.unwrap();
        assert_eq!(*bytes.borrow(), 0);
        drop(frames);
        assert!(!buffer.put(dispatch(1), String::new(), 0));
        buffer.emptied().await;
    }

    #[tokio::test]
    async fn what_waits_for_long_is_packed_and_comes_out_as_it_went_in() {
        let used = watch::Sender::new(0);
        let bytes = used.subscribe();
        let (buffer, mut frames) = Buffer::new(usize::MAX, used);
        let (count, length) = (12_000, 1_000);
        for sequence in 1..=count {
            assert!(buffer.put(dispatch(sequence), text(sequence, length), 7));
        }
        let plain = usize::try_from(count).unwrap() * (length + FRAME_BYTES);
        let packed = *bytes.borrow();
        assert!(packed < plain / 2, "{packed} of {plain}");
        for sequence in 1..=count {
            let frame = frames.recv().await.unwrap();
            assert_eq!(frame.dispatch, dispatch(sequence));
            assert_eq!(frame.text, text(sequence, length));
            assert_eq!(frame.received_ms, 7);
            // What comes while others are taken out stays behind them.
            if sequence % 1_000 == 0 {
                assert!(buffer.put(dispatch(count + sequence / 1_000), text(1, length), 7));
            }
        }
        for more in 1..=count / 1_000 {
            assert_eq!(
                frames.recv().await.unwrap().dispatch,
                dispatch(count + more)
            );
        }
        assert_eq!(*bytes.borrow(), 0);
        drop(buffer);
        assert!(frames.recv().await.is_none());
    }

    #[tokio::test]
    async fn who_waits_for_a_frame_hears_of_it_and_of_the_end() {
        let (buffer, mut frames) = Buffer::new(1_000, watch::Sender::new(0));
        let taking = tokio::spawn(async move {
            let first = frames.recv().await;
            (first.is_some(), frames.recv().await.is_none())
        });
        tokio::task::yield_now().await;
        assert!(buffer.put(dispatch(1), "x".into(), 0));
        tokio::task::yield_now().await;
        let other = buffer.clone();
        drop(buffer);
        drop(other);
        assert_eq!(taking.await.unwrap(), (true, true));
    }
}
