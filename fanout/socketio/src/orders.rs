//! A worker's obedience: it takes what others have put into its mailbox and does it.
//! It promises that everything that waits is taken at once, and that broadcasts to one room that follow each other are
//! sent together.

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use actix_rt::net::TcpStream;

use crate::{frame::Frame, probe, request::HandshakeError, server::Order, worker::Worker};

/// Obeys until the worker stops.
pub(crate) async fn run(worker: Rc<Worker>) {
    let mut orders = VecDeque::new();
    loop {
        orders = tokio::select! {
            biased;
            () = worker.stopped() => return,
            orders = worker.mailbox.take(orders) => orders,
        };
        let mut broadcast = Broadcast::default();
        for order in orders.drain(..) {
            match order {
                Order::Broadcast(namespace, room, frame) => {
                    broadcast.add(&worker, namespace, room, frame);
                }
                order => worker.obey(order),
            }
        }
        broadcast.send(&worker);
        // What was queued goes out before the next orders are taken.
        tokio::task::yield_now().await;
    }
}

/// Events that go to the same sockets.
#[derive(Default)]
struct Broadcast {
    namespace: usize,
    room: Option<Arc<str>>,
    frames: Vec<Frame>,
}

impl Broadcast {
    fn add(&mut self, worker: &Worker, namespace: usize, room: Option<Arc<str>>, frame: Frame) {
        if self.namespace != namespace || self.room != room {
            self.send(worker);
            self.namespace = namespace;
            self.room = room;
        }
        self.frames.push(frame);
    }

    fn send(&mut self, worker: &Worker) {
        if !self.frames.is_empty() {
            let room = (self.namespace, self.room.as_deref().map(Rc::from));
            worker.broadcast(room, std::mem::take(&mut self.frames));
        }
    }
}

impl Worker {
    /// Does what was asked for.
    pub(crate) fn obey(self: &Rc<Self>, order: Order) {
        match order {
            Order::Poll(sid, answer) => match self.find(&sid) {
                Some(connection) => connection.on_poll(answer),
                None => drop(answer),
            },
            Order::Post(sid, post, claim) => {
                let claimed = match self.find(&sid) {
                    Some(connection) => connection.on_post(post).map(|()| connection.payload_max()),
                    None => Err(HandshakeError::SessionUnknown),
                };
                if claim.send(claimed).is_err() {
                    tracing::trace!("the client of a POST is gone");
                }
            }
            Order::Find(sid, found) => {
                if self.find(&sid).is_some() && found.send(()).is_err() {
                    tracing::trace!("the client of an upgrade is gone");
                }
            }
            Order::Upgrade(sid, stream, already_read) => match TcpStream::from_std(stream) {
                Ok(stream) => {
                    let connection = self.find(&sid);
                    let probing = probe::run(Rc::clone(self), connection, stream, already_read);
                    self.tasks.spawn_local(probing);
                }
                Err(error) => tracing::warn!(%error, "a stream could not change its worker"),
            },
            Order::Broadcast(namespace, room, frame) => {
                self.broadcast((namespace, room.as_deref().map(Rc::from)), vec![frame]);
            }
        }
    }
}
