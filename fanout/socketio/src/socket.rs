//! A socket: one client's link in one namespace, as the host holds it; and the acknowledgement of an event.
//! It promises that sending only queues, that nothing is sent after the end, and that no call here calls the host.

use std::{
    cell::Cell,
    fmt,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    close::{Close, DisconnectReason},
    connection::Connection,
    engine,
    frame::Frame,
    host::Handshake,
    packet::{Packet, Prefix},
    websocket,
};

/// A socket's number, unique in the process: a key for maps and sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketKey(u64);

impl SocketKey {
    fn next() -> Self {
        /// Over all workers, hence the only thing here that threads share.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// One client in one namespace. Cheap to clone; it stays on its worker thread.
#[derive(Clone)]
pub struct Socket(Rc<Link>);

struct Link {
    key: SocketKey,
    id: Box<str>,
    namespace: usize,
    connection: Rc<Connection>,
    is_open: Cell<bool>,
}

impl Socket {
    pub(crate) fn new(id: Box<str>, namespace: usize, connection: Rc<Connection>) -> Self {
        Self(Rc::new(Link {
            key: SocketKey::next(),
            id,
            namespace,
            connection,
            is_open: Cell::new(true),
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

    /// The request that opened its transport.
    pub fn handshake(&self) -> &Rc<Handshake> {
        self.0.connection.handshake()
    }

    /// Whether events still reach the client. False as soon as either side has ended it.
    pub fn is_connected(&self) -> bool {
        self.0.is_open.get() && !self.0.connection.is_ending()
    }

    /// Queues an event. If too much waits for this client already, its transport is closed instead (1013).
    pub fn send(&self, frame: &Frame) {
        if self.is_connected() {
            self.0.connection.queue(frame.bytes(self.namespace()));
        }
    }

    /// Queues events that the client has missed.
    pub fn replay(&self, frames: impl IntoIterator<Item = Frame>) {
        frames.into_iter().for_each(|frame| self.send(&frame));
    }

    /// Ends this socket with a DISCONNECT packet, after which official clients do not come back.
    pub fn disconnect(&self) {
        if !self.is_connected() {
            return;
        }
        let namespace = self.namespace();
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
        self.0
            .connection
            .end(DisconnectReason::Closed(close).into());
    }

    /// Bytes that wait for this client, in all of its namespaces.
    pub fn queued_bytes(&self) -> usize {
        self.0.connection.queued_bytes()
    }

    /// Ends the sending, once.
    pub(crate) fn shut(&self) {
        self.0.is_open.set(false);
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

/// The acknowledgement that a client asked for. Dropped, it sends nothing.
#[derive(Debug)]
pub struct Ack {
    socket: Socket,
    id: u64,
}

impl Ack {
    pub(crate) fn new(socket: Socket, id: u64) -> Self {
        Self { socket, id }
    }

    /// Answers with arguments that are JSON already.
    pub fn send(self, args: &[&RawValue]) {
        let mut array = String::with_capacity(args.iter().map(|arg| arg.get().len() + 1).sum());
        for (index, arg) in args.iter().enumerate() {
            if index > 0 {
                array.push(',');
            }
            array.push_str(arg.get());
        }
        self.send_array(&array);
    }

    /// Answers with one argument.
    ///
    /// # Errors
    /// If it has no JSON form; then nothing is sent.
    pub fn send_json(self, arg: &impl Serialize) -> Result<(), serde_json::Error> {
        let array = serde_json::to_string(arg)?;
        self.send_array(&array);
        Ok(())
    }

    fn send_array(self, elements: &str) {
        if !self.socket.is_connected() {
            return;
        }
        let prefix = Prefix(self.socket.namespace(), None).to_string();
        let id = self.id.to_string();
        let parts = [engine::MESSAGE, "3", &prefix, &id, "[", elements, "]"];
        self.socket
            .0
            .connection
            .queue(websocket::text_frame(&parts));
    }
}
