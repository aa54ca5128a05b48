//! The flusher: one task a worker that writes what all its connections have queued.
//! It promises one write call for everything that is pending to a connection, however many events that is, that no
//! broadcast waits for more than a beat, and to step aside often enough that reads, timers and joins go on during one.

use std::rc::Rc;

use tokio::time::{Duration, Instant};

use crate::{connection::Connection, worker::Worker};

/// Connections between two yields, or this long: the project's fairness rule for a broadcast.
const TURN_CONNECTIONS: usize = 512;
const TURN: Duration = Duration::from_millis(2);

/// Connections between two looks at the clock: at 5 microseconds a write, a tenth of [`TURN`].
const CLOCK_EVERY: usize = 32;

/// Writes until the worker stops.
pub(crate) async fn run(worker: Rc<Worker>) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = worker.stopped() => return,
            () = worker.dirtied() => {}
            () = worker.next_beat() => {}
        }
        while !a_turn(&worker, &mut batch).await {
            tokio::task::yield_now().await;
        }
    }
}

/// Writes what single connections have queued, and then to rooms until the turn is over: what is queued meanwhile, such
/// as pings and answers, goes before the rest of a long broadcast. True if nothing is left.
async fn a_turn(worker: &Worker, batch: &mut Vec<Rc<Connection>>) -> bool {
    worker.look(Instant::now());
    // The emptied list goes back, so that a steady load allocates nothing.
    *batch = worker.take_late(std::mem::take(batch));
    write(batch).await;
    *batch = worker.take_dirty(std::mem::take(batch));
    write(batch).await;
    let mut turn = Turn::begin();
    worker.look(turn.began);
    while let Some(bytes) = worker.rooms.serve(CLOCK_EVERY) {
        worker.mailbox.release(bytes);
        if turn.is_over_after(CLOCK_EVERY) {
            return false;
        }
    }
    true
}

/// Writes what these have queued.
async fn write(connections: &mut Vec<Rc<Connection>>) {
    let mut turn = Turn::begin();
    for connection in connections.drain(..) {
        connection.flush();
        if turn.is_over() {
            tokio::task::yield_now().await;
            turn = Turn::begin();
        }
    }
}

struct Turn {
    began: Instant,
    connections: usize,
}

impl Turn {
    fn begin() -> Self {
        Self {
            began: Instant::now(),
            connections: 0,
        }
    }

    fn is_over_after(&mut self, connections: usize) -> bool {
        self.connections += connections;
        self.connections >= TURN_CONNECTIONS || self.began.elapsed() >= TURN
    }

    fn is_over(&mut self) -> bool {
        self.connections += 1;
        self.connections >= TURN_CONNECTIONS
            || (self.connections.is_multiple_of(CLOCK_EVERY) && self.began.elapsed() >= TURN)
    }
}
