//! What waits to be written to one connection: frames in order, counted in bytes. Also for whoever serves a plain
//! WebSocket or a stream beside Socket.IO.
//! It promises to write all that the kernel takes with as few calls as possible and to never tear a frame apart.
//! It knows neither the socket nor the clock beyond the moments that it is given.

use std::{collections::VecDeque, io, io::IoSlice};

use bytes::{Buf, Bytes};
use tokio::time::Instant;

use crate::websocket;

/// Frames of one vectored write. Ten pending events a socket is a burst; 1 KiB of slices stays on the stack.
const SLICES_MAX: usize = 64;

/// Places kept for the next frames when all is written. Half a KiB of a quiet connection saves a burst of ten its
/// growing and shrinking, which is a third of what it costs here.
const PLACES_KEPT: usize = 16;

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

/// The queue of one connection. It is bounded by whoever asks [`Outbox::has_room`] before each push.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// The first frame was written in part, so that it can't be left out any more.
    is_first_begun: bool,
    stalled_since: Option<Instant>,
}

impl Outbox {
    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Since when the kernel has taken nothing.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    /// Whether a frame fits beside what waits. A frame alone always fits: one page must not be unsendable.
    pub fn has_room(&self, frame: &Bytes, bytes_max: usize) -> bool {
        self.frames.is_empty() || self.bytes + frame.len() <= bytes_max
    }

    /// Queues a frame behind all others.
    pub fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Queues the rest of a frame that was written in part while nothing waited.
    pub(crate) fn push_rest(&mut self, rest: Bytes) {
        self.is_first_begun = self.frames.is_empty();
        self.push(rest);
    }

    /// Forgets every frame that was not begun, and gives the memory back.
    pub fn drop_unsent(&mut self) {
        let begun = self.frames.pop_front().filter(|_| self.is_first_begun);
        self.bytes = begun.as_ref().map_or(0, Bytes::len);
        self.frames = begun.into_iter().collect();
    }

    /// Takes the first frame out, for who writes it otherwise.
    pub fn pop(&mut self) -> Option<Bytes> {
        let first = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(first.len());
        self.is_first_begun = false;
        if self.frames.is_empty() && self.frames.capacity() > PLACES_KEPT {
            self.frames = VecDeque::new();
        }
        Some(first)
    }

    /// Takes at most so many frames out: for a poll, whose answer takes them whole. What was queued as one may be several.
    pub(crate) fn take(&mut self, frames_max: usize) -> Vec<Bytes> {
        let mut taken = Vec::new();
        while let Some(first) = self.frames.front_mut().filter(|_| taken.len() < frames_max) {
            let length = websocket::first_length(first).unwrap_or(first.len());
            let frame = first.split_to(length.min(first.len()));
            if first.is_empty() {
                self.frames.pop_front();
            }
            self.bytes = self.bytes.saturating_sub(frame.len());
            taken.push(frame);
        }
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
        taken
    }

    /// Writes until all is written or the kernel takes no more: `try_write` is called with the bytes of as many frames as
    /// fit into one call, and says how many of them it took.
    pub fn write(
        &mut self,
        now: impl FnOnce() -> Instant,
        mut try_write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Written {
        while !self.frames.is_empty() {
            match self.write_once(&mut try_write) {
                Ok(0) => return Written::Failed,
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stalled_since.get_or_insert_with(now);
                    return Written::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Written::Failed,
            }
        }
        if self.frames.capacity() > PLACES_KEPT {
            self.frames = VecDeque::new();
        }
        Written::All
    }

    fn write_once(
        &self,
        try_write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        // By far the most writes are of one frame; a kilobyte of empty slices would cost more than all else here.
        if let (Some(only), 1) = (self.frames.front(), self.frames.len()) {
            return try_write(&[IoSlice::new(only)]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(frame);
        }
        let used = self.frames.len().min(SLICES_MAX);
        try_write(slices.get(..used).unwrap_or(&slices))
    }

    /// Takes written bytes off the front.
    fn advance(&mut self, mut written: usize) {
        self.stalled_since = None;
        self.bytes = self.bytes.saturating_sub(written);
        while let Some(first) = self.frames.front_mut() {
            if written < first.len() {
                first.advance(written);
                self.is_first_begun |= written > 0;
                return;
            }
            written -= first.len();
            self.is_first_begun = false;
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outbox(frames: &[&'static str]) -> Outbox {
        let mut outbox = Outbox::default();
        for frame in frames {
            outbox.push(Bytes::from_static(frame.as_bytes()));
        }
        outbox
    }

    /// A kernel that takes so many bytes and then no more.
    fn kernel(
        mut room: usize,
        sink: &mut Vec<u8>,
    ) -> impl FnMut(&[IoSlice<'_>]) -> io::Result<usize> {
        move |slices| {
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let taken = all.len().min(room);
            sink.extend_from_slice(&all[..taken]);
            room -= taken;
            Ok(taken)
        }
    }

    #[test]
    fn all_that_waits_goes_out_in_one_call() {
        let mut calls = 0;
        let written = outbox(&["ab", "cd", "e"]).write(Instant::now, |slices| {
            calls += 1;
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        assert_eq!((written, calls), (Written::All, 1));
    }

    #[test]
    fn a_frame_that_was_begun_survives_when_the_rest_is_dropped() {
        let mut sent = Vec::new();
        let mut outbox = outbox(&["abc", "def", "ghi"]);
        assert_eq!(
            outbox.write(Instant::now, kernel(4, &mut sent)),
            Written::Blocked
        );
        outbox.drop_unsent();
        assert_eq!(outbox.bytes(), 2);
        assert_eq!(
            outbox.write(Instant::now, kernel(100, &mut sent)),
            Written::All
        );
        assert_eq!(sent, b"abcdef");
    }

    #[test]
    fn frames_that_were_not_begun_are_all_dropped() {
        let mut sent = Vec::new();
        let mut outbox = outbox(&["abc", "def"]);
        assert_eq!(
            outbox.write(Instant::now, kernel(3, &mut sent)),
            Written::Blocked
        );
        outbox.drop_unsent();
        assert!(outbox.is_empty() && outbox.bytes() == 0);
    }

    #[test]
    fn a_frame_alone_fits_and_others_are_counted() {
        let big = Bytes::from_static(&[0; 100]);
        let mut outbox = Outbox::default();
        assert!(outbox.has_room(&big, 10));
        outbox.push(Bytes::from_static(b"12345"));
        assert!(outbox.has_room(&Bytes::from_static(b"12345"), 10));
        assert!(!outbox.has_room(&Bytes::from_static(b"123456"), 10));
    }

    #[test]
    fn only_a_kernel_that_takes_nothing_counts_as_stalled() {
        let mut sent = Vec::new();
        let mut outbox = outbox(&["abcdef"]);
        let start = Instant::now();
        assert_eq!(
            outbox.write(|| start, kernel(0, &mut sent)),
            Written::Blocked
        );
        let later = start + std::time::Duration::from_secs(1);
        assert_eq!(
            outbox.write(|| later, kernel(0, &mut sent)),
            Written::Blocked
        );
        assert_eq!(outbox.stalled_since(), Some(start));
        assert_eq!(
            outbox.write(|| later, kernel(1, &mut sent)),
            Written::Blocked
        );
        assert_eq!(outbox.stalled_since(), Some(later));
        assert_eq!(outbox.write(|| later, kernel(9, &mut sent)), Written::All);
        assert_eq!(outbox.stalled_since(), None);
    }

    #[test]
    fn frames_are_taken_one_by_one_however_they_were_queued() {
        let frames = ["a", "b", "c"].map(|text| websocket::text_frame(&[text]));
        let mut outbox = Outbox::default();
        outbox.push(frames[..2].concat().into());
        outbox.push(frames[2].clone());
        assert_eq!(outbox.take(1), frames[..1]);
        assert_eq!(outbox.bytes(), 6);
        assert_eq!(outbox.take(9), frames[1..]);
        assert!(outbox.is_empty() && outbox.bytes() == 0);
    }

    #[test]
    fn a_broken_connection_fails() {
        let broken = outbox(&["a"]).write(Instant::now, |_| Err(io::ErrorKind::BrokenPipe.into()));
        assert_eq!(broken, Written::Failed);
        assert_eq!(
            outbox(&["a"]).write(Instant::now, |_| Ok(0)),
            Written::Failed
        );
    }

    proptest! {
        #[test]
        fn any_partial_writes_keep_the_order_and_the_count(
            frames in proptest::collection::vec("[a-z]{1,30}", 0..100),
            rooms in proptest::collection::vec(0_usize..80, 0..30),
        ) {
            let mut outbox = Outbox::default();
            for frame in &frames {
                outbox.push(Bytes::copy_from_slice(frame.as_bytes()));
            }
            let all = frames.concat();
            let mut sent = Vec::new();
            for room in rooms.into_iter().chain([usize::MAX]) {
                outbox.write(Instant::now, kernel(room, &mut sent));
                prop_assert_eq!(outbox.bytes(), all.len() - sent.len());
            }
            prop_assert_eq!(sent, all.into_bytes());
            prop_assert!(outbox.is_empty());
        }
    }
}
