//! A session's state, shared by its task, its sockets and the flusher: what to write, who is connected, how it ends.
//! It promises that no method calls the host or waits, and that the first ending wins. How packets are read is the
//! driver's; `write.rs` has the way out, `polling.rs` what a session without a WebSocket does instead of reading.

mod polling;
mod write;

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use actix_rt::net::TcpStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::{
    close::{DisconnectReason, Ending},
    engine::{Protocol, payload::Form},
    host::Handshake,
    outbox::Outbox,
    server::Slot as Place,
    socket::Socket,
    websocket::Reader,
    worker::Worker,
};
use polling::Polling;
pub(crate) use polling::{PollAnswer, Post, PostAnswer, PostBody, Posted};
use write::Backlog;

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

/// One open session, whatever carries it.
pub(crate) struct Connection {
    sid: Rc<str>,
    protocol: Protocol,
    worker: Rc<Worker>,
    handshake: Rc<Handshake>,
    io: RefCell<Io>,
    slots: RefCell<Box<[Slot]>>,
    /// Sockets that have ended and whose host does not know yet.
    departed: RefCell<Vec<(Socket, DisconnectReason)>>,
    ending: Cell<Option<Ending>>,
    is_dirty: Cell<bool>,
    /// The [beat](Worker::beat) in which something was written last.
    written_in: Cell<u64>,
    is_blocked: Cell<bool>,
    is_kicked: Cell<bool>,
    /// An upgrade is being tried, or was made.
    is_upgrade_claimed: Cell<bool>,
    /// When the client is gone for want of a heartbeat: an answer that comes later is too late, whoever sees it first.
    dead_at: Cell<Option<Instant>>,
    post: RefCell<Option<Post>>,
    /// What an upgrade has read beyond its own packets.
    handed_over: RefCell<Option<Box<Reader>>>,
    task: RefCell<Option<Waker>>,
    /// Counts as one open connection until its task ends, however long sockets are held.
    place: Cell<Option<Place>>,
}

struct Io {
    transport: Transport,
    outbox: Outbox,
    backlog: Option<Box<Backlog>>,
}

/// What carries a session.
enum Transport {
    WebSocket(TcpStream),
    Polling(Box<Polling>),
    /// The task has ended, however long sockets are held.
    Gone,
}

/// What a session begins with.
pub(crate) struct Opening {
    pub(crate) protocol: Protocol,
    pub(crate) handshake: Handshake,
    pub(crate) place: Place,
    /// None where the client polls.
    pub(crate) stream: Option<TcpStream>,
    /// Whether a client of revision 3 that polls can read bytes.
    pub(crate) has_binary: bool,
}

impl Connection {
    pub(crate) fn open(worker: &Rc<Worker>, opening: Opening) -> Rc<Self> {
        let form = match opening.protocol {
            Protocol::V4 => Form::V4,
            Protocol::V3 => Form::V3 {
                has_binary: opening.has_binary,
            },
        };
        let is_upgrade_claimed = opening.stream.is_some();
        let transport = if let Some(stream) = opening.stream {
            Transport::WebSocket(stream)
        } else {
            worker.stats.on_polling();
            Transport::Polling(Box::new(Polling::new(form)))
        };
        let slots = vec![Slot::Vacant; worker.config().namespaces.len()];
        let connection = Rc::new(Self {
            sid: worker.new_sid(),
            protocol: opening.protocol,
            worker: Rc::clone(worker),
            handshake: Rc::new(opening.handshake),
            io: RefCell::new(Io {
                transport,
                outbox: Outbox::default(),
                backlog: None,
            }),
            slots: RefCell::new(slots.into_boxed_slice()),
            departed: RefCell::default(),
            ending: Cell::new(None),
            is_dirty: Cell::new(false),
            written_in: Cell::new(0),
            is_blocked: Cell::new(false),
            is_kicked: Cell::new(false),
            is_upgrade_claimed: Cell::new(is_upgrade_claimed),
            dead_at: Cell::new(None),
            post: RefCell::default(),
            handed_over: RefCell::default(),
            task: RefCell::default(),
            place: Cell::new(Some(opening.place)),
        });
        worker.admit(&connection);
        connection
    }

    pub(crate) fn sid(&self) -> &Rc<str> {
        &self.sid
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    pub(crate) fn handshake(&self) -> &Rc<Handshake> {
        &self.handshake
    }

    pub(crate) fn namespace(&self, place: usize) -> &str {
        self.worker
            .config()
            .namespaces
            .get(place)
            .map_or("/", String::as_str)
    }

    pub(crate) fn is_websocket(&self) -> bool {
        matches!(self.io.borrow().transport, Transport::WebSocket(_))
    }

    /// Bytes of one message of the client: less as long as nobody knows who it is.
    pub(crate) fn payload_max(&self) -> usize {
        let config = self.worker.config();
        let slots = self.slots.borrow();
        // Who was dismissed is known, and may be in the middle of a message.
        let is_known = |slot: &Slot| matches!(slot, Slot::Connected(_) | Slot::Dismissed);
        if slots.is_empty() || slots.iter().any(is_known) {
            return config.max_payload;
        }
        config.max_payload.min(config.unauthenticated_payload_max)
    }

    // --- ending

    /// Decides how this transport ends, unless that is decided; its task does the rest.
    pub(crate) fn end(&self, ending: Ending) {
        if self.is_ending() {
            return;
        }
        self.ending.set(Some(ending));
        let mut io = self.io.borrow_mut();
        // A client that comes back gets what is left of a replay anew.
        io.backlog = None;
        if ending.reason == DisconnectReason::TooSlow {
            // An operator is told: where many are, the network or this machine is what is slow.
            let queued_bytes = io.outbox.bytes();
            tracing::info!(queued_bytes, "a client does not keep up and is closed");
            io.outbox.drop_unsent();
        }
        drop(io);
        self.kick();
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending.get()
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get().is_some()
    }

    /// From when on the client counts as gone.
    pub(crate) fn set_dead_at(&self, at: Option<Instant>) {
        self.dead_at.set(at);
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
        for place in 0..self.worker.config().namespaces.len() {
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
        self.post.take();
        self.handed_over.take();
        let io = self.io.replace(Io {
            transport: Transport::Gone,
            outbox: Outbox::default(),
            backlog: None,
        });
        if matches!(io.transport, Transport::Polling(_)) {
            self.worker.stats.on_polling_ended();
        }
        self.place.take();
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
        match &self.io.borrow().transport {
            // An error shows itself at the write that follows.
            Transport::WebSocket(stream) if self.is_blocked.get() => {
                stream.poll_write_ready(cx).map(drop)
            }
            _ => Poll::Pending,
        }
    }

    /// Reads of a WebSocket into the worker's scratch buffer: how many bytes, 0 at the end of the stream.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        let stream = match &mut io.transport {
            Transport::WebSocket(stream) => stream,
            Transport::Polling(_) => return Poll::Pending,
            Transport::Gone => return Poll::Ready(Ok(0)),
        };
        let mut scratch = self.worker.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Ends our half of a WebSocket's stream: the peer reads to its end and closes the other.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.io.borrow_mut().transport {
            Transport::WebSocket(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Polling(_) | Transport::Gone => Poll::Ready(Ok(())),
        }
    }
}
