//! A viewer's link, whichever transport carries it: where events go out, and where a request is answered.

pub mod socketio;

use std::sync::Arc;

use actix_socketio::{Ack, Close, Socket};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::frames::{Frames, json};
use crate::joins::Joins;
use crate::request::{Code, Refusal, Severity};

/// Half of the default of `SOCKET_QUEUE_MAX`.
const LADEN_BYTES: usize = 512 * 1024;

/// Where a viewer's events go.
#[derive(Debug, Clone)]
pub enum Link {
    /// A Socket.IO socket.
    SocketIo(Socket),
}

impl Link {
    /// Queues an event.
    pub fn send(&self, frames: &Frames) {
        match self {
            Self::SocketIo(socket) => socket.send(frames.socketio()),
        }
    }

    /// Queues an event of one object.
    pub fn emit(&self, name: &'static str, data: &impl Serialize) {
        if let Some(data) = json(data) {
            self.send(&Frames::event(name, data));
        }
    }

    /// So much waits for this client that a page more could be too much: a page has seldom more than half a
    /// mebibyte, and twice that is the queue's bound.
    pub fn is_laden(&self) -> bool {
        let queued = match self {
            Self::SocketIo(socket) => socket.queued_bytes(),
        };
        queued > LADEN_BYTES
    }

    /// Closes the transport, so that the client comes back.
    pub fn close(&self, close: Close) {
        match self {
            Self::SocketIo(socket) => socket.close(close),
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
    /// Where the answer to a join is counted.
    joins: Option<Arc<Joins>>,
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

impl Reply {
    /// The answer to an event of this name.
    pub fn new(link: Link, ack: Option<Ack>, event: &str) -> Self {
        Self {
            link,
            ack,
            has_channels: event == "get_channels",
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

    /// Answers with this object, if an answer is wanted.
    pub fn done(self, data: &impl Serialize) {
        if let Some(joins) = &self.joins {
            joins.on_success();
        }
        if let (Some(ack), Some(data)) = (self.ack, json(data)) {
            send(ack, &data);
        }
    }

    /// Answers with a refusal.
    pub fn refuse(self, refusal: &Refusal) {
        if let Some(joins) = &self.joins {
            joins.on_refused(refusal.code);
        }
        let channel_id = refusal.channel.map(|channel| channel.to_string());
        let Some(ack) = self.ack else {
            let event = ErrorEvent {
                code: refusal.code,
                message: refusal.text,
                severity: refusal.code.severity(),
                channel_id,
            };
            self.link.emit("error", &event);
            return;
        };
        let failure = Failure {
            success: false,
            channel_id,
            error: refusal.text,
            code: refusal.code,
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
