//! The task of one connection: it waits for bytes, deadlines, answers of the host and kicks, and acts on each in turn.
//! It promises to wait in one place, to call the host outside of every borrow, to end in exactly one way, and to give
//! all back when it does. What a packet means to namespaces is in `driver/namespaces.rs`.

mod namespaces;

use std::{
    mem,
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::LocalBoxFuture};
use tokio::time::{Duration, Instant, Sleep};

use crate::{
    close::{Close, DisconnectReason, Ending, Farewell},
    connection::Connection,
    engine,
    host::{Accepted, ConnectError, Host},
    websocket::{self, Incoming, Reader},
};

/// How long a closed transport may take to send what is queued and to hear the client's end. Twice the time that a
/// lost segment on a slow mobile link needs to be sent again.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Reads of one connection between two yields: half a MiB of one client's data.
const READS_A_TURN: u32 = 8;

/// Runs a connection to its end.
pub(crate) async fn run<H: Host>(host: Rc<H>, connection: Rc<Connection>, already_read: Vec<u8>) {
    let mut driver = Driver::new(host, connection);
    let served = AssertUnwindSafe(driver.serve(already_read)).catch_unwind();
    let ending = served.await.unwrap_or_else(|_| {
        tracing::error!("the host panicked; its connection is closed");
        DisconnectReason::HostPanicked.into()
    });
    driver.say_farewell(ending);
    driver.linger(ending.farewell).await;
}

/// A CONNECT that the host is looking at.
struct Pending<S> {
    place: usize,
    id: Box<str>,
    answer: LocalBoxFuture<'static, Result<Accepted<S>, ConnectError>>,
}

/// Who has to speak next, and by when.
enum Heartbeat {
    PingAt(Instant),
    PongBy(Instant),
}

/// What a connection waits for.
enum Wake<S> {
    Kicked,
    Deadline,
    Answered(usize, Box<str>, Result<Accepted<S>, ConnectError>),
    Writable,
    Read(std::io::Result<usize>),
}

struct Driver<H: Host> {
    host: Rc<H>,
    connection: Rc<Connection>,
    reader: Reader,
    pending: Vec<Pending<H::Session>>,
    /// The answer to the latest ping of the WebSocket itself: an older one needs none (RFC 6455 §5.5.3).
    pong: Option<bytes::Bytes>,
    heartbeat: Heartbeat,
    /// While no namespace is connected.
    connect_by: Option<Instant>,
    /// One timer for all deadlines.
    timer: Pin<Box<Sleep>>,
}

impl<H: Host> Drop for Driver<H> {
    /// However the task ends, also by the end of its runtime, nothing of the connection outlives it.
    fn drop(&mut self) {
        self.connection.release();
    }
}

impl<H: Host> Driver<H> {
    fn new(host: Rc<H>, connection: Rc<Connection>) -> Self {
        let now = Instant::now();
        let config = &connection.worker().config;
        Self {
            heartbeat: Heartbeat::PingAt(now + config.ping_interval),
            connect_by: Some(now + config.connect_timeout),
            timer: Box::pin(tokio::time::sleep_until(now + config.connect_timeout)),
            host,
            connection,
            reader: Reader::default(),
            pending: Vec::new(),
            pong: None,
        }
    }

    /// Serves until the transport ends, and says how.
    async fn serve(&mut self, already_read: Vec<u8>) -> Ending {
        match self.serve_until_ended(already_read).await {
            Err(ending) => ending,
            Ok(never) => match never {},
        }
    }

    async fn serve_until_ended(
        &mut self,
        mut already_read: Vec<u8>,
    ) -> Result<std::convert::Infallible, Ending> {
        self.on_bytes(&mut already_read)?;
        drop(already_read);
        let mut reads = 0;
        loop {
            self.set_timer();
            match std::future::poll_fn(|cx| self.poll_wake(cx)).await {
                Wake::Kicked => self.settle()?,
                Wake::Deadline => self.on_deadline(Instant::now())?,
                Wake::Answered(place, id, answer) => self.on_answer(place, id, answer)?,
                Wake::Writable => self.connection.write_out(),
                Wake::Read(Err(_)) => return Err(DisconnectReason::TransportError.into()),
                Wake::Read(Ok(0)) => return Err(DisconnectReason::TransportClosed.into()),
                Wake::Read(Ok(length)) => {
                    self.on_scratch(length)?;
                    reads += 1;
                    if reads % READS_A_TURN == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }

    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake<H::Session>> {
        if self.connection.poll_kicked(cx).is_ready() {
            return Poll::Ready(Wake::Kicked);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Wake::Deadline);
        }
        for index in 0..self.pending.len() {
            let Some(pending) = self.pending.get_mut(index) else {
                break;
            };
            if let Poll::Ready(answer) = pending.answer.as_mut().poll(cx) {
                let pending = self.pending.swap_remove(index);
                return Poll::Ready(Wake::Answered(pending.place, pending.id, answer));
            }
        }
        if self.connection.poll_unblocked(cx).is_ready() {
            return Poll::Ready(Wake::Writable);
        }
        self.connection.poll_read(cx).map(Wake::Read)
    }

    // --- bytes

    /// Handles what was just read into the worker's scratch buffer.
    fn on_scratch(&mut self, length: usize) -> Result<(), Ending> {
        let worker = Rc::clone(self.connection.worker());
        // Held while the host is called: nothing that a host can reach reads.
        let mut scratch = worker.scratch.borrow_mut();
        self.on_bytes(scratch.get_mut(..length).unwrap_or_default())
    }

    fn on_bytes(&mut self, data: &mut [u8]) -> Result<(), Ending> {
        let limit = self.payload_max();
        let mut reader = mem::take(&mut self.reader);
        let result = reader.read(data, limit, |incoming| self.on_incoming(incoming));
        self.reader = reader;
        if let Some(pong) = self.pong.take() {
            self.connection.queue(pong);
        }
        result
    }

    fn payload_max(&self) -> usize {
        let config = &self.connection.worker().config;
        if self.connect_by.is_none() {
            return config.max_payload;
        }
        config.max_payload.min(config.unauthenticated_payload_max)
    }

    fn on_incoming(&mut self, incoming: Incoming<'_>) -> Result<(), Ending> {
        match incoming {
            Incoming::Text(text) => self.on_text(text)?,
            Incoming::Ping(payload) => self.pong = Some(websocket::pong_frame(payload)),
            Incoming::Pong => {}
            Incoming::Close(code) => {
                return Err(Ending {
                    reason: DisconnectReason::TransportClosed,
                    farewell: Farewell::Echo(code),
                });
            }
        }
        self.settle()
    }

    fn on_text(&mut self, text: &str) -> Result<(), Ending> {
        match engine::Packet::parse(text) {
            Some(engine::Packet::Message(message)) => self.on_message(message),
            Some(engine::Packet::Pong) => {
                let interval = self.connection.worker().config.ping_interval;
                self.heartbeat = Heartbeat::PingAt(Instant::now() + interval);
                Ok(())
            }
            Some(engine::Packet::Close) => Err(Ending {
                reason: DisconnectReason::TransportClosed,
                farewell: Farewell::Frame(Close::Normal.code()),
            }),
            None => Err(DisconnectReason::ProtocolError.into()),
        }
    }

    // --- time

    /// Sets the timer to the next of the deadlines.
    fn set_timer(&mut self) {
        let (Heartbeat::PingAt(beat) | Heartbeat::PongBy(beat)) = self.heartbeat;
        let next = [self.connect_by, self.write_by()]
            .into_iter()
            .flatten()
            .fold(beat, Instant::min);
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
    }

    fn write_by(&self) -> Option<Instant> {
        let timeout = self.connection.worker().config.ping_timeout;
        self.connection.stalled_since().map(|since| since + timeout)
    }

    fn on_deadline(&mut self, now: Instant) -> Result<(), Ending> {
        if self.connect_by.is_some_and(|by| by <= now) {
            return Err(DisconnectReason::ConnectTimeout.into());
        }
        if self.write_by().is_some_and(|by| by <= now) {
            // Ended through the connection, so that what waits is dropped before the farewell.
            self.connection.end(DisconnectReason::TooSlow.into());
            return Err(DisconnectReason::TooSlow.into());
        }
        match self.heartbeat {
            Heartbeat::PongBy(by) if by <= now => Err(DisconnectReason::PingTimeout.into()),
            Heartbeat::PingAt(at) if at <= now => {
                self.connection.queue(engine::PING_FRAME);
                let timeout = self.connection.worker().config.ping_timeout;
                self.heartbeat = Heartbeat::PongBy(now + timeout);
                Ok(())
            }
            Heartbeat::PongBy(_) | Heartbeat::PingAt(_) => Ok(()),
        }
    }

    // --- the end

    /// Tells the host what ended meanwhile, and goes no further if the transport is to end.
    fn settle(&mut self) -> Result<(), Ending> {
        while let Some((socket, reason)) = self.connection.take_departed() {
            self.host.on_disconnected(&socket, reason);
        }
        if self.connect_by.is_none() && !self.connection.has_connected() {
            let timeout = self.connection.worker().config.connect_timeout;
            self.connect_by = Some(Instant::now() + timeout);
        }
        self.connection.ending().map_or(Ok(()), Err)
    }

    /// Tells the host and queues the last frame.
    fn say_farewell(&mut self, ending: Ending) {
        self.connection.end(ending);
        self.pending.clear();
        self.connection.dismiss_all(ending.reason);
        while let Some((socket, reason)) = self.connection.take_departed() {
            let told = AssertUnwindSafe(|| self.host.on_disconnected(&socket, reason));
            if std::panic::catch_unwind(told).is_err() {
                tracing::error!("the host panicked when it was told of a socket's end");
            }
        }
        let code = match ending.farewell {
            Farewell::Frame(code) => Some(code),
            Farewell::Echo(code) => code,
            Farewell::Silent => return,
        };
        self.connection.queue_farewell(websocket::close_frame(code));
    }

    /// Sends what is queued. If the peer does not know of the end yet, ends our half and reads to its end: a
    /// connection that is dropped with unread bytes is reset, and the reset can overtake the farewell.
    async fn linger(&mut self, farewell: Farewell) {
        if let Farewell::Silent = farewell {
            return;
        }
        let connection = &self.connection;
        let goodbye = async {
            std::future::poll_fn(|cx| connection.poll_flushed(cx)).await;
            if let Farewell::Frame(_) = farewell {
                std::future::poll_fn(|cx| connection.poll_shutdown(cx)).await?;
                while std::future::poll_fn(|cx| connection.poll_read(cx)).await? > 0 {}
            }
            std::io::Result::Ok(())
        };
        match tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the connection broke while it was closed"),
            Err(_) => tracing::debug!("the client did not close its end in time"),
        }
    }
}
