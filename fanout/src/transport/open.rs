//! The plain WebSockets and event streams that are open on one worker: counted, and closed together when the
//! instance goes away.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_socketio::{Close, drain};

use super::beats::Beats;
use super::pipe::Pipe;

/// Which transport a connection is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `/ws`.
    WebSocket,
    /// Server-Sent Events.
    Sse,
}

/// How many are open on all workers, and how many of them are authenticated.
#[derive(Debug, Default)]
pub struct Counts {
    websockets: AtomicU64,
    streams: AtomicU64,
    viewers: AtomicU64,
}

impl Counts {
    /// Open connections of a transport.
    pub fn connections(&self, transport: Transport) -> u64 {
        self.of(transport).load(Relaxed)
    }

    fn of(&self, transport: Transport) -> &AtomicU64 {
        match transport {
            Transport::WebSocket => &self.websockets,
            Transport::Sse => &self.streams,
        }
    }

    /// Those whose viewer is known.
    pub fn viewers(&self) -> u64 {
        self.viewers.load(Relaxed)
    }
}

/// What is open on one worker.
#[derive(Debug)]
pub struct Open {
    counts: Arc<Counts>,
    beats: Rc<Beats>,
    pipes: RefCell<HashMap<u64, Rc<Pipe>>>,
    next: Cell<u64>,
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub struct Place {
    open: Rc<Open>,
    number: u64,
    transport: Transport,
    is_known: bool,
}

impl Open {
    /// Nothing is open yet; the counts are shared by all workers.
    pub fn new(counts: Arc<Counts>) -> Rc<Self> {
        Rc::new(Self {
            counts,
            beats: Beats::new(),
            pipes: RefCell::default(),
            next: Cell::new(0),
        })
    }

    /// An empty pipe of this worker: [`Pipe::new`].
    pub fn pipe(&self, bytes_max: usize, stream: Option<Rc<TcpStream>>) -> Rc<Pipe> {
        Pipe::new(bytes_max, stream, self.beats.clone())
    }

    /// Keeps the pipes' time, for ever: without it what waits for a beat waits on.
    pub async fn keep_time(&self) {
        self.beats.run().await;
    }

    /// A connection opens.
    pub fn enter(self: &Rc<Self>, transport: Transport, pipe: Rc<Pipe>) -> Place {
        let number = self.next.get();
        self.next.set(number + 1);
        self.counts.of(transport).fetch_add(1, Relaxed);
        self.pipes.borrow_mut().insert(number, pipe);
        Place {
            open: self.clone(),
            number,
            transport,
            is_known: false,
        }
    }

    /// Closes all that are open now, [evenly](drain) over a duration.
    pub async fn close_all_over(&self, close: Close, over: Duration) {
        let open: Vec<_> = self.pipes.borrow().values().cloned().collect();
        drain(&open, over, |pipe| pipe.end(close)).await;
    }
}

impl Place {
    /// The connection's viewer is known now.
    pub fn on_authenticated(&mut self) {
        if !self.is_known {
            self.is_known = true;
            self.open.counts.viewers.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.pipes.borrow_mut().remove(&self.number);
        self.open.counts.of(self.transport).fetch_sub(1, Relaxed);
        if self.is_known {
            self.open.counts.viewers.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn a_place_is_counted_until_it_is_given_back_and_a_drain_closes_all() {
        let counts = Arc::new(Counts::default());
        let open = Open::new(counts.clone());
        let pipes = [open.pipe(10, None), open.pipe(10, None)];
        let transports = [Transport::WebSocket, Transport::Sse];
        let entering = transports.into_iter().zip(&pipes);
        let mut places: Vec<_> = entering
            .map(|(transport, pipe)| open.enter(transport, pipe.clone()))
            .collect();
        let counted = || {
            let [websockets, streams] = transports.map(|one| counts.connections(one));
            (websockets, streams, counts.viewers())
        };
        for place in &mut places {
            place.on_authenticated();
            place.on_authenticated();
        }
        assert_eq!(counted(), (1, 1, 2));
        open.close_all_over(Close::GoingAway, Duration::ZERO).await;
        assert!(pipes.iter().all(|p| p.ending() == Some(Close::GoingAway)));
        places.pop();
        assert_eq!(counted(), (1, 0, 1));
        places.pop();
        assert_eq!(counted(), (0, 0, 0));
    }
}
