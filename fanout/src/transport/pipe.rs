//! What waits for one viewer of a plain WebSocket or an event stream: bytes in order, bounded.
//!
//! Sending only queues. When more waits than the bound allows, and the kernel takes none of it at once, the pipe
//! ends as too slow and forgets what it held: the client comes back and resumes. Stays on its worker's thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_rt::net::TcpStream;
use actix_socketio::Close;
use bytes::{Buf as _, Bytes};

/// Frames of one vectored write; 1 KiB of slices stays on the stack.
const SLICES_MAX: usize = 64;

/// The queue of one viewer, shared by its task and its link.
#[derive(Debug)]
pub struct Pipe {
    bytes_max: usize,
    queue: RefCell<Queue>,
    ending: Cell<Option<Close>>,
    task: RefCell<Option<Waker>>,
    /// Where it is written to; none where somebody else writes what is taken.
    stream: Option<Rc<TcpStream>>,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// So much of `bytes` is a replay, which is bounded by itself and may exceed the queue's bound.
    replayed: usize,
    /// The first frame was written in part, so that it can't be left out any more.
    is_first_begun: bool,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Everything is with the kernel.
    All,
    /// The kernel takes no more for now.
    Blocked,
    /// The connection is broken.
    Failed,
}

impl Pipe {
    /// An empty pipe of at most so many waiting bytes, written to this stream or taken by [`Self::poll_frame`].
    pub fn new(bytes_max: usize, stream: Option<Rc<TcpStream>>) -> Rc<Self> {
        Rc::new(Self {
            bytes_max,
            queue: RefCell::default(),
            ending: Cell::new(None),
            task: RefCell::default(),
            stream,
        })
    }

    /// Bytes that wait.
    pub fn queued_bytes(&self) -> usize {
        self.queue.borrow().bytes
    }

    /// Queues a frame; ends the pipe if there is no room for it.
    pub fn push(&self, frame: Bytes) {
        if self.ending.get().is_some() {
            return;
        }
        // A burst within one turn is not the client's slowness: what the kernel takes now does not count.
        let has_room = || self.queue.borrow().has_room(&frame, self.bytes_max);
        if !has_room() {
            self.write_out();
            if !has_room() {
                return self.end_as_slow();
            }
        }
        self.queue.borrow_mut().push(frame);
        self.wake();
    }

    /// Queues the frames of a replay, which may be more than otherwise fits.
    pub fn push_replay(&self, frames: impl Iterator<Item = Bytes>) {
        if self.ending.get().is_some() {
            return;
        }
        let mut queue = self.queue.borrow_mut();
        for frame in frames {
            queue.replayed += frame.len();
            queue.push(frame);
        }
        drop(queue);
        self.wake();
    }

    /// Ends the pipe of a client that does not keep up.
    pub fn end_as_slow(&self) {
        let queued_bytes = self.queued_bytes();
        tracing::info!(queued_bytes, "a client does not keep up and is closed");
        self.end(Close::TooSlow);
    }

    /// Ends the pipe after what is queued; as too slow, at once. The first ending wins.
    pub fn end(&self, close: Close) {
        if self.ending.get().is_some() {
            return;
        }
        self.ending.set(Some(close));
        if close == Close::TooSlow {
            self.queue.borrow_mut().drop_unsent();
        }
        self.wake();
    }

    /// How it ends, if it does.
    pub fn ending(&self) -> Option<Close> {
        self.ending.get()
    }

    /// Queues the last frame, which the ending does not keep out.
    pub fn push_farewell(&self, frame: Bytes) {
        self.queue.borrow_mut().push(frame);
    }

    /// The next frame; none when the pipe has ended and everything was taken.
    pub fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(frame) = self.queue.borrow_mut().pop() {
            return Poll::Ready(Some(frame));
        }
        if self.ending.get().is_some() {
            return Poll::Ready(None);
        }
        self.task.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Ready when there is something to write, or the pipe is to end.
    pub fn poll_kicked(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ending.get().is_some() || !self.queue.borrow().frames.is_empty() {
            return Poll::Ready(());
        }
        self.task.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Ready when the pipe is to end: what its task looks at while the kernel takes no more.
    pub fn poll_ending(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ending.get().is_some() {
            return Poll::Ready(());
        }
        self.task.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Writes as far as the kernel takes it, all that waits in as few calls as possible.
    pub fn write_out(&self) -> Written {
        let Some(stream) = &self.stream else {
            return Written::Blocked;
        };
        let write = |slices: &[IoSlice<'_>]| stream.try_write_vectored(slices);
        self.queue.borrow_mut().write(write)
    }

    fn wake(&self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

impl Queue {
    /// A frame alone always fits: one page must not be unsendable.
    fn has_room(&self, frame: &Bytes, bytes_max: usize) -> bool {
        self.frames.is_empty() || self.bytes - self.replayed + frame.len() <= bytes_max
    }

    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> Option<Bytes> {
        let frame = self.frames.pop_front()?;
        self.took(frame.len());
        Some(frame)
    }

    fn took(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.replayed = self.replayed.min(self.bytes);
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }

    /// Forgets every frame that was not begun.
    fn drop_unsent(&mut self) {
        let begun = self.frames.pop_front().filter(|_| self.is_first_begun);
        self.bytes = begun.as_ref().map_or(0, Bytes::len);
        self.replayed = 0;
        self.frames = begun.into_iter().collect();
    }

    fn write(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> Written {
        while !self.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                *slice = IoSlice::new(frame);
            }
            let used = self.frames.len().min(SLICES_MAX);
            match write(slices.get(..used).unwrap_or(&slices)) {
                Ok(0) => return Written::Failed,
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Written::Failed,
            }
        }
        Written::All
    }

    /// Takes written bytes off the front.
    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.frames.front_mut() {
            if written < first.len() {
                first.advance(written);
                self.is_first_begun |= written > 0;
                return self.took(written);
            }
            written -= first.len();
            self.is_first_begun = false;
            self.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pipe(bytes_max: usize, frames: &[&'static str]) -> Rc<Pipe> {
        let pipe = Pipe::new(bytes_max, None);
        for frame in frames {
            pipe.push(Bytes::from_static(frame.as_bytes()));
        }
        pipe
    }

    fn taken(pipe: &Pipe) -> (String, bool) {
        let mut all = String::new();
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match pipe.poll_frame(&mut cx) {
                Poll::Ready(Some(frame)) => all.push_str(std::str::from_utf8(&frame).unwrap()),
                Poll::Ready(None) => return (all, true),
                Poll::Pending => return (all, false),
            }
        }
    }

    #[test]
    fn a_viewer_who_takes_nothing_is_ended_and_holds_nothing() {
        let pipe = pipe(8, &["four", "more"]);
        assert_eq!((pipe.queued_bytes(), pipe.ending()), (8, None));
        pipe.push(Bytes::from_static(b"!"));
        assert_eq!(
            (pipe.queued_bytes(), pipe.ending()),
            (0, Some(Close::TooSlow))
        );
        assert_eq!(taken(&pipe), (String::new(), true));
    }

    #[test]
    fn a_frame_larger_than_the_bound_goes_out_alone() {
        let pipe = pipe(3, &["a page"]);
        assert_eq!(taken(&pipe), ("a page".to_owned(), false));
    }

    #[test]
    fn a_replay_is_not_held_against_the_viewer() {
        let pipe = pipe(8, &["four"]);
        pipe.push_replay(
            ["a long replay"]
                .map(|f| Bytes::from_static(f.as_bytes()))
                .into_iter(),
        );
        pipe.push(Bytes::from_static(b"live"));
        assert_eq!(pipe.ending(), None);
        assert_eq!(taken(&pipe).0, "foura long replaylive");
        // Once it is out, the bound holds again.
        pipe.push(Bytes::from_static(b"12345678"));
        pipe.push(Bytes::from_static(b"9"));
        assert_eq!(pipe.ending(), Some(Close::TooSlow));
    }

    #[test]
    fn what_was_queued_before_the_end_still_goes_out_and_nothing_after_it() {
        let pipe = pipe(100, &["said"]);
        pipe.end(Close::GoingAway);
        pipe.end(Close::Policy);
        pipe.push(Bytes::from_static(b"unsaid"));
        assert_eq!(pipe.ending(), Some(Close::GoingAway));
        assert_eq!(taken(&pipe), ("said".to_owned(), true));
    }

    proptest! {
        #[test]
        fn any_partial_writes_keep_the_order_and_the_count(
            frames in proptest::collection::vec("[a-z]{1,30}", 0..100),
            rooms in proptest::collection::vec(0_usize..80, 0..30),
        ) {
            let mut queue = Queue::default();
            for frame in &frames {
                queue.push(Bytes::copy_from_slice(frame.as_bytes()));
            }
            let all = frames.concat();
            let mut sent = Vec::new();
            for mut room in rooms.into_iter().chain([usize::MAX]) {
                queue.write(|slices| {
                    if room == 0 {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                    let taken = all.len().min(room);
                    sent.extend_from_slice(&all[..taken]);
                    room -= taken;
                    Ok(taken)
                });
                prop_assert_eq!(queue.bytes, all.len() - sent.len());
            }
            prop_assert_eq!(sent, all.into_bytes());
        }
    }
}
