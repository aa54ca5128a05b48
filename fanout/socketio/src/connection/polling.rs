//! A session that is carried by long polling: one GET that waits for packets, one POST that brings some, and the upgrade
//! that ends both.
//! Source: <https://socket.io/docs/v4/engine-io-protocol/#http-long-polling>. It knows nothing of HTTP: who answers a
//! request waits at the other end of a channel, which tells also that the client has given up.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use actix_rt::net::TcpStream;
use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{sync::oneshot, time::Instant};

use super::{Connection, Transport};
use crate::{
    close::DisconnectReason,
    engine::{
        self,
        payload::{self, Body, Form},
    },
    outbox::{Outbox, Written},
    request::HandshakeError,
    websocket::Reader,
};

/// Packets of one poll's answer: python-engineio reads no more of them, and each answer brings the next poll.
/// <https://python-engineio.readthedocs.io/en/latest/api.html#engineio.payload.Payload>
const PACKETS_MAX: usize = 16;

/// What a poll is answered with.
pub(crate) type PollAnswer = Result<Body, HandshakeError>;

/// What a POST is answered with.
pub(crate) type PostAnswer = Result<(), HandshakeError>;

/// A POST whose body is on its way.
pub(crate) struct Post {
    /// Closed without a body: the client has given up.
    pub(crate) body: oneshot::Receiver<PostBody>,
    pub(crate) answer: oneshot::Sender<PostAnswer>,
}

/// The body of a POST.
pub(crate) enum PostBody {
    Received {
        bytes: Bytes,
        is_binary: bool,
    },
    /// More than [`Connection::payload_max`].
    TooBig,
}

/// What became of a POST's body.
pub(crate) enum Posted {
    Body(PostBody, oneshot::Sender<PostAnswer>),
    GivenUp,
}

pub(super) struct Polling {
    form: Form,
    poll: Option<oneshot::Sender<PollAnswer>>,
    /// The client is about to leave for a WebSocket and must not be held by a poll.
    is_upgrading: bool,
}

impl Polling {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            poll: None,
            is_upgrading: false,
        }
    }

    /// Answers the poll that waits, if there is one and something to say.
    pub(super) fn write(&mut self, outbox: &mut Outbox) -> Written {
        if outbox.is_empty() {
            if self.is_upgrading {
                return self.answer([&engine::NOOP_FRAME]);
            }
            return Written::All;
        }
        if self.poll.is_none() {
            return Written::Blocked;
        }
        self.answer(&outbox.take(PACKETS_MAX))
    }

    fn answer<'a>(&mut self, frames: impl IntoIterator<Item = &'a Bytes>) -> Written {
        let Some(poll) = self.poll.take() else {
            return Written::All;
        };
        let body = payload::encode(frames.into_iter().map(AsRef::as_ref), self.form);
        match poll.send(Ok(body)) {
            Ok(()) => Written::All,
            Err(_) => Written::Failed,
        }
    }
}

impl Connection {
    /// A GET that waits. A second one ends the session: packets could overtake each other.
    pub(crate) fn on_poll(self: &Rc<Self>, answer: oneshot::Sender<PollAnswer>) {
        if self.is_overdue() {
            self.kick();
            return refuse(answer, HandshakeError::SessionUnknown);
        }
        let mut io = self.io.borrow_mut();
        let Transport::Polling(polling) = &mut io.transport else {
            return refuse(answer, HandshakeError::BadRequest);
        };
        if polling.poll.is_some() {
            drop(io);
            self.end(DisconnectReason::ProtocolError.into());
            return refuse(answer, HandshakeError::BadRequest);
        }
        polling.poll = Some(answer);
        drop(io);
        // The task watches whether the client gives up.
        self.kick();
        self.write_out();
    }

    /// A POST whose body comes later. A second one ends the session.
    pub(crate) fn on_post(&self, post: Post) -> Result<(), HandshakeError> {
        if self.is_ending() || self.is_overdue() {
            self.kick();
            return Err(HandshakeError::SessionUnknown);
        }
        if self.is_websocket() {
            return Err(HandshakeError::BadRequest);
        }
        let mut slot = self.post.borrow_mut();
        if slot.is_some() {
            drop(slot);
            self.end(DisconnectReason::ProtocolError.into());
            return Err(HandshakeError::BadRequest);
        }
        *slot = Some(post);
        drop(slot);
        self.kick();
        Ok(())
    }

    /// The client counts as gone, whether a timer has noticed or not.
    fn is_overdue(&self) -> bool {
        self.dead_at.get().is_some_and(|at| at <= Instant::now())
    }

    /// Ready when the body of a POST is there, or its client has given up.
    pub(crate) fn poll_posted(&self, cx: &mut Context<'_>) -> Poll<Posted> {
        let mut slot = self.post.borrow_mut();
        let Some(post) = &mut *slot else {
            return Poll::Pending;
        };
        let Poll::Ready(body) = post.body.poll_unpin(cx) else {
            return Poll::Pending;
        };
        Poll::Ready(match (slot.take(), body) {
            (Some(post), Ok(body)) => Posted::Body(body, post.answer),
            _ => Posted::GivenUp,
        })
    }

    /// Ready when the client has given up the poll that waits.
    pub(crate) fn poll_abandoned(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.io.borrow_mut().transport {
            Transport::Polling(polling) => match &mut polling.poll {
                Some(poll) => poll.poll_closed(cx),
                None => Poll::Pending,
            },
            _ => Poll::Pending,
        }
    }

    // --- the upgrade

    /// Whether a WebSocket may try to take this session over: one at a time, and once.
    pub(crate) fn claim_upgrade(&self) -> bool {
        !self.is_ending() && !self.is_upgrade_claimed.replace(true)
    }

    /// The WebSocket answers: polls end at once from now on.
    pub(crate) fn on_probed(self: &Rc<Self>) {
        if let Transport::Polling(polling) = &mut self.io.borrow_mut().transport {
            polling.is_upgrading = true;
        }
        self.write_out();
    }

    /// The WebSocket has failed; another may try.
    pub(crate) fn on_upgrade_failed(&self) {
        if let Transport::Polling(polling) = &mut self.io.borrow_mut().transport {
            polling.is_upgrading = false;
            self.is_upgrade_claimed.set(false);
        }
    }

    /// The session goes on over the WebSocket, with what it has read beyond the upgrade, unless it is over.
    pub(crate) fn take_over(self: &Rc<Self>, stream: TcpStream, reader: Reader) {
        let mut io = self.io.borrow_mut();
        let Transport::Polling(polling) = &mut io.transport else {
            return;
        };
        // The last word goes the new way if the client waits for nothing on the old one.
        if self.ending().is_some_and(|ending| !ending.is_awaited()) {
            return;
        }
        // A poll that the client has given up meanwhile is no loss: nothing was in it.
        polling.answer([&engine::NOOP_FRAME]);
        io.transport = Transport::WebSocket(stream);
        drop(io);
        self.handed_over.replace(Some(Box::new(reader)));
        self.worker.stats.on_upgraded();
        self.kick();
        self.mark_dirty();
    }

    /// What an upgrade has read, once.
    pub(crate) fn take_handed_over(&self) -> Option<Box<Reader>> {
        self.handed_over.take()
    }
}

fn refuse(answer: oneshot::Sender<PollAnswer>, error: HandshakeError) {
    if answer.send(Err(error)).is_err() {
        tracing::trace!("the client of a refused poll is gone");
    }
}
