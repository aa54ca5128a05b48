//! A viewer's link, whichever transport carries it: where events go out, and where a request is answered.

#[cfg(test)]
pub mod recorder;
pub mod socketio;

use actix_socketio::{Ack, Close, Socket};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::frames::{Frames, json};
use crate::request::{Code, Refusal, Severity};

/// Half of the default of `SOCKET_QUEUE_MAX`.
const LADEN_BYTES: usize = 512 * 1024;

/// Where a viewer's events go.
#[derive(Debug, Clone)]
pub enum Link {
    /// A Socket.IO socket.
    SocketIo(Socket),
    /// A test's.
    #[cfg(test)]
    Recorder(recorder::Recorder),
}

impl Link {
    /// Queues an event.
    pub fn send(&self, frames: &Frames) {
        match self {
            Self::SocketIo(socket) => socket.send(frames.socketio()),
            #[cfg(test)]
            Self::Recorder(recorder) => recorder.on_sent(frames),
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
            #[cfg(test)]
            Self::Recorder(_) => 0,
        };
        queued > LADEN_BYTES
    }

    /// Closes the transport, so that the client comes back.
    pub fn close(&self, close: Close) {
        match self {
            Self::SocketIo(socket) => socket.close(close),
            #[cfg(test)]
            Self::Recorder(recorder) => recorder.on_closed(close),
        }
    }

    /// Ends the session for good: official clients do not come back after a DISCONNECT.
    pub fn disconnect(&self) {
        match self {
            Self::SocketIo(socket) => socket.disconnect(),
            #[cfg(test)]
            Self::Recorder(recorder) => recorder.on_disconnected(),
        }
    }

    /// What is one for all sockets of one transport, and for them alone, while it is open.
    pub fn transport(&self) -> usize {
        match self {
            Self::SocketIo(socket) => std::rc::Rc::as_ptr(socket.handshake()).addr(),
            #[cfg(test)]
            Self::Recorder(recorder) => recorder.transport(),
        }
    }
}

/// Where a request is answered: its acknowledgement, or the `error` event if the client wants none.
#[derive(Debug)]
pub struct Reply {
    link: Link,
    ack: Option<Ack>,
    /// `get_channels` answers a failure with an empty list beside it.
    has_channels: bool,
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
#[serde(rename_all = "camelCase")]
struct RateLimited<'a> {
    message: &'a str,
    retry_after: u64,
}

impl Reply {
    /// The answer to an event of this name.
    pub fn new(link: Link, ack: Option<Ack>, event: &str) -> Self {
        Self {
            link,
            ack,
            has_channels: event == "get_channels",
        }
    }

    /// Answers with this object, if an answer is wanted.
    pub fn done(self, data: &impl Serialize) {
        if let (Some(ack), Some(data)) = (self.ack, json(data)) {
            send(ack, &data);
        }
    }

    /// Answers with a refusal.
    pub fn refuse(self, refusal: &Refusal) {
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
        if let Some(failure) = json(&failure) {
            send(ack, &failure);
        }
    }
}

fn send(ack: Ack, data: &RawValue) {
    ack.send(&[data]);
}
