//! Acknowledgements: the answer that a client asked for, and the answer that we ask a client for.
//! It promises that an answer is sent once at most, that a question has one answer at most, and that both are nothing
//! after the socket's end.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{
    sync::oneshot,
    time::{Duration, timeout},
};

use super::Socket;
use crate::{
    frame::{Frame, Kind},
    host::Reply,
};

/// Questions to one socket that wait for their answers. A client that answers none holds no more than these.
const QUESTIONS_MAX: usize = 1024;

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The client said nothing in time.
    #[error("no answer in time")]
    Late,
    /// The socket has ended.
    #[error("the socket has ended")]
    Ended,
    /// Too many questions wait already; this one was not sent.
    #[error("too many questions wait for their answers")]
    TooMany,
}

/// What a socket's client was asked.
#[derive(Debug, Default)]
pub(super) struct Questions {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
}

impl Socket {
    /// Emits an event and waits for its acknowledgement. What is not awaited for is forgotten: dropping the future, or
    /// the end of `patience`, leaves the client's late answer unheard. The event is sent when the future is first polled.
    ///
    /// # Errors
    /// There is no answer, for one of the reasons of [`Unanswered`].
    pub async fn ask(&self, frame: &Frame, patience: Duration) -> Result<Reply, Unanswered> {
        let (id, answer) = self.question()?;
        let question = Question { socket: self, id };
        let connection = &self.0.connection;
        self.queue(frame.question(self.namespace(), connection.protocol(), id));
        let answered = timeout(patience, answer).await;
        drop(question);
        match answered {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(Unanswered::Ended),
            Err(_) => Err(Unanswered::Late),
        }
    }

    fn question(&self) -> Result<(u64, oneshot::Receiver<Reply>), Unanswered> {
        if !self.is_connected() {
            return Err(Unanswered::Ended);
        }
        let mut questions = self.0.questions.borrow_mut();
        let questions = questions.get_or_insert_default();
        if questions.waiting.len() >= QUESTIONS_MAX {
            return Err(Unanswered::TooMany);
        }
        let id = questions.next;
        questions.next += 1;
        let (sender, answer) = oneshot::channel();
        questions.waiting.insert(id, sender);
        Ok((id, answer))
    }

    /// Somebody waits for the client's answer of this number.
    pub(crate) fn waits_for(&self, id: u64) -> bool {
        let questions = self.0.questions.borrow();
        questions
            .as_ref()
            .is_some_and(|questions| questions.waiting.contains_key(&id))
    }

    /// An answer of the client. One that nobody waits for is passed over, as the reference server does.
    pub(crate) fn on_reply(&self, id: u64, reply: Reply) {
        let mut questions = self.0.questions.borrow_mut();
        let waiting = questions.as_mut().and_then(|q| q.waiting.remove(&id));
        if waiting.is_none_or(|waiting| waiting.send(reply).is_err()) {
            tracing::debug!("an acknowledgement that nobody waits for");
        }
    }
}

/// A question that waits; forgotten when dropped.
struct Question<'a> {
    socket: &'a Socket,
    id: u64,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if let Some(questions) = &mut *self.socket.0.questions.borrow_mut() {
            questions.waiting.remove(&self.id);
        }
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
        self.send_binary(args, &[]);
    }

    /// Answers with arguments that are JSON already, in which `{"_placeholder":true,"num":N}` stands for the attachment of
    /// that number, from 0.
    pub fn send_binary(self, args: &[&RawValue], attachments: &[Bytes]) {
        let length: usize = args.iter().map(|arg| arg.get().len() + 1).sum();
        let mut array = String::with_capacity(length + 2);
        array.push('[');
        for (index, arg) in args.iter().enumerate() {
            if index > 0 {
                array.push(',');
            }
            array.push_str(arg.get());
        }
        array.push(']');
        self.send_array(&array, attachments);
    }

    /// Answers with one argument.
    ///
    /// # Errors
    /// If it has no JSON form; then nothing is sent.
    pub fn send_json(self, arg: &impl Serialize) -> Result<(), serde_json::Error> {
        let array = serde_json::to_string(&[arg])?;
        self.send_array(&array, &[]);
        Ok(())
    }

    fn send_array(self, array: &str, attachments: &[Bytes]) {
        let socket = &self.socket;
        let (namespace, protocol) = (socket.namespace(), socket.protocol());
        let id = Some(self.id);
        socket.queue(Kind::Ack.frames(namespace, id, array, attachments, protocol));
    }
}
