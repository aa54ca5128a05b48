//! The task of one plain WebSocket: it waits in one place for bytes, for what is queued, for the answer to its
//! token and for deadlines, and ends in exactly one way, of which hub and client are told.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_socketio::{Close, Written};
use futures_util::future::LocalBoxFuture;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::Bounds;
use super::message::Said;
use super::wire::{self, Incoming, Reader};
use crate::address::ClientAddress;
use crate::auth::AuthError;
use crate::request::{Code, Refusal, is_free};
use crate::session::{Session, ViewerKey};
use crate::transport::pipe::Pipe;
use crate::transport::{Answer, Caller, Closed, Door, Link, Place, Reply};

/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;

/// How long a closed connection may take to send what is queued and to hear the client's end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// One open connection.
pub(super) struct Connection {
    door: Rc<Door>,
    bounds: Bounds,
    stream: Rc<TcpStream>,
    pipe: Rc<Pipe>,
    place: Place,
    reader: Reader,
    /// Where the client comes from.
    address: ClientAddress,
    stage: Stage,
    heartbeat: Heartbeat,
    /// Since when the kernel has taken nothing.
    blocked_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// How far the viewer has come.
enum Stage {
    /// No token yet.
    Unknown { by: Instant },
    /// The token is being looked at; nothing more is read meanwhile.
    Asking {
        by: Instant,
        session: LocalBoxFuture<'static, Result<Session, Closed>>,
        ack: Option<Box<RawValue>>,
    },
    /// In the hub.
    Known(ViewerKey),
}

/// Who has to speak next, and by when.
enum Heartbeat {
    PingAt(Instant),
    LifeBy(Instant),
}

/// The last frame to a client.
enum Farewell {
    /// Our close frame; the client's is waited for.
    Close(Close),
    /// The answer to the client's close frame, with its code.
    Echo(Option<u16>),
    /// Nothing: the connection is gone.
    Silent,
}

enum Wake {
    Kicked,
    Writable,
    Readable,
    Deadline,
    Answered(Result<Session, Closed>),
}

impl Connection {
    pub(super) fn new(
        door: Rc<Door>,
        bounds: Bounds,
        stream: Rc<TcpStream>,
        pipe: Rc<Pipe>,
        place: Place,
        address: ClientAddress,
        already_read: &[u8],
    ) -> Self {
        let now = Instant::now();
        let by = now + bounds.auth_timeout;
        Self {
            door,
            bounds,
            stream,
            pipe,
            place,
            address,
            reader: Reader::new(bounds.message_bytes_max, already_read),
            stage: Stage::Unknown { by },
            heartbeat: Heartbeat::PingAt(now + bounds.ping_interval),
            blocked_since: None,
            timer: Box::pin(sleep_until(by)),
        }
    }

    /// Runs the connection to its end. A token of the handshake's header needs no first message.
    pub(super) async fn run(mut self, token: Option<String>) {
        if let Some(token) = token {
            self.ask(token, None);
        }
        let farewell = match self.serve().await {
            Err(farewell) => farewell,
            Ok(never) => match never {},
        };
        if let Stage::Known(viewer) = self.stage {
            self.door.hub.on_disconnected(viewer);
        }
        self.say(farewell).await;
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Farewell> {
        loop {
            self.on_input()?;
            self.write_out()?;
            if let Some(close) = self.pipe.ending() {
                return Err(Farewell::Close(close));
            }
            match self.wake().await {
                // Both are looked at above.
                Wake::Kicked | Wake::Writable => {}
                Wake::Readable => self.read()?,
                Wake::Deadline => self.on_deadline(Instant::now())?,
                Wake::Answered(session) => self.on_answer(session),
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let deadline = self.deadline();
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        let (pipe, stream) = (&self.pipe, &self.stream);
        let is_blocked = self.blocked_since.is_some();
        let kicked = poll_fn(|cx| {
            if is_blocked {
                pipe.poll_ending(cx)
            } else {
                pipe.poll_kicked(cx)
            }
        });
        let is_asking = matches!(self.stage, Stage::Asking { .. });
        let answer = async {
            match &mut self.stage {
                Stage::Asking { session, .. } => session.await,
                Stage::Unknown { .. } | Stage::Known(_) => pending().await,
            }
        };
        // A broken stream is ready too: the read and the write say so.
        tokio::select! {
            biased;
            () = kicked => Wake::Kicked,
            () = &mut self.timer => Wake::Deadline,
            session = answer => Wake::Answered(session),
            _ = stream.writable(), if is_blocked => Wake::Writable,
            _ = stream.readable(), if !is_asking => Wake::Readable,
        }
    }

    // --- bytes

    fn read(&mut self) -> Result<(), Farewell> {
        let mut buffer = [0; READ_BYTES];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => Err(Farewell::Silent),
            Ok(length) => {
                self.heartbeat = Heartbeat::PingAt(Instant::now() + self.bounds.ping_interval);
                self.reader.extend(buffer.get(..length).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(Farewell::Silent),
        }
    }

    fn write_out(&mut self) -> Result<(), Farewell> {
        let waiting = self.pipe.queued_bytes();
        match self.pipe.write_out() {
            Written::All => self.blocked_since = None,
            // Whoever takes something is not stalled.
            Written::Blocked if self.pipe.queued_bytes() < waiting => {
                self.blocked_since = Some(Instant::now());
            }
            Written::Blocked => {
                self.blocked_since.get_or_insert_with(Instant::now);
            }
            Written::Failed => return Err(Farewell::Silent),
        }
        Ok(())
    }

    /// Handles every message that is there, until one has to be waited for.
    fn on_input(&mut self) -> Result<(), Farewell> {
        while !matches!(self.stage, Stage::Asking { .. }) && self.pipe.ending().is_none() {
            let limit = match self.stage {
                Stage::Known(_) => self.bounds.message_bytes_max,
                _ => self.bounds.unknown_message_bytes_max,
            };
            let incoming = self.reader.next(limit).map_err(Farewell::Close)?;
            match incoming {
                None => return Ok(()),
                Some(Incoming::Text(text)) => self.on_text(&text),
                Some(Incoming::Ping(payload)) => self.pipe.push(wire::pong(payload)),
                Some(Incoming::Pong) => {}
                Some(Incoming::Close(code)) => return Err(Farewell::Echo(code)),
            }
        }
        Ok(())
    }

    fn on_text(&mut self, text: &str) {
        let Some(mut said) = Said::read(text) else {
            let text = "expected {\"event\":…,\"data\":…,\"id\":…}";
            return self.refuse(&Refusal::new(Code::BadRequest, text, None));
        };
        let ack = said.take_id();
        let Stage::Known(viewer) = self.stage else {
            return match said.token() {
                Some(token) => self.ask(token, ack),
                None => self.refuse_auth(AuthError::Required),
            };
        };
        let ack = ack.map(|id| Answer::WebSocket(self.pipe.clone(), id));
        let reply = Reply::new(Link::WebSocket(self.pipe.clone()), ack, &said.event);
        let hub = &self.door.hub;
        hub.on_asked(viewer, said.asked(), is_free(&said.event), reply);
    }

    // --- the token

    fn ask(&mut self, token: String, ack: Option<Box<RawValue>>) {
        let door = self.door.clone();
        let caller = Caller {
            address: self.address,
            transport: Link::WebSocket(self.pipe.clone()).transport(),
        };
        self.stage = Stage::Asking {
            by: Instant::now() + self.bounds.auth_timeout,
            session: Box::pin(async move { door.admit(&token, caller).await }),
            ack,
        };
    }

    fn on_answer(&mut self, session: Result<Session, Closed>) {
        let by = Instant::now();
        let Stage::Asking { ack, .. } = std::mem::replace(&mut self.stage, Stage::Unknown { by })
        else {
            return;
        };
        let session = match session {
            Ok(session) => session,
            Err(closed) => return self.refuse(&closed.into()),
        };
        if let Some(id) = ack {
            let text = format!(
                r#"{{"ack":{},"data":{}}}"#,
                id.get(),
                json!({ "success": true })
            );
            self.pipe.push(wire::text(text));
        }
        self.place.on_authenticated();
        let link = Link::WebSocket(self.pipe.clone());
        self.stage = Stage::Known(self.door.hub.on_connected(session, link));
    }

    fn refuse_auth(&self, error: AuthError) {
        self.refuse(&error.into());
    }

    /// Says why, and ends.
    fn refuse(&self, refusal: &Refusal) {
        Link::WebSocket(self.pipe.clone()).emit_error(refusal);
        // Over a limit is for now, and anything else for good.
        let close = match refusal.code {
            Code::RateLimited => Close::TooSlow,
            _ => Close::Policy,
        };
        // What waits at an end over a limit is dropped: the reason goes out before it.
        if self.pipe.write_out() == Written::Blocked {
            tracing::trace!("a refused client takes nothing");
        }
        self.pipe.end(close);
    }

    // --- time

    fn deadline(&self) -> Instant {
        let (Heartbeat::PingAt(beat) | Heartbeat::LifeBy(beat)) = self.heartbeat;
        let known_by = match self.stage {
            Stage::Unknown { by } | Stage::Asking { by, .. } => Some(by),
            Stage::Known(_) => None,
        };
        let written_by = self.blocked_since.map(|at| at + self.bounds.ping_timeout);
        let others = [known_by, written_by].into_iter().flatten();
        others.fold(beat, Instant::min)
    }

    fn on_deadline(&mut self, now: Instant) -> Result<(), Farewell> {
        match self.stage {
            Stage::Unknown { by } if by <= now => self.refuse_auth(AuthError::Required),
            // The directory is not there: the client is to come back.
            Stage::Asking { by, .. } if by <= now => self.pipe.end(Close::TooSlow),
            _ => {}
        }
        let stalled = self.blocked_since.map(|at| at + self.bounds.ping_timeout);
        if stalled.is_some_and(|by| by <= now) {
            self.pipe.end_as_slow();
        }
        match self.heartbeat {
            Heartbeat::LifeBy(by) if by <= now => return Err(Farewell::Close(Close::Policy)),
            Heartbeat::PingAt(at) if at <= now => {
                self.pipe.push(wire::ping());
                self.heartbeat = Heartbeat::LifeBy(now + self.bounds.ping_timeout);
            }
            Heartbeat::LifeBy(_) | Heartbeat::PingAt(_) => {}
        }
        Ok(())
    }

    // --- the end

    /// Sends what is queued and the close frame, and reads to the client's end: a connection that is dropped with
    /// unread bytes is reset, and the reset can overtake the farewell.
    async fn say(self, farewell: Farewell) {
        let (code, is_answered) = match farewell {
            Farewell::Silent => return,
            Farewell::Close(close) => (Some(close.code()), false),
            Farewell::Echo(code) => (code, true),
        };
        let close = match farewell {
            Farewell::Close(close) => close,
            _ => Close::Normal,
        };
        self.pipe.end(close);
        self.pipe.push_farewell(wire::close(code));
        let goodbye = async {
            while self.pipe.write_out() == Written::Blocked {
                self.stream.writable().await?;
            }
            socket2::SockRef::from(&*self.stream).shutdown(std::net::Shutdown::Write)?;
            if !is_answered {
                read_to_end(&self.stream).await?;
            }
            io::Result::Ok(())
        };
        match timeout(CLOSE_TIMEOUT, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the connection broke while it was closed"),
            Err(_) => tracing::debug!("the client did not close its end in time"),
        }
    }
}

async fn read_to_end(stream: &TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
}
