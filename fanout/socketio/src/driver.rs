//! The task of one session: it waits for bytes, bodies, deadlines, answers of the host and kicks, and acts on each in turn.
//! It promises to wait in one place, to call the host outside of every borrow, to end in exactly one way, and to give
//! all back when it does. What a message means is the application's.

use std::{
    convert::Infallible,
    mem,
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::{Duration, Instant, Sleep};

use crate::{
    application::Application,
    close::{Close, DisconnectReason, Ending, Farewell},
    connection::{Connection, PostAnswer, PostBody, Posted},
    engine::{self, Message, Packet, payload},
    heartbeat::{Beat, Heartbeat},
    request::HandshakeError,
    websocket::{self, Incoming, Reader},
};

/// How long a closed transport may take to send what is queued and to hear the client's end. Twice the time that a
/// lost segment on a slow mobile link needs to be sent again.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Reads of one connection between two yields: half a MiB of one client's data.
const READS_A_TURN: u32 = 8;

/// Runs a session to its end.
pub(crate) async fn run<A: Application>(
    application: A,
    connection: Rc<Connection>,
    already_read: Vec<u8>,
) {
    let mut driver = Driver::new(application, connection);
    let served = AssertUnwindSafe(driver.serve(already_read)).catch_unwind();
    let ending = match served.await {
        Ok(Err(ending)) => ending,
        Ok(Ok(never)) => match never {},
        Err(_) => {
            tracing::error!("the host panicked; its connection is closed");
            DisconnectReason::HostPanicked.into()
        }
    };
    driver.say_farewell(ending);
    driver.linger(ending).await;
}

/// What a session waits for.
enum Wake {
    Kicked,
    Deadline,
    Worked(Result<(), Ending>),
    Writable,
    Read(std::io::Result<usize>),
    Posted(Posted),
    /// A poll was given up.
    Abandoned,
}

struct Driver<A: Application> {
    application: A,
    connection: Rc<Connection>,
    reader: Reader,
    /// The answer to the latest ping of the WebSocket itself: an older one needs none (RFC 6455 §5.5.3).
    pong: Option<Bytes>,
    heartbeat: Heartbeat,
    flood: Flood,
    /// One timer for all deadlines.
    timer: Pin<Box<Sleep>>,
}

impl<A: Application> Drop for Driver<A> {
    /// However the task ends, also by the end of its runtime, nothing of the connection outlives it.
    fn drop(&mut self) {
        self.connection.release();
    }
}

impl<A: Application> Driver<A> {
    fn new(application: A, connection: Rc<Connection>) -> Self {
        let now = Instant::now();
        let config = connection.worker().config();
        let heartbeat = Heartbeat::begin(connection.protocol(), now, config);
        connection.set_dead_at(heartbeat.dead_at());
        Self {
            timer: Box::pin(tokio::time::sleep_until(heartbeat.next())),
            flood: Flood::new(now, config.packets_per_second_max),
            heartbeat,
            application,
            connection,
            reader: Reader::default(),
            pong: None,
        }
    }

    async fn serve(&mut self, mut already_read: Vec<u8>) -> Result<Infallible, Ending> {
        self.application.on_open();
        self.on_bytes(&mut already_read)?;
        drop(already_read);
        let mut reads = 0;
        loop {
            self.set_timer();
            match std::future::poll_fn(|cx| self.poll_wake(cx)).await {
                Wake::Kicked => self.on_kicked()?,
                Wake::Deadline => self.on_deadline(Instant::now())?,
                Wake::Worked(done) => done.and_then(|()| self.settle())?,
                Wake::Writable => self.connection.write_out(),
                Wake::Read(Err(_)) => return Err(DisconnectReason::TransportError.into()),
                Wake::Read(Ok(0)) | Wake::Abandoned | Wake::Posted(Posted::GivenUp) => {
                    return Err(DisconnectReason::TransportClosed.into());
                }
                Wake::Posted(Posted::Body(body, answer)) => self.on_posted(body, answer)?,
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

    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if self.connection.poll_kicked(cx).is_ready() {
            return Poll::Ready(Wake::Kicked);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Wake::Deadline);
        }
        if let Poll::Ready(done) = self.application.poll_work(cx) {
            return Poll::Ready(Wake::Worked(done));
        }
        if let Poll::Ready(posted) = self.connection.poll_posted(cx) {
            return Poll::Ready(Wake::Posted(posted));
        }
        if self.connection.poll_abandoned(cx).is_ready() {
            return Poll::Ready(Wake::Abandoned);
        }
        if self.connection.poll_unblocked(cx).is_ready() {
            return Poll::Ready(Wake::Writable);
        }
        self.connection.poll_read(cx).map(Wake::Read)
    }

    fn on_kicked(&mut self) -> Result<(), Ending> {
        if let Some(reader) = self.connection.take_handed_over() {
            self.reader = *reader;
            self.on_bytes(&mut [])?;
        }
        self.settle()
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
        let limit = self.connection.payload_max();
        let mut reader = mem::take(&mut self.reader);
        let result = reader.read(data, limit, |incoming| self.on_incoming(incoming));
        let frames = reader.take_frames();
        self.reader = reader;
        if let Some(pong) = self.pong.take() {
            self.connection.queue(pong);
        }
        result?;
        self.flood.count(frames, Instant::now)
    }

    fn on_incoming(&mut self, incoming: Incoming<'_>) -> Result<(), Ending> {
        let protocol = self.connection.protocol();
        let packet = match incoming {
            Incoming::Text(text) => match payload::binary(text, protocol)? {
                Some(bytes) => return self.on_packet(Packet::Message(Message::Binary(&bytes))),
                None => Packet::parse(text, protocol),
            },
            Incoming::Binary(bytes) => Packet::parse_binary(bytes, protocol),
            Incoming::Ping(payload) => {
                self.pong = Some(websocket::pong_frame(payload));
                return Ok(());
            }
            Incoming::Pong => return Ok(()),
            Incoming::Close(code) => {
                return Err(Ending {
                    reason: DisconnectReason::TransportClosed,
                    farewell: Farewell::Echo(code),
                });
            }
        };
        self.on_packet(packet.ok_or(DisconnectReason::ProtocolError)?)
    }

    /// The body of a POST: it is answered with what became of it.
    fn on_posted(
        &mut self,
        body: PostBody,
        answer: tokio::sync::oneshot::Sender<PostAnswer>,
    ) -> Result<(), Ending> {
        let protocol = self.connection.protocol();
        let (result, told) = match body {
            PostBody::TooBig => {
                let ending = DisconnectReason::TooBig.into();
                (Err(ending), Err(HandshakeError::TooBig))
            }
            PostBody::Received { bytes, is_binary } => {
                let read = payload::decode(&bytes, is_binary, protocol, |packet| {
                    self.flood.count(1, Instant::now)?;
                    self.on_packet(packet)
                });
                let told = match read {
                    Err(ending) if ending.is_fault() => Err(HandshakeError::BadRequest),
                    _ => Ok(()),
                };
                (read, told)
            }
        };
        if answer.send(told).is_err() {
            tracing::trace!("the client of a POST is gone");
        }
        result
    }

    fn on_packet(&mut self, packet: Packet<'_>) -> Result<(), Ending> {
        let now = Instant::now();
        let config = self.connection.worker().config();
        self.heartbeat.on_packet(&packet, now, config);
        self.connection.set_dead_at(self.heartbeat.dead_at());
        match packet {
            Packet::Message(message) => self.application.on_message(message)?,
            Packet::Ping(data) => self.connection.queue(engine::pong_frame(data)),
            Packet::Pong | Packet::Idle => {}
            Packet::Close => {
                return Err(Ending {
                    reason: DisconnectReason::TransportClosed,
                    farewell: Farewell::Agreed,
                });
            }
        }
        self.settle()
    }

    // --- time

    /// Sets the timer to the next of the deadlines.
    fn set_timer(&mut self) {
        let next = [self.application.deadline(), self.write_by()]
            .into_iter()
            .flatten()
            .fold(self.heartbeat.next(), Instant::min);
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
    }

    fn write_by(&self) -> Option<Instant> {
        let timeout = self.connection.worker().config().ping_timeout;
        self.connection.stalled_since().map(|since| since + timeout)
    }

    fn on_deadline(&mut self, now: Instant) -> Result<(), Ending> {
        self.application.on_deadline(now)?;
        if self.write_by().is_some_and(|by| by <= now) {
            // Ended through the connection, so that what waits is dropped before the farewell.
            self.connection.end(DisconnectReason::TooSlow.into());
            return Err(DisconnectReason::TooSlow.into());
        }
        let config = self.connection.worker().config();
        match self.heartbeat.on_time(now, config) {
            Beat::Dead => return Err(DisconnectReason::PingTimeout.into()),
            Beat::Ping => self.connection.queue_control(engine::PING_FRAME),
            Beat::None => {}
        }
        self.connection.set_dead_at(self.heartbeat.dead_at());
        self.settle()
    }

    // --- the end

    /// Lets the application catch up with what happened, and goes no further if the transport is to end.
    fn settle(&mut self) -> Result<(), Ending> {
        self.application.settle()?;
        self.connection.ending().map_or(Ok(()), Err)
    }

    /// Tells the application and queues the last frame.
    fn say_farewell(&mut self, ending: Ending) {
        self.connection.end(ending);
        let told = AssertUnwindSafe(|| self.application.on_end(ending.reason));
        if std::panic::catch_unwind(told).is_err() {
            tracing::error!("the host panicked when it was told of an end");
        }
        let is_websocket = self.connection.is_websocket();
        let frame = match ending.farewell {
            Farewell::Silent => return,
            Farewell::Agreed if is_websocket => websocket::close_frame(Some(Close::Normal.code())),
            Farewell::Agreed => engine::NOOP_FRAME,
            Farewell::Frame(code) if is_websocket => websocket::close_frame(Some(code)),
            Farewell::Frame(_) if ending.is_return() => return,
            Farewell::Frame(_) => engine::CLOSE_FRAME,
            Farewell::Echo(code) => websocket::close_frame(code),
        };
        self.connection.queue_control(frame);
    }

    /// Sends what is queued. If the peer of a WebSocket does not know of the end yet, ends our half and reads to its
    /// end: a connection that is dropped with unread bytes is reset, and the reset can overtake the farewell. A client
    /// that polls is waited for only where it is to come back.
    async fn linger(&mut self, ending: Ending) {
        let connection = &self.connection;
        let is_websocket = connection.is_websocket();
        let is_over = match ending.farewell {
            Farewell::Silent => true,
            Farewell::Echo(_) => false,
            Farewell::Frame(_) | Farewell::Agreed => !is_websocket && !ending.is_awaited(),
        };
        if is_over {
            return connection.write_out();
        }
        let goodbye = async {
            std::future::poll_fn(|cx| connection.poll_flushed(cx)).await;
            if is_websocket && !matches!(ending.farewell, Farewell::Echo(_)) {
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

/// How many packets a client may send: a fixed window, which is cheap and bounds any two seconds at three times.
struct Flood {
    most: u32,
    seen: u32,
    since: Instant,
}

impl Flood {
    fn new(now: Instant, most: u32) -> Self {
        Self {
            most,
            seen: 0,
            since: now,
        }
    }

    fn count(&mut self, packets: u32, now: impl FnOnce() -> Instant) -> Result<(), Ending> {
        self.seen = self.seen.saturating_add(packets);
        if self.most == 0 || self.seen <= self.most {
            return Ok(());
        }
        // The clock is read only where it matters.
        let now = now();
        if now.duration_since(self.since) < Duration::from_secs(1) {
            return Err(DisconnectReason::Flood.into());
        }
        self.since = now;
        self.seen = packets;
        Ok(())
    }
}
