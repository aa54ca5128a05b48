//! One gateway connection, from HELLO to its end. It owns the socket and reads its session's buffer;
//! one loop holds its whole life. It knows nothing of the world but what it must tell a new session.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::entrance::Unwelcome;
use super::greeting;
use super::inbound::{self, CloseReason, Command, MemberRequest};
use super::line::{self, CutBody, Order, Registration};
use super::members;
use super::pace::Pace;
use super::session::{Hold, Subscription};
use super::wire::Wire;
use crate::refusal::Refusal;
use crate::sim::Shared;
use crate::world::BOT_ID;

/// A client that has said nothing for so many halves of a heartbeat is gone.
const SILENT_HALVES_MAX: u32 = 5;
/// How long a client has to leave after op 7.
const RECONNECT_GRACE: Duration = Duration::from_secs(5);
/// The largest frame read at all; one over Discord's 4,096 bytes is read, to be refused properly.
const FRAME_MAX: usize = 1 << 20;

/// The query of the gateway's URL.
#[derive(Debug, Deserialize)]
pub(crate) struct Opening {
    v: Option<u8>,
    compress: Option<String>,
}

/// How a connection ends.
enum Ending {
    /// We close it.
    Close(CloseReason),
    /// The client closed it with this code, or is gone.
    Left(Option<u16>),
}

struct Connection {
    sim: Arc<Shared>,
    line: Registration,
    socket: actix_ws::Session,
    wire: Wire,
    /// Where this client finds us again.
    url: String,
    hold: Option<Hold>,
    heartbeat: Duration,
    heard_at: Instant,
    pace: Pace,
    muted_until: Option<Instant>,
    zombie_until: Option<Instant>,
    leave_at: Option<Instant>,
}

/// Handles the upgrade request at `/gateway`.
pub(crate) async fn open(
    request: HttpRequest,
    payload: web::Payload,
    opening: web::Query<Opening>,
    sim: web::Data<Shared>,
) -> Result<HttpResponse, actix_web::Error> {
    if sim.state().faults.refuses() {
        return Ok(line::refuse(&request));
    }
    let wire = Wire::new(opening.compress.as_deref())?;
    let (response, socket, frames) = actix_ws::handle(&request, payload)?;
    let frames = frames.max_frame_size(FRAME_MAX).aggregate_continuations();
    let line = sim.state().lines.register(line::socket_of(&request));
    let heartbeat = sim.state().entrance.heartbeat();
    let response = response.map_body({
        let cut = line.cut.clone();
        |_, body| actix_web::body::BoxBody::new(CutBody::new(body, cut))
    });
    let connection = Connection {
        url: crate::rest::gateway_url(&request),
        sim: sim.into_inner(),
        line,
        socket,
        wire,
        hold: None,
        heartbeat,
        heard_at: Instant::now(),
        pace: Pace::default(),
        muted_until: None,
        zombie_until: None,
        leave_at: None,
    };
    let tasks = connection.sim.tasks().clone();
    let is_supported = matches!(opening.v, None | Some(9 | 10));
    actix_web::rt::spawn(tasks.track_future(connection.run(frames, is_supported)));
    Ok(response)
}

impl Connection {
    async fn run(mut self, mut frames: AggregatedMessageStream, is_supported: bool) {
        let ending = match self.greet(is_supported).await {
            Ok(()) => self.serve(&mut frames).await,
            Err(ending) => ending,
        };
        self.settle(&ending);
        if let Ending::Close(CloseReason(code, text)) = ending {
            let reason = actix_ws::CloseReason {
                code: CloseCode::from(code),
                description: Some(text.to_owned()),
            };
            if self.socket.close(Some(reason)).await.is_err() {
                tracing::debug!(code, "the client left before it was told why");
            }
        }
        self.sim.state().lines.unregister(self.line.connection);
    }

    async fn greet(&mut self, is_supported: bool) -> Result<(), Ending> {
        if !is_supported {
            return Err(Ending::Close(CloseReason::INVALID_VERSION));
        }
        if self.sim.state().faults.withholds_hello() {
            return Ok(());
        }
        self.send(greeting::hello(self.heartbeat)).await
    }

    /// The loop. Ends with the reason why.
    async fn serve(&mut self, frames: &mut AggregatedMessageStream) -> Ending {
        let stop = self.sim.stopping().clone();
        loop {
            let deadline = self.deadline();
            let muted_until = self.muted_until;
            let wake = self.hold.as_ref().map(|hold| Arc::clone(&hold.wake));
            let outcome = tokio::select! {
                biased;
                () = stop.cancelled() => Err(Ending::Close(CloseReason(1_001, "Going away."))),
                () = self.line.cut.cancelled() => Err(Ending::Left(None)),
                order = self.line.orders.recv() => self.on_order(order).await,
                frame = frames.next() => self.on_frame(frame).await,
                () = until(Some(deadline)) => Err(Ending::Close(self.overdue())),
                () = until(muted_until), if muted_until.is_some() => {
                    self.muted_until = None;
                    self.forward().await
                }
                () = woken(wake), if muted_until.is_none() => self.forward().await,
            };
            if let Err(ending) = outcome {
                return ending;
            }
        }
    }

    fn deadline(&self) -> Instant {
        let silent = self.heard_at + self.heartbeat * SILENT_HALVES_MAX / 2;
        self.leave_at.map_or(silent, |leave| leave.min(silent))
    }

    fn overdue(&self) -> CloseReason {
        match self.leave_at {
            Some(_) => CloseReason::UNKNOWN,
            None => CloseReason::TIMED_OUT,
        }
    }

    async fn on_order(&mut self, order: Option<Order>) -> Result<(), Ending> {
        match order {
            None => Err(Ending::Left(None)),
            Some(Order::Close(code)) => Err(Ending::Close(CloseReason(code, ""))),
            Some(Order::Mute(until)) => {
                self.muted_until = Some(until.into());
                Ok(())
            }
            Some(Order::Zombie(until)) => {
                self.zombie_until = Some(until.into());
                Ok(())
            }
            Some(Order::Reconnect) => {
                self.leave_at = Some(Instant::now() + RECONNECT_GRACE);
                self.send(greeting::RECONNECT.to_owned()).await
            }
            Some(Order::InvalidSession { is_resumable }) => {
                if let Some(hold) = self.hold.take() {
                    let sessions = &mut self.sim.state().sessions;
                    if is_resumable {
                        sessions.detach(&hold.session_id, self.line.connection);
                    } else {
                        sessions.end(&hold.session_id, self.line.connection);
                    }
                }
                self.send(greeting::invalid_session(is_resumable)).await
            }
        }
    }

    async fn on_frame(
        &mut self,
        frame: Option<Result<AggregatedMessage, actix_ws::ProtocolError>>,
    ) -> Result<(), Ending> {
        match frame {
            Some(Ok(AggregatedMessage::Text(text))) => self.on_text(&text).await,
            Some(Ok(AggregatedMessage::Ping(payload))) => {
                let sent = self.socket.pong(&payload).await;
                sent.map_err(|_| Ending::Left(None))
            }
            Some(Ok(AggregatedMessage::Pong(_))) => Ok(()),
            Some(Ok(AggregatedMessage::Binary(_)) | Err(_)) => {
                Err(Ending::Close(CloseReason::DECODE))
            }
            Some(Ok(AggregatedMessage::Close(reason))) => {
                Err(Ending::Left(reason.map(|reason| reason.code.into())))
            }
            None => Err(Ending::Left(None)),
        }
    }

    async fn on_text(&mut self, text: &str) -> Result<(), Ending> {
        self.heard_at = Instant::now();
        self.sim.state().counters.commands += 1;
        self.pace.count().map_err(Ending::Close)?;
        let command = inbound::parse(text).map_err(Ending::Close)?;
        if self.hold.is_none() && !command.is_greeting() {
            return Err(Ending::Close(CloseReason::NOT_AUTHENTICATED));
        }
        match command {
            Command::Heartbeat => self.on_heartbeat().await,
            Command::Identify(subscription) => match self.enter(subscription) {
                Ok(()) => self.on_identify(subscription),
                Err(Unwelcome::TooSoon) => self.send(greeting::invalid_session(false)).await,
                Err(Unwelcome::TooFewShards) => Err(Ending::Close(CloseReason::SHARDING_REQUIRED)),
                Err(Unwelcome::NoneLeft) => Err(Ending::Close(CloseReason::AUTHENTICATION_FAILED)),
            },
            Command::Resume { session_id, seq } => self.on_resume(&session_id, seq).await,
            Command::RequestMembers(request) => {
                self.on_member_request(request).map_err(Ending::Close)
            }
            Command::Ignored => Ok(()),
        }
    }

    async fn on_heartbeat(&mut self) -> Result<(), Ending> {
        if self
            .zombie_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Ok(());
        }
        self.send(greeting::HEARTBEAT_ACK.to_owned()).await
    }

    fn enter(&self, subscription: Subscription) -> Result<(), Unwelcome> {
        let state = &mut *self.sim.state();
        state.counters.identifies += 1;
        state
            .entrance
            .enter(subscription, std::time::Instant::now())
    }

    /// Opens a session. READY and the guilds come from one moment of the world: what happens next comes after them.
    fn on_identify(&mut self, subscription: Subscription) -> Result<(), Ending> {
        if self.hold.is_some() {
            return Err(Ending::Close(CloseReason::ALREADY_AUTHENTICATED));
        }
        let state = &mut *self.sim.state();
        if !state.application.grants(subscription.intents) {
            return Err(Ending::Close(CloseReason::DISALLOWED_INTENTS));
        }
        let hold = state.sessions.open(subscription, self.line.connection);
        let resume_url = state.faults.resume_url(&self.url);
        let mut welcome = || -> Result<(), Refusal> {
            let ready = greeting::ready(
                &state.world,
                &state.application,
                &hold.session_id,
                &resume_url,
                subscription,
            )?;
            state.sessions.push(&hold.session_id, "READY", &ready);
            for guild_id in greeting::guilds_of(&state.world, subscription) {
                if !state.world.is_available(guild_id) {
                    continue;
                }
                let guild = state.world.guild_create(guild_id)?;
                if subscription.intents.contains(guild.intents) {
                    state
                        .sessions
                        .push(&hold.session_id, guild.name, &guild.body);
                }
            }
            Ok(())
        };
        if let Err(error) = welcome() {
            tracing::error!(%error, bot = %BOT_ID, "the world can't be told");
            return Err(Ending::Close(CloseReason::UNKNOWN));
        }
        let connection = self.line.connection;
        state.lines.on_session(connection, subscription.shard);
        self.hold = Some(hold);
        Ok(())
    }

    async fn on_resume(&mut self, session_id: &str, seq: u64) -> Result<(), Ending> {
        if self.hold.is_some() {
            return Err(Ending::Close(CloseReason::ALREADY_AUTHENTICATED));
        }
        self.hold = {
            let state = &mut *self.sim.state();
            state.counters.resumes += 1;
            let connection = self.line.connection;
            if let Some(of) = state.sessions.subscription(session_id) {
                state.lines.on_session(connection, of.shard);
            }
            state.sessions.resume(session_id, seq, connection)
        };
        match self.hold {
            Some(_) => Ok(()),
            None => self.send(greeting::invalid_session(false)).await,
        }
    }

    fn on_member_request(&mut self, request: MemberRequest) -> Result<(), CloseReason> {
        let Some(hold) = &self.hold else {
            return Ok(());
        };
        let state = &mut *self.sim.state();
        state.counters.members.on_request(&request);
        let Some(subscription) = state.sessions.subscription(&hold.session_id) else {
            return Ok(());
        };
        let lists = &mut state.whole_lists;
        let told = members::answer(&state.world, lists, request, subscription)?;
        for (name, body) in told {
            state.sessions.push(&hold.session_id, name, &body);
        }
        Ok(())
    }

    /// Sends the next dispatches of the session, a batch at a time.
    async fn forward(&mut self) -> Result<(), Ending> {
        let Some(hold) = &mut self.hold else {
            return Ok(());
        };
        let taken = self.sim.state().sessions.take(hold, self.line.connection);
        let batch = taken.ok_or(Ending::Close(CloseReason::UNKNOWN))?;
        if batch.is_empty() {
            return Ok(());
        }
        for dispatch in &batch {
            self.wire
                .send(&mut self.socket, dispatch.to_frame())
                .await
                .map_err(|_| Ending::Left(None))?;
            hold.advance(dispatch);
        }
        // There may be more; the loop looks after heartbeats and orders first.
        hold.wake.notify_one();
        Ok(())
    }

    async fn send(&mut self, frame: String) -> Result<(), Ending> {
        self.wire
            .send(&mut self.socket, frame)
            .await
            .map_err(|_| Ending::Left(None))
    }

    /// What the end of the connection means for its session: 1000 and 1001 from the client end it, all else leaves it.
    fn settle(&mut self, ending: &Ending) {
        let Some(hold) = self.hold.take() else {
            return;
        };
        let sessions = &mut self.sim.state().sessions;
        match ending {
            Ending::Left(Some(1_000 | 1_001)) | Ending::Close(CloseReason::TIMED_OUT) => {
                sessions.end(&hold.session_id, self.line.connection);
            }
            Ending::Left(_) | Ending::Close(_) => {
                sessions.detach(&hold.session_id, self.line.connection);
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

async fn woken(wake: Option<Arc<tokio::sync::Notify>>) {
    match wake {
        Some(wake) => wake.notified().await,
        None => pending().await,
    }
}
