//! What the connections of one worker thread share: the settings, who is open, who has something to write.
//! It promises that everything here is touched by its own thread alone, and never across an await.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use tokio::{
    sync::Notify,
    time::{Duration, Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    beat::Beat,
    close::{Close, DisconnectReason},
    config::Config,
    connection::Connection,
    drain::drain,
    frame::Frame,
    rooms::{Origin, Rooms},
    server::{Mailbox, Order, Server, Shared},
    sid,
    stats::Stats,
};

/// Bytes of one read. Four times the kernel's usual segment on loopback, and one buffer for the whole worker.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Bytes of events that wait for their pass over a room from which on the worker counts as behind: what one socket's
/// queue holds by default.
const AHEAD_BYTES: usize = 1024 * 1024;

/// More is written in place, whoever has to wait for that: what a mailbox may hold.
const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The state of one worker.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    number: usize,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) tasks: TaskTracker,
    stop: CancellationToken,
    is_stopped: Cell<bool>,
    /// Where every connection reads into; its content is worth nothing after the turn that filled it.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    dirty: RefCell<Vec<Rc<Connection>>>,
    dirtied: Notify,
    /// Those that were written to in the beat that is named beside them, and have more to write in the next.
    late: RefCell<Vec<Rc<Connection>>>,
    late_since: Cell<u64>,
    beat: Cell<Beat>,
    connections: RefCell<HashMap<Rc<str>, Rc<Connection>>>,
    pub(crate) rooms: Rooms,
    emptied: Notify,
}

impl Worker {
    /// # Panics
    /// If the server has as many workers already as a session's id can tell apart.
    pub(crate) fn new(server: &Server) -> Self {
        let shared = Arc::clone(&server.0);
        let (number, mailbox) = shared
            .add_worker()
            .expect("no machine runs 64 workers of one server");
        Self {
            shared,
            number,
            mailbox,
            stats: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            is_stopped: Cell::new(false),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            dirty: RefCell::default(),
            dirtied: Notify::new(),
            late: RefCell::default(),
            late_since: Cell::new(0),
            beat: Cell::new(Beat::first(Instant::now())),
            connections: RefCell::default(),
            rooms: Rooms::default(),
            emptied: Notify::new(),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Nobody is to be let in any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.get()
    }

    /// The id of a new session.
    pub(crate) fn new_sid(&self) -> Rc<str> {
        sid::session(&self.config().instance, self.number).into()
    }

    /// The open session of this id.
    pub(crate) fn find(&self, sid: &str) -> Option<Rc<Connection>> {
        self.connections.borrow().get(sid).cloned()
    }

    /// Hands an order to the worker of this number: at once if it is this one. False if there is no such worker.
    pub(crate) fn order(self: &Rc<Self>, worker: usize, order: Order) -> bool {
        if worker == self.number {
            self.obey(order);
            return true;
        }
        let mailbox = self.shared.mailbox(worker);
        mailbox.is_some_and(|mailbox| mailbox.push(order).is_ok())
    }

    pub(crate) fn admit(&self, connection: &Rc<Connection>) {
        self.stats.on_opened();
        let mut connections = self.connections.borrow_mut();
        connections.insert(Rc::clone(connection.sid()), Rc::clone(connection));
    }

    pub(crate) fn release(&self, connection: &Connection, reason: DisconnectReason) {
        let is_last = {
            let mut connections = self.connections.borrow_mut();
            connections.remove(connection.sid());
            connections.is_empty()
        };
        self.stats.on_closed(reason);
        if is_last {
            self.emptied.notify_waiters();
        }
    }

    /// Puts a connection on the flusher's list. The caller sees to it that none is there twice.
    pub(crate) fn on_dirty(&self, connection: Rc<Connection>) {
        if self.is_stopped.get() {
            // Its task is ending and writes the rest itself; here nobody would take it off again.
            return;
        }
        let mut dirty = self.dirty.borrow_mut();
        if dirty.is_empty() {
            self.dirtied.notify_one();
        }
        dirty.push(connection);
    }

    /// The number of the beat of now, as of the last look at the clock.
    pub(crate) fn beat(&self) -> u64 {
        self.beat.get().number()
    }

    /// Looks at the clock.
    pub(crate) fn look(&self, now: Instant) {
        let is_more = !self.late.borrow().is_empty();
        self.beat.set(self.beat.get().at(now, is_more));
    }

    /// A connection has something to write in the next beat.
    pub(crate) fn on_late(&self, connection: Rc<Connection>) {
        if self.is_stopped.get() {
            return;
        }
        let mut late = self.late.borrow_mut();
        if late.is_empty() {
            self.late_since.set(self.beat());
            self.dirtied.notify_one();
        }
        late.push(connection);
    }

    /// Waits until the beat is over in which somebody became late; for ever where nobody is.
    pub(crate) async fn next_beat(&self) {
        if self.late.borrow().is_empty() {
            return std::future::pending().await;
        }
        sleep_until(self.beat.get().ends()).await;
    }

    /// Swaps the list of those who are late for an empty one, once their beat is over.
    pub(crate) fn take_late(&self, empty: Vec<Rc<Connection>>) -> Vec<Rc<Connection>> {
        if self.beat() <= self.late_since.get() {
            return empty;
        }
        self.late.replace(empty)
    }

    /// Has an event sent to all of a room that was ordered by the mailbox.
    pub(crate) fn broadcast(&self, room: (usize, Option<Rc<str>>), frame: Frame) {
        if !self.is_stopped.get() && self.rooms.broadcast(room, frame, Origin::Mailbox) {
            self.dirtied.notify_one();
        }
    }

    /// Has an event sent to all of a room. If too much is pending already it is written here and now: whoever sends more
    /// than this thread can write is held up by that.
    pub(crate) fn broadcast_local(&self, room: (usize, Option<Rc<str>>), frame: Frame) {
        if self.is_stopped.get() {
            return;
        }
        if self.rooms.broadcast(room, frame, Origin::Worker) {
            self.dirtied.notify_one();
        }
        if self.rooms.pending_bytes() > PENDING_BYTES_MAX {
            while let Some(bytes) = self.rooms.serve(usize::MAX) {
                self.mailbox.release(bytes);
            }
        }
    }

    /// So much is pending that whoever broadcasts here should wait.
    pub(crate) fn is_ahead(&self) -> bool {
        self.rooms.pending_bytes() > AHEAD_BYTES
    }

    /// Waits until a connection or a room has something to write.
    pub(crate) async fn dirtied(&self) {
        self.dirtied.notified().await;
    }

    /// Swaps the list for an empty one.
    pub(crate) fn take_dirty(&self, empty: Vec<Rc<Connection>>) -> Vec<Rc<Connection>> {
        self.dirty.replace(empty)
    }

    /// Ends every connection that is open at the call, [evenly](drain) over the duration.
    pub(crate) async fn close_all(&self, close: Close, over: Duration) {
        let open: Vec<_> = self.connections.borrow().values().cloned().collect();
        let reason = DisconnectReason::Closed(close);
        drain(&open, over, |connection| connection.end(reason.into())).await;
    }

    /// Closes every connection at once and ends the worker's own tasks, when nobody is left to serve.
    pub(crate) fn stop(&self, close: Close) {
        for connection in self.connections.borrow().values() {
            connection.end(DisconnectReason::Closed(close).into());
        }
        self.is_stopped.set(true);
        self.mailbox.close();
        self.rooms.clear();
        self.dirty.take();
        self.late.take();
        self.stop.cancel();
    }

    /// Waits until [`Worker::stop`].
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Waits until no connection is open.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.connections.borrow().is_empty() {
                return;
            }
            emptied.await;
        }
    }
}
