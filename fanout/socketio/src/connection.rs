//! A connection's state, shared by its task, its sockets and the flusher: what to write, who is connected, how it ends.
//! It promises that no method calls the host or waits, and that the first ending wins. How packets are read is the driver's.

use std::{
    cell::{Cell, RefCell},
    io::IoSlice,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use actix_rt::net::TcpStream;
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::{
    close::{DisconnectReason, Ending},
    engine,
    host::Handshake,
    outbox::{Outbox, Written},
    packet::Packet,
    socket::Socket,
    websocket,
    worker::Worker,
};

/// What a namespace is to one connection.
#[derive(Debug, Clone, Default)]
pub(crate) enum Slot {
    /// Never connected, refused, or left by the client.
    #[default]
    Vacant,
    /// The host is looking at a CONNECT.
    Pending,
    Connected(Socket),
    /// Left by the server: what the client sent before it learned of that is passed over.
    Dismissed,
}

/// One open transport.
pub(crate) struct Connection {
    number: u64,
    worker: Rc<Worker>,
    handshake: Rc<Handshake>,
    io: RefCell<Io>,
    slots: RefCell<Box<[Slot]>>,
    /// Sockets that have ended and whose host does not know yet.
    departed: RefCell<Vec<(Socket, DisconnectReason)>>,
    ending: Cell<Option<Ending>>,
    is_dirty: Cell<bool>,
    is_blocked: Cell<bool>,
    is_kicked: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

struct Io {
    /// Gone as soon as the task has ended, however long sockets are held.
    stream: Option<TcpStream>,
    outbox: Outbox,
}

impl Connection {
    pub(crate) fn new(worker: &Rc<Worker>, handshake: Handshake, stream: TcpStream) -> Rc<Self> {
        let slots = vec![Slot::Vacant; worker.config.namespaces.len()];
        let connection = Rc::new(Self {
            number: worker.number(),
            worker: Rc::clone(worker),
            handshake: Rc::new(handshake),
            io: RefCell::new(Io {
                stream: Some(stream),
                outbox: Outbox::default(),
            }),
            slots: RefCell::new(slots.into_boxed_slice()),
            departed: RefCell::default(),
            ending: Cell::new(None),
            is_dirty: Cell::new(false),
            is_blocked: Cell::new(false),
            is_kicked: Cell::new(false),
            task: RefCell::default(),
        });
        worker.admit(&connection);
        connection
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    pub(crate) fn handshake(&self) -> &Rc<Handshake> {
        &self.handshake
    }

    pub(crate) fn namespace(&self, place: usize) -> &str {
        self.worker
            .config
            .namespaces
            .get(place)
            .map_or("/", String::as_str)
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.io.borrow().outbox.bytes()
    }

    // --- writing

    /// Queues a whole WebSocket frame and puts the connection on the flusher's list.
    pub(crate) fn queue(self: &Rc<Self>, frame: Bytes) {
        if self.is_ending() {
            return;
        }
        let bytes_max = self.worker.config.queue_bytes_max;
        // A burst within one turn is not the client's slowness: what the kernel takes now does not count.
        if !self.io.borrow().outbox.has_room(&frame, bytes_max) {
            self.write_out();
            if !self.io.borrow().outbox.has_room(&frame, bytes_max) {
                self.end(DisconnectReason::TooSlow.into());
                return;
            }
        }
        self.worker.stats.on_queued(frame.len());
        self.push(frame);
    }

    /// Queues a Socket.IO packet.
    pub(crate) fn queue_packet(self: &Rc<Self>, packet: &Packet<'_>) {
        self.queue(websocket::text_frame(&[
            engine::MESSAGE,
            &packet.to_string(),
        ]));
    }

    /// Queues the last frame, which the ending does not keep out.
    pub(crate) fn queue_farewell(self: &Rc<Self>, frame: Bytes) {
        self.push(frame);
    }

    fn push(self: &Rc<Self>, frame: Bytes) {
        self.io.borrow_mut().outbox.push(frame);
        if !self.is_blocked.get() && !self.is_dirty.replace(true) {
            self.worker.on_dirty(Rc::clone(self));
        }
    }

    /// Writes what is queued: the connection is off the flusher's list.
    pub(crate) fn flush(&self) {
        self.is_dirty.set(false);
        self.write_out();
    }

    /// Writes as far as the kernel takes it; the rest goes out when the task finds the stream writable.
    pub(crate) fn write_out(&self) {
        let written = {
            let mut io = self.io.borrow_mut();
            let Io { stream, outbox } = &mut *io;
            let Some(stream) = stream else { return };
            outbox.write(Instant::now, |slices| try_write(stream, slices))
        };
        let was_blocked = self.is_blocked.replace(written == Written::Blocked);
        match written {
            Written::All => {}
            Written::Blocked if was_blocked => {}
            // The task has to watch for writability and for the write deadline.
            Written::Blocked => self.kick(),
            Written::Failed => self.end(DisconnectReason::TransportError.into()),
        }
    }

    /// Since when the client has taken nothing of what waits for it.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.io.borrow().outbox.stalled_since()
    }

    // --- ending

    /// Decides how this transport ends, unless that is decided; its task does the rest.
    pub(crate) fn end(&self, ending: Ending) {
        if self.is_ending() {
            return;
        }
        self.ending.set(Some(ending));
        if ending.reason == DisconnectReason::TooSlow {
            self.io.borrow_mut().outbox.drop_unsent();
        }
        self.kick();
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending.get()
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get().is_some()
    }

    /// Ends one namespace; the host hears of it from the task.
    pub(crate) fn dismiss(&self, place: usize, reason: DisconnectReason) {
        let next = match reason {
            DisconnectReason::ServerLeft => Slot::Dismissed,
            _ => Slot::Vacant,
        };
        if let Slot::Connected(socket) = self.set_slot(place, next) {
            socket.shut();
            self.worker.stats.on_disconnected();
            self.departed.borrow_mut().push((socket, reason));
            self.kick();
        }
    }

    /// Ends every namespace.
    pub(crate) fn dismiss_all(&self, reason: DisconnectReason) {
        for place in 0..self.worker.config.namespaces.len() {
            self.dismiss(place, reason);
        }
    }

    /// The next socket that has ended and whose host does not know yet.
    pub(crate) fn take_departed(&self) -> Option<(Socket, DisconnectReason)> {
        let mut departed = self.departed.borrow_mut();
        if departed.is_empty() {
            return None;
        }
        Some(departed.remove(0))
    }

    /// Gives everything back that the transport held, when its task ends.
    pub(crate) fn release(&self) {
        let ending = self.ending.get();
        let reason = ending.map_or(DisconnectReason::TransportError, |ending| ending.reason);
        self.end(reason.into());
        self.dismiss_all(reason);
        self.departed.take();
        self.task.take();
        self.io.replace(Io {
            stream: None,
            outbox: Outbox::default(),
        });
        self.worker.release(self, reason);
    }

    // --- namespaces

    pub(crate) fn slot(&self, place: usize) -> Slot {
        self.slots.borrow().get(place).cloned().unwrap_or_default()
    }

    pub(crate) fn set_slot(&self, place: usize, slot: Slot) -> Slot {
        match self.slots.borrow_mut().get_mut(place) {
            Some(found) => std::mem::replace(found, slot),
            None => Slot::Vacant,
        }
    }

    pub(crate) fn has_connected(&self) -> bool {
        self.slots
            .borrow()
            .iter()
            .any(|slot| matches!(slot, Slot::Connected(_)))
    }

    // --- the task's side

    /// Wakes the task for something that is no I/O.
    fn kick(&self) {
        self.is_kicked.set(true);
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// Ready once after each kick.
    pub(crate) fn poll_kicked(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut task = self.task.borrow_mut();
        match &mut *task {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *task = Some(cx.waker().clone()),
        }
        if self.is_kicked.replace(false) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Ready when a blocked connection takes bytes again; pending for ever while it is not blocked.
    pub(crate) fn poll_unblocked(&self, cx: &mut Context<'_>) -> Poll<()> {
        let io = self.io.borrow();
        match &io.stream {
            // An error shows itself at the write that follows.
            Some(stream) if self.is_blocked.get() => stream.poll_write_ready(cx).map(drop),
            _ => Poll::Pending,
        }
    }

    /// Reads into the worker's scratch buffer: how many bytes, 0 at the end of the stream.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        let Some(stream) = &mut io.stream else {
            return Poll::Ready(Ok(0));
        };
        let mut scratch = self.worker.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Ready when everything queued is written.
    pub(crate) fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.write_out();
            if self.io.borrow().outbox.is_empty() || !self.is_blocked.get() {
                return Poll::Ready(());
            }
            ready!(self.poll_unblocked(cx));
        }
    }

    /// Ends our half of the stream: the peer reads to its end and closes the other.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.io.borrow_mut().stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// One frame needs no vector, and the plain call is the cheaper one.
fn try_write(stream: &TcpStream, slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
    match slices {
        [only] => stream.try_write(only),
        all => stream.try_write_vectored(all),
    }
}
