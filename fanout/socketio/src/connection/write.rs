//! The way out of a session: frames are queued, counted against the client's bound, and leave in as few calls as
//! possible. A replay may be larger than the bound: it waits in a backlog and goes on as the client takes it.

use std::{
    collections::VecDeque,
    io::IoSlice,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_rt::net::TcpStream;
use bytes::Bytes;
use socket2::SockRef;
use tokio::time::Instant;

use super::{Connection, Io, Transport};
use crate::{close::DisconnectReason, engine, outbox::Written, packet::Packet, websocket};

/// So much of a replay waits for one client at a time (decided with the project's recovery sessions): several reads of
/// a browser, and little beside the bound of the queue.
const SLICE_BYTES: usize = 64 * 1024;

/// A replay that is not written yet, and what was sent after it.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    frames: VecDeque<Bytes>,
    /// So many of the first frames are of replays.
    replayed: usize,
    /// Bytes of all others.
    live_bytes: usize,
}

impl Backlog {
    fn pop(&mut self) -> Option<Bytes> {
        let frame = self.frames.pop_front()?;
        match self.replayed.checked_sub(1) {
            Some(left) => self.replayed = left,
            None => self.live_bytes -= frame.len(),
        }
        Some(frame)
    }

    /// A replay that follows what waits; from here on that is part of it.
    fn extend(&mut self, frames: impl Iterator<Item = Bytes>) {
        self.frames.extend(frames);
        self.replayed = self.frames.len();
        self.live_bytes = 0;
    }
}

impl Connection {
    /// Bytes that wait, those of a replay left out.
    pub(crate) fn queued_bytes(&self) -> usize {
        let io = self.io.borrow();
        io.outbox.bytes() + io.backlog.as_ref().map_or(0, |backlog| backlog.live_bytes)
    }

    /// Queues whole WebSocket frames and puts the connection on the flusher's list.
    pub(crate) fn queue(self: &Rc<Self>, frame: Bytes) {
        if self.put(frame) {
            self.mark_dirty();
        }
    }

    /// Queues whole WebSocket frames; whether somebody has to write them.
    fn put(self: &Rc<Self>, frame: Bytes) -> bool {
        if self.is_ending() {
            return false;
        }
        if !self.has_room(&frame) {
            // A burst within one turn is not the client's slowness: what the kernel takes now does not count.
            self.write_out();
            if !self.has_room(&frame) {
                self.end(DisconnectReason::TooSlow.into());
                return false;
            }
        }
        self.worker.stats.on_queued(frame.len());
        let mut io = self.io.borrow_mut();
        if let Some(backlog) = &mut io.backlog {
            backlog.live_bytes += frame.len();
            backlog.frames.push_back(frame);
            return false;
        }
        io.outbox.push(frame);
        true
    }

    /// The same for one of many: it is written at once, unless something was in this beat. Then it waits for the next
    /// one, together with whatever comes until then: in a burst a call for each event would cost more than all the rest.
    pub(crate) fn send(self: &Rc<Self>, frame: &Bytes) {
        if self.is_blocked.get() || self.is_ending() {
            return self.queue(frame.clone());
        }
        let beat = self.worker.beat();
        if self.written_in.replace(beat) == beat {
            if self.put(frame.clone()) && self.becomes_dirty() {
                self.worker.on_late(Rc::clone(self));
            }
            return;
        }
        let io = self.io.borrow();
        let written = match &io.transport {
            Transport::WebSocket(stream) if io.outbox.is_empty() && io.backlog.is_none() => {
                // Not through tokio: whether the stream is writable is asked of the kernel here, which is one look into
                // memory less. What it refuses goes the ordinary way.
                SockRef::from(stream).send(frame).ok()
            }
            _ => None,
        };
        drop(io);
        match written {
            Some(written) if written == frame.len() => self.worker.stats.on_queued(written),
            Some(written) if written > 0 => {
                self.worker.stats.on_queued(frame.len());
                let rest = frame.slice(written..);
                self.io.borrow_mut().outbox.push_rest(rest);
                self.write_out();
            }
            // Whatever went wrong goes wrong again, where it is looked at.
            _ => self.queue(frame.clone()),
        }
    }

    fn has_room(&self, frame: &Bytes) -> bool {
        let bytes_max = self.worker.config().queue_bytes_max;
        let io = self.io.borrow();
        match &io.backlog {
            Some(backlog) => backlog.live_bytes + frame.len() <= bytes_max,
            None => io.outbox.has_room(frame, bytes_max),
        }
    }

    /// Queues a replay, which may be larger than the bound and is written slice by slice. What is queued afterwards
    /// follows it.
    pub(crate) fn queue_replay(self: &Rc<Self>, frames: impl Iterator<Item = Bytes>) {
        if self.is_ending() {
            return;
        }
        let mut io = self.io.borrow_mut();
        let backlog = io.backlog.get_or_insert_default();
        let stats = &self.worker.stats;
        backlog.extend(frames.inspect(|frame| stats.on_queued(frame.len())));
        refill(&mut io);
        drop(io);
        self.mark_dirty();
    }

    /// Queues a packet of Engine.IO itself, or the last frame, which nothing keeps out.
    pub(crate) fn queue_control(self: &Rc<Self>, frame: Bytes) {
        self.io.borrow_mut().outbox.push(frame);
        self.mark_dirty();
    }

    /// Queues a Socket.IO packet.
    pub(crate) fn queue_packet(self: &Rc<Self>, packet: &Packet<'_>) {
        self.queue(websocket::text_frame(&[
            engine::MESSAGE,
            &packet.to_string(),
        ]));
    }

    pub(super) fn mark_dirty(self: &Rc<Self>) {
        if self.becomes_dirty() {
            self.worker.on_dirty(Rc::clone(self));
        }
    }

    /// Whether it is to be put on one of the flusher's lists: it is on none, and the kernel takes more.
    fn becomes_dirty(&self) -> bool {
        !self.is_blocked.get() && !self.is_dirty.replace(true)
    }

    /// Writes what is queued: the connection is off the flusher's list.
    pub(crate) fn flush(self: &Rc<Self>) {
        self.is_dirty.set(false);
        self.written_in.set(self.worker.beat());
        self.write_out();
    }

    /// Writes as far as the kernel, or a waiting poll, takes it; the rest goes out when the task finds the stream
    /// writable, or with the next poll.
    pub(crate) fn write_out(self: &Rc<Self>) {
        let mut io = self.io.borrow_mut();
        let Io {
            transport, outbox, ..
        } = &mut *io;
        let written = match transport {
            Transport::WebSocket(stream) => {
                outbox.write(Instant::now, |slices| try_write(stream, slices))
            }
            Transport::Polling(polling) => polling.write(outbox),
            Transport::Gone => return,
        };
        let has_more = written == Written::All && refill(&mut io);
        let is_websocket = matches!(io.transport, Transport::WebSocket(_));
        drop(io);
        let is_blocked = is_websocket && written == Written::Blocked;
        let was_blocked = self.is_blocked.replace(is_blocked);
        match written {
            Written::All if has_more => self.mark_dirty(),
            // The task has to watch for writability and for the write deadline.
            Written::Blocked if is_blocked && !was_blocked => self.kick(),
            Written::All | Written::Blocked => {}
            Written::Failed => self.end(DisconnectReason::TransportError.into()),
        }
    }

    /// Since when the client has taken nothing of what waits for it.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.io.borrow().outbox.stalled_since()
    }

    /// Ready when everything queued is written, or nothing more can be.
    pub(crate) fn poll_flushed(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.write_out();
            let is_empty = self.io.borrow().outbox.is_empty();
            if is_empty {
                return Poll::Ready(());
            }
            if !self.is_websocket() {
                // A poll that comes kicks.
                ready!(self.poll_kicked(cx));
                continue;
            }
            if !self.is_blocked.get() {
                return Poll::Ready(());
            }
            ready!(self.poll_unblocked(cx));
        }
    }
}

/// Moves the next slice of a backlog into an outbox that is empty; whether there is something to write.
fn refill(io: &mut Io) -> bool {
    let Some(backlog) = &mut io.backlog else {
        return false;
    };
    while io.outbox.bytes() < SLICE_BYTES {
        let Some(frame) = backlog.pop() else {
            io.backlog = None;
            break;
        };
        io.outbox.push(frame);
    }
    !io.outbox.is_empty()
}

/// One frame needs no vector, and the plain call is the cheaper one.
fn try_write(stream: &TcpStream, slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
    match slices {
        [only] => stream.try_write(only),
        all => stream.try_write_vectored(all),
    }
}
