//! A socket: one client's link in one namespace, as the host holds it.
//! It promises that sending only queues, that nothing is sent after the end, and that no call here calls the host.
//! `ack.rs` has the acknowledgements of both directions.

mod ack;

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;

use crate::{
    close::{Close, DisconnectReason},
    connection::Connection,
    engine::Protocol,
    frame::Frame,
    host::Handshake,
    packet::Packet,
    rooms::Rooms,
};
use ack::Questions;
pub use ack::{Ack, Unanswered};

/// A socket's number, unique in the process: a key for maps and sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketKey(u64);

impl SocketKey {
    pub(crate) fn next() -> Self {
        /// Over all workers, hence the only thing here that threads share.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// A socket is in as many rooms as [`Config::rooms_per_socket_max`](crate::Config::rooms_per_socket_max) allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the socket is in too many rooms")]
pub struct TooManyRooms;

/// One client in one namespace. Cheap to clone; it stays on its worker thread.
#[derive(Clone)]
pub struct Socket(Rc<Link>);

struct Link {
    key: SocketKey,
    id: Box<str>,
    namespace: usize,
    connection: Rc<Connection>,
    is_open: Cell<bool>,
    rooms: RefCell<Vec<Rc<str>>>,
    /// The last broadcast that it was seen to have.
    seen: Cell<u64>,
    questions: RefCell<Option<Box<Questions>>>,
}

impl Socket {
    pub(crate) fn new(id: Box<str>, namespace: usize, connection: Rc<Connection>) -> Self {
        Self(Rc::new(Link {
            key: SocketKey::next(),
            id,
            namespace,
            connection,
            is_open: Cell::new(true),
            rooms: RefCell::default(),
            seen: Cell::new(0),
            questions: RefCell::default(),
        }))
    }

    /// The id that the client knows too, random and public.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The number of this socket in this process.
    pub fn key(&self) -> SocketKey {
        self.0.key
    }

    /// The namespace that it is connected to.
    pub fn namespace(&self) -> &str {
        self.0.connection.namespace(self.0.namespace)
    }

    /// The revision of Engine.IO that the client speaks.
    pub fn protocol(&self) -> Protocol {
        self.0.connection.protocol()
    }

    /// The request that opened its transport.
    pub fn handshake(&self) -> &Rc<Handshake> {
        self.0.connection.handshake()
    }

    /// Whether the transport is a WebSocket by now.
    pub fn is_websocket(&self) -> bool {
        self.0.connection.is_websocket()
    }

    /// Whether events still reach the client. False as soon as either side has ended it.
    pub fn is_connected(&self) -> bool {
        self.0.is_open.get() && !self.0.connection.is_ending()
    }

    /// Queues an event. If too much waits for this client already, its transport is closed instead (1013).
    pub fn send(&self, frame: &Frame) {
        self.queue(frame.bytes(self.namespace(), self.protocol()));
    }

    /// Queues events that the client has missed. They may be more than fits into its queue: they are written slice by
    /// slice as the client takes them, and what is sent afterwards follows them. The caller bounds them.
    pub fn replay(&self, frames: impl IntoIterator<Item = Frame>) {
        if !self.is_connected() {
            return;
        }
        let frames = frames.into_iter();
        let bytes = frames.map(|frame| frame.bytes(self.namespace(), self.protocol()));
        // Collected first: whoever makes the frames may look at this socket.
        let bytes: Vec<_> = bytes.collect();
        self.catch_up();
        self.0.connection.queue_replay(bytes.into_iter());
    }

    /// Queues bytes that are encoded for this namespace and revision, behind what was broadcast before.
    pub(crate) fn queue(&self, bytes: Bytes) {
        if self.is_connected() {
            self.catch_up();
            self.0.connection.queue(bytes);
        }
    }

    /// Sees to it that what was broadcast before comes before what is sent now.
    fn catch_up(&self) {
        self.rooms_of_worker().catch_up(self.0.key, &self.0.seen);
    }

    fn rooms_of_worker(&self) -> &Rooms {
        &self.0.connection.worker().rooms
    }

    /// Ends this socket with a DISCONNECT packet, after which official clients do not come back.
    pub fn disconnect(&self) {
        if !self.is_connected() {
            return;
        }
        let namespace = self.namespace();
        self.catch_up();
        self.0
            .connection
            .queue_packet(&Packet::Disconnect { namespace });
        let place = self.0.namespace;
        self.0
            .connection
            .dismiss(place, DisconnectReason::ServerLeft);
    }

    /// Closes the whole transport, after what is queued: official clients come back.
    pub fn close(&self, close: Close) {
        self.catch_up();
        self.0
            .connection
            .end(DisconnectReason::Closed(close).into());
    }

    /// Closes the whole transport because the host has panicked.
    pub(crate) fn fail(&self) {
        self.0.connection.end(DisconnectReason::HostPanicked.into());
    }

    /// Bytes that wait for this client, in all of its namespaces.
    pub fn queued_bytes(&self) -> usize {
        self.0.connection.queued_bytes()
    }

    // --- rooms

    /// Puts this socket into a room of its namespace, for [`Server::broadcast`](crate::Server::broadcast).
    ///
    /// # Errors
    /// It is in too many rooms.
    pub fn join(&self, room: &str) -> Result<(), TooManyRooms> {
        let mut rooms = self.0.rooms.borrow_mut();
        if !self.is_connected() || rooms.iter().any(|joined| **joined == *room) {
            return Ok(());
        }
        let most = self.0.connection.worker().config().rooms_per_socket_max;
        if most > 0 && rooms.len() >= most {
            return Err(TooManyRooms);
        }
        let room: Rc<str> = room.into();
        rooms.push(Rc::clone(&room));
        self.enter(Some(room));
        Ok(())
    }

    /// Puts this socket where broadcasts find it: into a room, or with none into its namespace.
    pub(crate) fn enter(&self, room: Option<Rc<str>>) {
        let room = (self.0.namespace, room);
        let rooms = self.rooms_of_worker();
        rooms.join(room, self.0.key, &self.0.connection);
    }

    /// Takes this socket out of a room.
    pub fn leave(&self, room: &str) {
        let mut rooms = self.0.rooms.borrow_mut();
        if let Some(place) = rooms.iter().position(|joined| **joined == *room) {
            let room = (self.0.namespace, Some(rooms.swap_remove(place)));
            self.catch_up();
            self.rooms_of_worker().leave(&room, self.0.key);
        }
    }

    /// Sends an event to all sockets of this worker that are in a room of this socket's namespace, or in the namespace:
    /// as [`Server::broadcast`](crate::Server::broadcast) does on every worker, and to itself where it is among them.
    pub fn broadcast_local(&self, room: Option<&str>, frame: &Frame) {
        let worker = self.0.connection.worker();
        let room = (self.0.namespace, room.map(Into::into));
        worker.broadcast_local(room, frame.clone());
    }

    /// So much is pending for rooms of this worker that whoever broadcasts here is ahead of what it can write, and does
    /// well to let others have their turn. What is broadcast nevertheless is written in place from 64 MiB on.
    pub fn is_ahead(&self) -> bool {
        self.0.connection.worker().is_ahead()
    }

    /// The rooms that it is in.
    pub fn rooms(&self) -> Vec<Rc<str>> {
        self.0.rooms.borrow().clone()
    }

    /// Ends the sending, once, and everything that waits for this socket.
    pub(crate) fn shut(&self) {
        self.0.is_open.set(false);
        self.catch_up();
        let rooms = self.0.rooms.take().into_iter().map(Some);
        for room in rooms.chain([None]) {
            let room = (self.0.namespace, room);
            self.rooms_of_worker().leave(&room, self.0.key);
        }
        self.0.questions.take();
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for Socket {}

impl fmt::Debug for Socket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Socket")
            .field("key", &self.0.key)
            .field("namespace", &self.namespace())
            .field("is_connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
