//! A viewer's link, whichever transport carries it: where events go out, and where a request is answered.

mod beats;
mod door;
mod open;
pub mod pipe;
mod places;
#[cfg(test)]
pub mod recorder;
pub mod socketio;
pub mod stream;
pub mod websocket;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use std::sync::Arc;

use actix_socketio::{Ack, Close, Socket};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

pub(crate) use door::bearer;
pub use door::{Caller, Closed, Door, in_time};
pub use open::{Counts, Open, Place, Transport};
pub use places::{Seat, Seats};

use self::pipe::Pipe;
use self::stream::StreamLink;
use crate::frames::{Frames, json};
use crate::joins::Joins;
use crate::request::{Code, Refusal, Severity};

/// Half of the default of `SOCKET_QUEUE_MAX`.
const LADEN_BYTES: usize = 512 * 1024;

/// Events that may wait for the end of a replay. More, and the replay is given up for a page.
const HELD_MAX: usize = 20_000;

/// Where a viewer's events go.
#[derive(Debug, Clone)]
pub enum Link {
    /// A Socket.IO socket.
    SocketIo(Socket),
    /// A plain WebSocket.
    WebSocket(Rc<Pipe>),
    /// Server-Sent Events of one channel.
    Stream(Rc<StreamLink>),
    /// What waits until a replay is written.
    Held(Rc<Hold>),
    /// A transport, named by what [`Link::transport`] says of it, whose CONNECT is not answered yet: what is for it
    /// waits in a hold.
    Coming(usize),
    /// Nobody listens: a request of plain HTTP, which is answered and nothing else.
    Nowhere,
    /// A test's.
    #[cfg(test)]
    Recorder(recorder::Recorder),
}

impl Link {
    /// Queues an event.
    pub fn send(&self, frames: &Frames) {
        match self {
            Self::SocketIo(socket) => socket.send(frames.socketio()),
            Self::WebSocket(pipe) => pipe.tell(frames.websocket().clone()),
            Self::Stream(stream) => stream.send(frames),
            Self::Held(hold) => hold.send(frames),
            Self::Coming(_) | Self::Nowhere => {}
            #[cfg(test)]
            Self::Recorder(recorder) => recorder.on_sent(frames),
        }
    }

    /// Queues a replay, which may be more than otherwise fits into the queue.
    pub fn replay(&self, frames: &[Frames]) {
        match self {
            Self::WebSocket(pipe) => pipe.push_replay(frames.iter().map(|f| f.websocket().clone())),
            Self::Stream(stream) => stream.replay(frames),
            Self::SocketIo(socket) => socket.replay(frames.iter().map(|f| f.socketio().clone())),
            // What is queued here is bounded as anything else is.
            _ => frames.iter().for_each(|frame| self.send(frame)),
        }
    }

    /// Queues an event of one object.
    pub fn emit(&self, name: &'static str, data: &impl Serialize) {
        if let Some(data) = json(data) {
            self.send(&Frames::event(name, data));
        }
    }

    /// Tells of a refusal that answers no request.
    pub fn emit_error(&self, refusal: &Refusal) {
        let event = ErrorEvent {
            code: refusal.code,
            message: refusal.text,
            severity: refusal.code.severity(),
            channel_id: refusal.channel.map(|channel| channel.to_string()),
        };
        self.emit("error", &event);
    }

    /// So much waits for this client that a page more could be too much: a page has seldom more than half a
    /// mebibyte, and twice that is the queue's bound.
    pub fn is_laden(&self) -> bool {
        let queued = match self {
            Self::SocketIo(socket) => socket.queued_bytes(),
            Self::WebSocket(pipe) => pipe.queued_bytes(),
            Self::Stream(stream) => stream.queued_bytes(),
            Self::Held(hold) => return hold.link.is_laden(),
            Self::Coming(_) | Self::Nowhere => 0,
            #[cfg(test)]
            Self::Recorder(_) => 0,
        };
        queued > LADEN_BYTES
    }

    /// Closes the transport, so that the client comes back.
    pub fn close(&self, close: Close) {
        match self {
            Self::SocketIo(socket) => socket.close(close),
            Self::WebSocket(pipe) => pipe.end(close),
            Self::Stream(stream) => stream.end(close),
            Self::Held(hold) => hold.link.close(close),
            Self::Coming(_) | Self::Nowhere => {}
            #[cfg(test)]
            Self::Recorder(recorder) => recorder.on_closed(close),
        }
    }

    /// What is one for all sockets of one transport, and for them alone, while it is open.
    pub fn transport(&self) -> usize {
        match self {
            Self::SocketIo(socket) => Rc::as_ptr(socket.handshake()).addr(),
            Self::WebSocket(pipe) => Rc::as_ptr(pipe).addr(),
            Self::Stream(stream) => Rc::as_ptr(stream).addr(),
            Self::Held(hold) => hold.link.transport(),
            Self::Coming(transport) => *transport,
            Self::Nowhere => 0,
            #[cfg(test)]
            Self::Recorder(recorder) => recorder.transport(),
        }
    }

    /// Ends the session for good, so that the client does not come back with the same token.
    pub fn disconnect(&self) {
        match self {
            Self::SocketIo(socket) => socket.disconnect(),
            Self::WebSocket(pipe) => pipe.end(Close::Policy),
            Self::Stream(stream) => stream.end(Close::Policy),
            Self::Held(hold) => hold.link.disconnect(),
            Self::Coming(_) | Self::Nowhere => {}
            #[cfg(test)]
            Self::Recorder(recorder) => recorder.on_disconnected(),
        }
    }
}

/// A link whose events wait, in order, until what came before them is written.
#[derive(Debug)]
pub struct Hold {
    link: Link,
    held: RefCell<Vec<Frames>>,
    has_overflowed: Cell<bool>,
}

impl Hold {
    /// Holds what is sent to this link from now on.
    pub fn new(link: Link) -> Rc<Self> {
        Rc::new(Self {
            link,
            held: RefCell::default(),
            has_overflowed: Cell::new(false),
        })
    }

    fn send(&self, frames: &Frames) {
        let mut held = self.held.borrow_mut();
        if held.len() < HELD_MAX {
            held.push(frames.clone());
        } else {
            self.has_overflowed.set(true);
        }
    }

    /// What was held; none if it was too much.
    pub fn take(&self) -> Option<Vec<Frames>> {
        (!self.has_overflowed.get()).then(|| self.held.take())
    }
}

/// Where a request is answered: its acknowledgement, or the `error` event if the client wants none.
#[derive(Debug)]
pub struct Reply {
    link: Link,
    ack: Option<Answer>,
    /// `get_channels` answers a failure with an empty list beside it.
    has_channels: bool,
    /// A join that asked to go on from an offset is told whether it does.
    is_recovered: Option<bool>,
    /// Where the answer to a join is counted.
    joins: Option<Arc<Joins>>,
}

/// How a client gets its answer.
#[derive(Debug)]
pub enum Answer {
    /// Socket.IO's acknowledgement.
    SocketIo(Ack),
    /// `{"ack":id,"data":{...}}` on a plain WebSocket, with the id as the client wrote it.
    WebSocket(Rc<Pipe>, Box<RawValue>),
    /// The answer to a request of plain HTTP.
    Http(oneshot::Sender<Result<Value, Refusal>>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<String>,
    error: &'a str,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<[(); 0]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorEvent<'a> {
    code: Code,
    message: &'a str,
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<String>,
}

#[derive(Serialize)]
struct Done<'a, T> {
    #[serde(flatten)]
    data: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RateLimited<'a> {
    message: &'a str,
    retry_after: u64,
}

impl Reply {
    /// The answer to an event of this name.
    pub fn new(link: Link, ack: Option<Answer>, event: &str) -> Self {
        Self {
            link,
            ack,
            has_channels: event == "get_channels",
            is_recovered: None,
            joins: None,
        }
    }

    /// The same, counted as the answer to a join.
    #[must_use]
    pub fn counted(self, joins: Arc<Joins>) -> Self {
        Self {
            joins: Some(joins),
            ..self
        }
    }

    /// The answer to a request of plain HTTP.
    pub fn http(answer: oneshot::Sender<Result<Value, Refusal>>) -> Self {
        Self::new(Link::Nowhere, Some(Answer::Http(answer)), "")
    }

    /// Says beside the answer whether the client goes on from its offset.
    #[must_use]
    pub fn recovered(mut self, is_recovered: bool) -> Self {
        self.is_recovered = Some(is_recovered);
        self
    }

    /// Answers with this object, if an answer is wanted.
    pub fn done(self, data: &impl Serialize) {
        if let Some(joins) = &self.joins {
            joins.on_success();
        }
        let Some(ack) = self.ack else { return };
        let recovered = self.is_recovered;
        // Without anything to add, nothing is copied on the way.
        let data = match recovered {
            None => json(data),
            Some(_) => json(&Done { data, recovered }),
        };
        if let Some(data) = data {
            ack.send(&data);
        }
    }

    /// Answers with a refusal.
    pub fn refuse(self, refusal: &Refusal) {
        if let Some(joins) = &self.joins {
            joins.on_refused(refusal.code);
        }
        if let Some(retry_after) = refusal.retry_after {
            let event = RateLimited {
                message: refusal.text,
                retry_after,
            };
            self.link.emit("rate_limited", &event);
        }
        let Some(ack) = self.ack else {
            return self.link.emit_error(refusal);
        };
        let failure = Failure {
            success: false,
            channel_id: refusal.channel.map(|channel| channel.to_string()),
            error: refusal.text,
            code: refusal.code,
            retry_after: refusal.retry_after,
            channels: self.has_channels.then_some([]),
        };
        match (ack, json(&failure)) {
            (Answer::Http(answer), _) => tell(answer, Err(refusal.clone())),
            (ack, Some(failure)) => ack.send(&failure),
            (_, None) => {}
        }
    }
}

impl Answer {
    fn send(self, data: &RawValue) {
        match self {
            Self::SocketIo(ack) => ack.send(&[data]),
            Self::WebSocket(pipe, id) => {
                let text = format!(r#"{{"ack":{},"data":{}}}"#, id.get(), data.get());
                pipe.push(websocket::text(text));
            }
            Self::Http(answer) => {
                if let Ok(data) = serde_json::from_str(data.get()) {
                    tell(answer, Ok(data));
                }
            }
        }
    }
}

fn tell(answer: oneshot::Sender<Result<Value, Refusal>>, said: Result<Value, Refusal>) {
    if answer.send(said).is_err() {
        tracing::trace!("nobody waits for this answer any more");
    }
}
