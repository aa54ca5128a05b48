//! A worker's obedience: it takes what others have put into its mailbox and does it.
//! It promises that everything that waits is taken at once, so that broadcasts to one room that follow each other are
//! sent together.

use std::{collections::VecDeque, rc::Rc};

use actix_rt::net::TcpStream;

use crate::{probe, request::HandshakeError, server::Order, worker::Worker};

/// Obeys until the worker stops.
pub(crate) async fn run(worker: Rc<Worker>) {
    let mut orders = VecDeque::new();
    loop {
        orders = tokio::select! {
            biased;
            () = worker.stopped() => return,
            orders = worker.mailbox.take(orders) => orders,
        };
        for order in orders.drain(..) {
            worker.obey(order);
        }
        // What was queued goes out before the next orders are taken.
        tokio::task::yield_now().await;
    }
}

impl Worker {
    /// Does what was asked for.
    pub(crate) fn obey(self: &Rc<Self>, order: Order) {
        if self.is_stopped() {
            return;
        }
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
                self.broadcast((namespace, room.as_deref().map(Rc::from)), frame);
            }
        }
    }
}
