//! What waits for one viewer of a plain WebSocket or an event stream: bytes in order, bounded.
//!
//! Sending only queues; events that follow a write within its beat are written together. When more waits than
//! the bound allows, and the kernel takes none of it at once, the pipe ends as too slow and forgets what it held: the
//! client comes back and resumes. Stays on its worker's thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_rt::net::TcpStream;
use actix_socketio::{Close, Outbox, Written};
use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::beats::Beats;

/// Bytes of one run of frames that somebody else writes: what actix buffers before it writes.
const RUN_BYTES: usize = 32 * 1024;

/// The queue of one viewer, shared by its task and its link.
#[derive(Debug)]
pub struct Pipe {
    bytes_max: usize,
    outbox: RefCell<Outbox>,
    /// So many of the first bytes are a replay, which is bounded by itself and may exceed the queue's bound.
    replayed: Cell<usize>,
    ending: Cell<Option<Close>>,
    task: RefCell<Option<Waker>>,
    beats: Rc<Beats>,
    /// The last beat in which something was written.
    written_in: Cell<u64>,
    /// What waits is to be written now.
    is_due: Cell<bool>,
    /// The next beat is waited for.
    is_late: Cell<bool>,
    /// Where it is written to; none where somebody else writes what is taken.
    stream: Option<Rc<TcpStream>>,
}

impl Pipe {
    /// An empty pipe of at most so many waiting bytes, written to this stream or taken by [`Self::poll_run`].
    pub fn new(bytes_max: usize, stream: Option<Rc<TcpStream>>, beats: Rc<Beats>) -> Rc<Self> {
        Rc::new(Self {
            bytes_max,
            outbox: RefCell::default(),
            replayed: Cell::default(),
            ending: Cell::new(None),
            task: RefCell::default(),
            beats,
            written_in: Cell::new(0),
            is_due: Cell::new(false),
            is_late: Cell::new(false),
            stream,
        })
    }

    /// Bytes that wait.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.borrow().bytes()
    }

    /// Queues a frame, to be written now; ends the pipe if there is no room for it.
    pub fn push(&self, frame: Bytes) {
        self.queue(frame);
        self.on_due();
    }

    /// Queues the frame of an event, to be written in the next beat if something was in this one; ends the pipe if there
    /// is no room for it.
    pub fn tell(self: &Rc<Self>, frame: Bytes) {
        self.queue(frame);
        // What is as much as a write takes gains nothing by waiting.
        if self.written_in.get() < self.beats.number() || self.queued_bytes() >= RUN_BYTES {
            self.on_due();
        } else if !self.is_late.replace(true) {
            self.beats.on_late(self.clone());
        }
    }

    /// The next beat has begun.
    pub fn on_beat(&self) {
        self.is_late.set(false);
        if !self.outbox.borrow().is_empty() {
            self.on_due();
        }
    }

    fn queue(&self, frame: Bytes) {
        if self.ending.get().is_some() {
            return;
        }
        // A burst within one turn is not the client's slowness: what the kernel takes now does not count.
        if !self.has_room(&frame) {
            self.write_out();
            if !self.has_room(&frame) {
                return self.end_as_slow();
            }
        }
        self.outbox.borrow_mut().push(frame);
    }

    /// Queues the frames of a replay, which may be more than otherwise fits.
    pub fn push_replay(&self, frames: impl Iterator<Item = Bytes>) {
        if self.ending.get().is_some() {
            return;
        }
        let mut outbox = self.outbox.borrow_mut();
        frames.for_each(|frame| outbox.push(frame));
        // What waited before it goes out before it, and counts as a part of it.
        self.replayed.set(outbox.bytes());
        drop(outbox);
        self.on_due();
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
            self.outbox.borrow_mut().drop_unsent();
        }
        self.wake();
    }

    /// How it ends, if it does.
    pub fn ending(&self) -> Option<Close> {
        self.ending.get()
    }

    /// Queues the last frame, which the ending does not keep out.
    pub fn push_farewell(&self, frame: Bytes) {
        self.outbox.borrow_mut().push(frame);
    }

    /// The next frames, as one run of bytes; none when the pipe has ended and everything was taken.
    pub fn poll_run(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if (self.is_due.get() || self.ending.get().is_some())
            && let Some(run) = self.take_run()
        {
            self.took(run.len());
            self.written_in.set(self.beats.look());
            return Poll::Ready(Some(run));
        }
        self.is_due.set(false);
        if self.ending.get().is_some() {
            return Poll::Ready(None);
        }
        self.task.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn take_run(&self) -> Option<Bytes> {
        let mut outbox = self.outbox.borrow_mut();
        let first = outbox.pop()?;
        if outbox.is_empty() {
            return Some(first);
        }
        let mut run = BytesMut::with_capacity(first.len() + outbox.bytes().min(RUN_BYTES));
        run.extend_from_slice(&first);
        while run.len() < RUN_BYTES
            && let Some(next) = outbox.pop()
        {
            run.extend_from_slice(&next);
        }
        Some(run.freeze())
    }

    /// Ready when there is something to write now, or the pipe is to end.
    pub fn poll_kicked(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ending.get().is_some() || self.is_due.get() {
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
        let mut outbox = self.outbox.borrow_mut();
        let before = outbox.bytes();
        let written = outbox.write(Instant::now, |slices| stream.try_write_vectored(slices));
        self.took(before - outbox.bytes());
        if written == Written::All {
            self.is_due.set(false);
        }
        if before > 0 {
            self.written_in.set(self.beats.look());
        }
        written
    }

    fn has_room(&self, frame: &Bytes) -> bool {
        let bytes_max = self.bytes_max + self.replayed.get();
        self.outbox.borrow().has_room(frame, bytes_max)
    }

    /// So many bytes have gone out.
    fn took(&self, bytes: usize) {
        self.replayed.set(self.replayed.get().saturating_sub(bytes));
    }

    fn on_due(&self) {
        self.is_due.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe(bytes_max: usize, frames: &[&'static str]) -> Rc<Pipe> {
        let pipe = Pipe::new(bytes_max, None, Beats::new());
        for frame in frames {
            pipe.push(Bytes::from_static(frame.as_bytes()));
        }
        pipe
    }

    /// What can be taken now, run by run.
    fn runs(pipe: &Pipe) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut runs = Vec::new();
        while let Poll::Ready(Some(run)) = pipe.poll_run(&mut cx) {
            runs.push(String::from_utf8(run.to_vec()).unwrap());
        }
        runs
    }

    /// All that can be taken now, and whether the pipe has ended after it.
    fn taken(pipe: &Pipe) -> (String, bool) {
        let all = runs(pipe).concat();
        let mut cx = Context::from_waker(Waker::noop());
        (all, pipe.poll_run(&mut cx).is_ready())
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

    fn event(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn events_of_one_beat_go_out_together_when_the_next_begins() {
        let beats = Beats::new();
        let pipe = Pipe::new(1_000_000, None, beats.clone());
        let ((), ()) = tokio::join!(
            async {
                pipe.tell(event("first"));
                assert_eq!(runs(&pipe), ["first"]);
                pipe.tell(event("second"));
                pipe.tell(event("third"));
                assert_eq!(runs(&pipe), [""; 0]);
                std::future::poll_fn(|cx| pipe.poll_kicked(cx)).await;
                assert_eq!(runs(&pipe), ["secondthird"]);
            },
            async {
                tokio::select! {
                    () = beats.run() => {}
                    () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
                }
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_takes_the_events_before_it_along() {
        let pipe = Pipe::new(1_000_000, None, Beats::new());
        pipe.push(event("answer"));
        assert_eq!(runs(&pipe), ["answer"]);
        pipe.tell(event("event"));
        assert_eq!(runs(&pipe), [""; 0]);
        pipe.push(event("answer"));
        assert_eq!(runs(&pipe), ["eventanswer"]);
    }

    #[tokio::test(start_paused = true)]
    async fn much_does_not_wait_and_goes_out_in_runs() {
        let pipe = Pipe::new(1_000_000, None, Beats::new());
        pipe.push(event("answer"));
        assert_eq!(runs(&pipe).len(), 1);
        let half = Bytes::from(vec![b'x'; RUN_BYTES / 2]);
        pipe.tell(half.clone());
        assert!(runs(&pipe).is_empty());
        for _ in 0..3 {
            pipe.tell(half.clone());
        }
        let lengths: Vec<usize> = runs(&pipe).iter().map(String::len).collect();
        assert_eq!(lengths, [RUN_BYTES, RUN_BYTES]);
    }
}
