//! One connection of one shard, from its dialling to its end, with a watchdog for each step.
//!
//! A connection is never revived: whatever ends it, the supervisor builds the next from the session. So the
//! vendor's own reconnecting, which knows no patience (discord.md §2), never runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use proto::identity::Dispatch;
use runtime::time::now_ms;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use twilight_gateway::error::{ReceiveMessageError, ReceiveMessageErrorType};
use twilight_gateway::{CloseFrame, Message, Shard, ShardState};

use super::budget::Permit;
use super::commands::Commands;
use super::polled::{Polled, poll};
use super::session::{Session, Sessions};
use super::silence::Silence;
use crate::buffer::Buffer;
use crate::frame::Peek;
use crate::outcome::{Outcome, Outcomes, Refusal};
use crate::roster::Roster;
use crate::shard::ShardId;
use crate::status::Status;

/// How long Discord may take to its HELLO, dialling included.
const HELLO: Duration = Duration::from_secs(20);
/// How long from there to READY or RESUMED, the wait for the turn of an IDENTIFY aside.
const READY: Duration = Duration::from_secs(30);
/// How often a live connection is looked at for silence.
const LOOK: Duration = Duration::from_secs(1);
/// How long a close may take.
const CLOSE: Duration = Duration::from_secs(10);
/// How long the close of a service that ends may take, or of a session that is gone.
const CLOSE_AT_END: Duration = Duration::from_secs(2);

/// Close codes after which the session is gone (discord.md §3).
const SESSION_GONE: [u16; 3] = [4003, 4007, 4009];

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It is lost; the session, if there is one, is to be resumed.
    Lost(&'static str),
    /// No connection came about.
    Unreachable,
    /// Discord does not know the session (op 9 `false`, or a close code that says so).
    SessionGone,
    /// We left, because the buffer is full.
    Full,
    /// We left, because events that came regularly stay away.
    Silent,
    /// We left, because we were told to.
    Stopped,
    /// Discord will not have us back (its close code).
    Fatal(u16),
}

/// What a connection works with.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) shard: ShardId,
    pub(super) buffer: Buffer,
    pub(super) outcomes: Outcomes,
    pub(super) status: Status,
    pub(super) roster: Roster,
    pub(super) commands: Commands,
    /// Whether the gateway tells of every change of a member.
    pub(super) is_told_of_members: bool,
    /// An IDENTIFY went out on this connection.
    pub(super) has_identified: Arc<AtomicBool>,
    /// The session with the last received sequence: it outlives the task.
    pub(super) session: Arc<Mutex<Option<Session>>>,
    /// The sessions as they began or were resumed, for whoever records them.
    pub(super) sessions: watch::Sender<Sessions>,
    /// What is known of the kinds of events.
    pub(super) silence: Arc<Mutex<Silence>>,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Dialling,
    Greeted,
    Live,
    Closing(End),
}

struct Connection {
    line: Line,
    shard: Shard,
    /// The right to IDENTIFY, until the session is live.
    permit: Option<Permit>,
    phase: Phase,
    deadline: Instant,
    /// From one heartbeat to the next.
    beat: Duration,
    /// The first heartbeat that has no answer yet.
    unanswered: Option<std::time::Instant>,
    has_said_unreadable: bool,
}

#[derive(Deserialize)]
struct Hello {
    heartbeat_interval: u64,
}

#[derive(Deserialize)]
struct Ready {
    session_id: String,
    resume_gateway_url: String,
}

/// Holds one connection until it ends. A connection that IDENTIFYs has a permit, one that RESUMEs needs none.
pub(super) async fn run(
    line: Line,
    shard: Shard,
    permit: Option<Permit>,
    stop: CancellationToken,
) -> End {
    let connection = Connection {
        line,
        shard,
        permit,
        phase: Phase::Dialling,
        deadline: Instant::now() + HELLO,
        beat: Duration::ZERO,
        unanswered: None,
        has_said_unreadable: false,
    };
    connection.run(stop).await
}

impl Connection {
    async fn run(mut self, stop: CancellationToken) -> End {
        loop {
            let is_closing = matches!(self.phase, Phase::Closing(_));
            let end = tokio::select! {
                biased;
                () = stop.cancelled(), if !is_closing => self.on_stop(),
                () = sleep_until(self.deadline) => self.on_late(),
                polled = poll(&mut self.shard) => self.on_polled(polled),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn on_stop(&mut self) -> Option<End> {
        if self.phase == Phase::Dialling {
            return Some(End::Stopped);
        }
        self.leave(End::Stopped, CLOSE_AT_END);
        None
    }

    fn on_late(&mut self) -> Option<End> {
        match self.phase {
            Phase::Dialling => Some(End::Lost("no HELLO in time")),
            Phase::Greeted => Some(End::Lost("no READY or RESUMED in time")),
            Phase::Live => {
                self.look(Instant::now());
                None
            }
            Phase::Closing(end) => Some(end),
        }
    }

    /// A RESUME brings what was withheld, and costs nothing where nothing was.
    fn look(&mut self, now: Instant) {
        // A look that is late was held up, and events may have been too: they come first.
        let is_late = now.duration_since(self.deadline) > LOOK;
        self.deadline = now + LOOK;
        if is_late {
            return;
        }
        let overdue = self.line.silence.lock().look(now);
        if let Some(kind) = overdue {
            let shard = self.line.shard.number;
            tracing::warn!(shard, kind, "events stay away; the shard resumes");
            self.leave(End::Silent, CLOSE);
        } else if self.is_unanswered() {
            let shard = self.line.shard.number;
            tracing::warn!(shard, "a heartbeat was not answered; the shard resumes");
            self.leave(End::Lost("no answer to a heartbeat"), CLOSE);
        }
    }

    /// Whether a heartbeat had no answer when the next went out: then Discord asks for another connection, also where this
    /// one still brings events, which the vendor's code takes for a sign of life
    /// (<https://docs.discord.com/developers/events/gateway#heartbeat-interval-example-heartbeat-ack>).
    fn is_unanswered(&mut self) -> bool {
        let latency = self.shard.latency();
        let waiting = latency.sent().filter(|_| latency.received().is_none());
        let Some(sent) = waiting else {
            self.unanswered = None;
            return false;
        };
        let first = *self.unanswered.get_or_insert(sent);
        // One that Discord asked for may follow another closely.
        sent.duration_since(first) > self.beat / 2
    }

    /// Closes with a code that keeps the session (4000).
    fn leave(&mut self, end: End, patience: Duration) {
        self.shard.close(CloseFrame::RESUME);
        self.close(end, patience);
    }

    /// The close is under way.
    fn close(&mut self, end: End, patience: Duration) {
        self.phase = Phase::Closing(end);
        self.deadline = Instant::now() + patience;
    }

    fn on_polled(&mut self, polled: Polled) -> Option<End> {
        match (polled, self.phase) {
            (Polled::Item(Some(Ok(Message::Text(text)))), _) => self.on_text(text),
            (Polled::Item(Some(Err(error))), _) => self.on_error(&error),
            (Polled::Item(_) | Polled::Gone, Phase::Closing(end)) => Some(end),
            (Polled::Item(Some(Ok(Message::Close(frame)))), _) => {
                let code = frame.map_or(1005, |frame| frame.code);
                Some(self.closed(code))
            }
            // The stream ends only after a fatal close, whose code came before.
            (Polled::Item(None), _) => Some(End::Lost("the shard ended")),
            (Polled::Gone, _) => Some(End::Lost("the connection broke")),
        }
    }

    fn closed(&self, code: u16) -> End {
        tracing::info!(code, "Discord closed the gateway's connection");
        if self.shard.state() == ShardState::FatallyClosed {
            return End::Fatal(code);
        }
        if SESSION_GONE.contains(&code) {
            return End::SessionGone;
        }
        End::Lost("closed")
    }

    fn on_error(&mut self, error: &ReceiveMessageError) -> Option<End> {
        match (error.kind(), self.phase) {
            (ReceiveMessageErrorType::Reconnect, Phase::Closing(end)) => Some(end),
            (ReceiveMessageErrorType::Reconnect, _) => Some(End::Unreachable),
            (ReceiveMessageErrorType::Compression, _) => {
                tracing::warn!("the gateway's compression broke; the shard resumes");
                self.close(End::Lost("broken compression"), CLOSE);
                None
            }
            (_, Phase::Closing(_)) => None,
            _ => {
                self.on_unreadable();
                None
            }
        }
    }

    /// A frame that is no frame: counted each time, said once a connection. It may hold a message, so it is not shown.
    fn on_unreadable(&mut self) {
        if !std::mem::replace(&mut self.has_said_unreadable, true) {
            tracing::error!(
                "a frame of the gateway can't be read; others like it are only counted"
            );
        }
        self.line.outcomes.on_received();
        let refused = Outcome::Refused(Refusal::Malformed);
        self.line.outcomes.on_settled(refused);
    }

    fn on_text(&mut self, text: String) -> Option<End> {
        let Some(peek) = Peek::read(&text) else {
            self.on_unreadable();
            return None;
        };
        if let Phase::Closing(end) = self.phase {
            // What comes while we leave is not received: a RESUME brings it again. A HELLO is a new connection.
            return (peek.op == 10).then_some(end);
        }
        match peek.op {
            0 => {
                let Some(sequence) = peek.s else {
                    self.on_unreadable();
                    return None;
                };
                let is_ready = match peek.t.as_deref() {
                    Some("READY") => self.on_ready(&peek, sequence),
                    Some("RESUMED") => self.on_resumed(),
                    kind => {
                        self.on_kind(kind.unwrap_or_default());
                        true
                    }
                };
                if !is_ready {
                    return None;
                }
                drop(peek);
                self.on_dispatch(sequence, text)
            }
            7 => {
                tracing::info!("Discord asks for a new connection");
                self.close(End::Lost("asked to reconnect"), CLOSE);
                None
            }
            9 => {
                let is_resumable = peek.data() == "true";
                tracing::warn!(is_resumable, "Discord says that the session is invalid");
                // Nothing is left to lose by a close that is cut short once the session is gone.
                let (end, patience) = if is_resumable {
                    (End::Lost("told to resume"), CLOSE)
                } else {
                    (End::SessionGone, CLOSE_AT_END)
                };
                self.close(end, patience);
                None
            }
            10 => {
                self.phase = Phase::Greeted;
                let hello = serde_json::from_str::<Hello>(peek.data());
                self.beat = hello.map_or(Duration::ZERO, |hello| {
                    Duration::from_millis(hello.heartbeat_interval)
                });
                let turn = self.permit.as_ref().map(Permit::turn);
                // The vendor's code answers a HELLO with it, once its turn has come.
                let identifies = self.permit.is_some();
                self.line
                    .has_identified
                    .store(identifies, Ordering::Relaxed);
                self.deadline = Instant::now() + READY + turn.unwrap_or_default();
                None
            }
            _ => None,
        }
    }

    /// A new session; false if the frame does not say which.
    fn on_ready(&mut self, peek: &Peek<'_>, sequence: u64) -> bool {
        let Ok(ready) = serde_json::from_str::<Ready>(peek.data()) else {
            tracing::error!("READY names no session");
            return false;
        };
        let session = Session {
            shard: self.line.shard,
            id: ready.session_id,
            epoch: rand::random(),
            resume_url: Some(ready.resume_gateway_url),
            sequence,
            is_told_of_members: self.line.is_told_of_members,
        };
        *self.line.session.lock() = Some(session.clone());
        let begun = |sessions: &mut Sessions| sessions.insert(session.shard.number, session);
        self.line.sessions.send_modify(|all| drop(begun(all)));
        let (shard, is_told) = (self.line.shard, self.line.is_told_of_members);
        self.line.roster.on_intents(shard, is_told);
        self.line.silence.lock().on_anew(Instant::now());
        self.on_live(false);
        true
    }

    fn on_resumed(&mut self) -> bool {
        let verdict = self.line.silence.lock().on_resumed(Instant::now());
        if let Some(verdict) = verdict {
            tracing::info!(shard = self.line.shard.number, ?verdict, "after a silence");
            self.line.status.on_silence(verdict);
        }
        self.on_live(true);
        true
    }

    fn on_live(&mut self, is_resumed: bool) {
        let shard = self.line.shard;
        let (number, of) = (shard.number, shard.count);
        tracing::info!(shard = number, of, is_resumed, "the gateway is connected");
        self.permit = None;
        self.phase = Phase::Live;
        self.deadline = Instant::now() + LOOK;
        self.line.commands.open(shard, self.shard.sender());
        self.line.status.on_connected(shard, is_resumed);
    }

    fn on_kind(&self, kind: &str) {
        let now = Instant::now();
        let mut silence = self.line.silence.lock();
        if self.phase == Phase::Live {
            silence.on_event(kind, now);
        } else {
            silence.on_replayed(kind, now);
        }
    }

    fn on_dispatch(&mut self, sequence: u64, text: String) -> Option<End> {
        let epoch = {
            let mut session = self.line.session.lock();
            // A dispatch before READY belongs to nothing that could be resumed.
            let session = session.as_mut()?;
            session.sequence = sequence;
            session.epoch
        };
        let dispatch = Dispatch {
            epoch,
            shard: self.line.shard.number,
            sequence,
        };
        let received_ms = now_ms();
        self.line.status.on_dispatch(self.line.shard, received_ms);
        self.line.outcomes.on_received();
        if !self.line.buffer.put(dispatch, text, received_ms) {
            self.leave(End::Stopped, CLOSE_AT_END);
        } else if self.line.buffer.is_full() {
            tracing::warn!("the publish buffer is full; the gateway is left until it has drained");
            self.leave(End::Full, CLOSE);
        }
        None
    }
}
