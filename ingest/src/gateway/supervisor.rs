//! Brings the shard back whatever ends it: resumed where possible, anew where not, and never in a storm.
//!
//! Each connection runs in a task of its own, so that a panic of the vendor's code ends that connection
//! alone. What Discord forbids for good (a wrong token, a wrong intent) ends the service with a sentence.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use runtime::{Check, Health};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use twilight_gateway::queue::InMemoryQueue;
use twilight_gateway::{ConfigBuilder, Intents, Session as Resumable, Shard, ShardId};

use super::commands::Commands;
use super::session::Session;
use super::shard::{self, End, Line};
use crate::application::{self, Granted};
use crate::backoff::Backoff;
use crate::frame::Buffer;
use crate::outcome::Outcomes;
use crate::rest::{Rest, RestError};
use crate::roster::Roster;
use crate::settings::IngestSettings;
use crate::status::Status;

/// The wait after a connection that had been good: Discord moves its connections all the time.
const QUICK: Duration = Duration::from_millis(200);
/// The first wait and the longest after connections that came to nothing (discord.md §2).
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// A connection that held so long was good.
const GOOD: Duration = Duration::from_secs(10);
/// How long to wait before the budget of IDENTIFYs is read again, once it is used up.
const BUDGET_WAIT_MAX: Duration = Duration::from_mins(10);
/// Below this budget a warning is due: going over it makes Discord reset the token.
const BUDGET_LOW: u32 = 50;

/// So often in a row an answer about the intents may be odd; then all are asked for.
const ODD_ANSWERS_MAX: u32 = 3;

/// What Discord will not have back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{sentence} (close code {code})")]
pub struct Fatal {
    /// The close code, or 4004 where the API refused the token.
    pub code: u16,
    sentence: &'static str,
}

impl Fatal {
    fn of(code: u16) -> Self {
        let sentence = match code {
            4004 => "Discord refuses the bot token: check DISCORD_BOT_TOKEN",
            4010 => "Discord refuses the shard's number",
            4011 => "the bot is in too many guilds for one shard",
            4012 => "Discord no longer speaks this version of the gateway",
            4013 => "Discord does not know the intents",
            4014 => "the bot may not use an intent: enable it in Discord's developer portal",
            _ => "Discord closed the gateway for good",
        };
        Self { code, sentence }
    }
}

/// How IDENTIFY is to be done.
#[derive(Debug, Clone)]
struct Plan {
    url: String,
    intents: Intents,
}

/// `GET /gateway/bot`.
#[derive(Debug, Deserialize)]
struct GatewayBot {
    url: String,
    #[serde(default)]
    session_start_limit: Option<StartLimit>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct StartLimit {
    total: u32,
    remaining: u32,
    /// Milliseconds.
    reset_after: u64,
    max_concurrency: u16,
}

/// Why no connection could be dialled.
enum NoPlan {
    Fatal(Fatal),
    Later(Duration),
}

/// Keeps one shard connected.
#[derive(Debug)]
pub(crate) struct Supervisor {
    token: SecretString,
    gateway_url: Option<String>,
    shard: ShardId,
    rest: Rest,
    health: Health,
    line: Line,
    queue: Option<InMemoryQueue>,
    backoff: Backoff,
    was_good: bool,
    must_drain: bool,
    odd_answers: u32,
}

/// What a supervisor is given.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) rest: Rest,
    pub(crate) buffer: Buffer,
    pub(crate) outcomes: Outcomes,
    pub(crate) status: Status,
    pub(crate) roster: Roster,
    pub(crate) health: Health,
    pub(crate) commands: Commands,
    pub(crate) sessions: watch::Sender<Option<Session>>,
}

impl Supervisor {
    /// A supervisor of shard 0 of 1, which resumes the session that `parts.sessions` holds.
    pub(crate) fn new(settings: &IngestSettings, parts: Parts) -> Self {
        let session = parts.sessions.borrow().clone();
        let is_told = |session: &Session| session.is_told_of_members;
        parts
            .roster
            .on_intents(session.as_ref().is_some_and(is_told));
        let line = Line {
            number: ShardId::ONE.number(),
            buffer: parts.buffer,
            outcomes: parts.outcomes,
            status: parts.status,
            roster: parts.roster,
            health: parts.health.clone(),
            commands: parts.commands,
            is_told_of_members: false,
            session: Arc::new(Mutex::new(session)),
            sessions: parts.sessions,
        };
        Self {
            token: settings.token.clone(),
            gateway_url: settings.gateway_url.clone(),
            shard: ShardId::ONE,
            rest: parts.rest,
            health: parts.health,
            line,
            queue: None,
            backoff: Backoff::new(PATIENCE.0, PATIENCE.1),
            was_good: true,
            must_drain: false,
            odd_answers: 0,
        }
    }

    /// Keeps the shard connected until told to stop.
    ///
    /// # Errors
    /// Discord will not have us back.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), Fatal> {
        self.health.set("discord", Check::Down);
        loop {
            let dialled = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                dialled = self.dial() => dialled,
            };
            let wait = match dialled {
                Ok(shard) => self.connect(shard, &stop).await?,
                Err(NoPlan::Fatal(fatal)) => return Err(fatal),
                Err(NoPlan::Later(wait)) => Some(wait),
            };
            let Some(wait) = wait else {
                return Ok(());
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(wait) => {}
            }
        }
    }

    /// Builds the shard for the next connection: a RESUME needs nothing but the session, an IDENTIFY a plan.
    async fn dial(&mut self) -> Result<Shard, NoPlan> {
        if self.must_drain {
            self.line.buffer.drained().await;
            self.must_drain = false;
        }
        let session = self.line.session.lock().clone();
        let resume_url = session
            .as_ref()
            .and_then(|session| session.resume_url.clone());
        let resume_url = resume_url.filter(|url| is_gateway_url(url));
        let plan = match &resume_url {
            // Used for the RESUME alone: if Discord refuses it, this connection ends.
            Some(url) => Plan {
                url: url.clone(),
                intents: Intents::GUILDS,
            },
            None => self.plan(session.is_some()).await?,
        };
        let queue = self.queue.get_or_insert_default().clone();
        let token = self.token.expose_secret().to_owned();
        let url = plan.url.trim_end_matches('/').to_owned();
        let mut config = ConfigBuilder::new(token, plan.intents)
            .proxy_url(url)
            .queue(queue);
        if let Some(session) = session {
            config = config.session(Resumable::new(session.sequence, session.id));
        }
        if let Some(url) = resume_url {
            config = config.resume_url(url.trim_end_matches('/').to_owned());
        }
        Ok(Shard::with_config(self.shard, config.build()))
    }

    /// Asks Discord where to connect, how often, and with which intents.
    async fn plan(&mut self, is_resume: bool) -> Result<Plan, NoPlan> {
        let bot = match self.rest.get::<GatewayBot>("/gateway/bot").await {
            Ok(bot) => Some(bot),
            Err(error) if self.gateway_url.is_some() => {
                tracing::warn!(%error, "Discord's API does not say how often the bot may IDENTIFY");
                None
            }
            Err(error) => return Err(self.no_plan(&error)),
        };
        let limit = bot.as_ref().and_then(|bot| bot.session_start_limit);
        if let Some(limit) = limit.filter(|_| !is_resume) {
            self.on_budget(limit)?;
        }
        let asked = bot.map(|bot| bot.url);
        let url = self
            .gateway_url
            .clone()
            .or(asked)
            .filter(|url| is_gateway_url(url));
        let Some(url) = url else {
            tracing::error!("the gateway's address is no ws:// or wss:// address");
            return Err(NoPlan::Later(self.backoff.next()));
        };
        let intents = self.intents().await?;
        self.line.is_told_of_members = intents.contains(Intents::GUILD_MEMBERS);
        Ok(Plan { url, intents })
    }

    fn no_plan(&mut self, error: &RestError) -> NoPlan {
        if matches!(error, RestError::Unauthorized) {
            return NoPlan::Fatal(Fatal::of(4004));
        }
        let wait = match error {
            RestError::Limited(wait) | RestError::Spent(wait) => (*wait).min(BUDGET_WAIT_MAX),
            _ => self.backoff.next(),
        };
        tracing::warn!(%error, ?wait, "Discord's API does not say how to connect");
        NoPlan::Later(wait)
    }

    /// One queue for all IDENTIFYs of this process, kept at what Discord says.
    fn on_budget(&mut self, limit: StartLimit) -> Result<(), NoPlan> {
        let reset = Duration::from_millis(limit.reset_after);
        if limit.remaining == 0 {
            tracing::error!(?reset, "the day's IDENTIFYs are used up; waiting");
            return Err(NoPlan::Later(reset.clamp(PATIENCE.0, BUDGET_WAIT_MAX)));
        }
        if limit.remaining < BUDGET_LOW && limit.remaining < limit.total {
            tracing::warn!(
                remaining = limit.remaining,
                "few IDENTIFYs are left for today"
            );
        }
        let concurrency = limit.max_concurrency.max(1);
        // The vendor's queue panics over more left than there are.
        let total = limit.total.max(limit.remaining);
        if let Some(queue) = &self.queue {
            queue.update(concurrency, limit.remaining, reset, total);
        } else {
            let queue = InMemoryQueue::new(concurrency, limit.remaining, reset, total);
            self.queue = Some(queue);
        }
        Ok(())
    }

    /// The intents that the application may use: one that it may not is a fatal close (4014). Without an
    /// answer there is no IDENTIFY: a session without the content would lose it in silence.
    async fn intents(&mut self) -> Result<Intents, NoPlan> {
        let granted = match application::granted(&self.rest).await {
            Ok(granted) => granted,
            Err(error @ (RestError::Unfitting | RestError::Malformed(_))) => {
                self.odd_answers += 1;
                if self.odd_answers < ODD_ANSWERS_MAX {
                    return Err(self.no_plan(&error));
                }
                tracing::warn!(
                    "Discord's API does not say which intents the bot may use; all are asked for"
                );
                Granted::ALL
            }
            Err(error) => return Err(self.no_plan(&error)),
        };
        self.odd_answers = 0;
        self.line.status.on_granted(granted);
        Ok(intents_of(granted))
    }

    /// Holds one connection. Returns how long to wait before the next, or nothing if there is to be none.
    async fn connect(
        &mut self,
        shard: Shard,
        stop: &CancellationToken,
    ) -> Result<Option<Duration>, Fatal> {
        let begun = Instant::now();
        let task = shard::run(self.line.clone(), shard, stop.child_token());
        let ended = AbortOnDropHandle::new(tokio::spawn(task)).await;
        self.line.commands.close();
        let was_live = self.line.status.on_disconnected();
        self.health.set("discord", Check::Down);
        let end = ended.unwrap_or_else(|error| {
            tracing::error!(panicked = error.is_panic(), "the shard's task crashed");
            self.forget_resume_url();
            End::Lost("crashed")
        });
        match end {
            End::Stopped => return Ok(None),
            End::Fatal(code) => return Err(Fatal::of(code)),
            End::SessionGone => {
                tracing::warn!("the session is gone: what was missed meanwhile is not replayed");
                *self.line.session.lock() = None;
            }
            End::Unreachable => self.forget_resume_url(),
            End::Lost(why) => {
                tracing::info!(why, "the gateway's connection ended");
                // An address that takes connections and never resumes is as dead as one that takes none.
                if !was_live {
                    self.forget_resume_url();
                }
            }
            End::Full => self.must_drain = true,
        }
        let wait = match end {
            // What must pass first is the drain of the buffer; the connection was good.
            End::Full => quick(),
            _ => self.wait_after(was_live, begun.elapsed()),
        };
        tracing::info!(?end, ?wait, "the gateway is dialled again");
        Ok(Some(wait))
    }

    /// Once quickly after a connection that was live, then patiently until one holds.
    fn wait_after(&mut self, was_live: bool, held: Duration) -> Duration {
        if was_live && (self.was_good || held >= GOOD) {
            self.was_good = held >= GOOD;
            self.backoff.reset();
            return quick();
        }
        self.backoff.next()
    }

    /// The next connection goes where a new session would go, in the next process too.
    fn forget_resume_url(&self) {
        if let Some(session) = self.line.session.lock().as_mut() {
            session.resume_url = None;
        }
        self.line.sessions.send_if_modified(|session| {
            let url = session.as_mut().map(|session| &mut session.resume_url);
            url.is_some_and(|url| url.take().is_some())
        });
    }
}

fn intents_of(granted: Granted) -> Intents {
    let mut intents = Intents::GUILDS
        | Intents::GUILD_MESSAGES
        | Intents::GUILD_MESSAGE_REACTIONS
        | Intents::GUILD_MESSAGE_TYPING;
    if granted.members {
        intents |= Intents::GUILD_MEMBERS;
    }
    if granted.content {
        intents |= Intents::MESSAGE_CONTENT;
    } else {
        tracing::error!(
            "the message content intent is off: messages of others come without text; enable it in Discord's \
             developer portal"
        );
    }
    intents
}

fn quick() -> Duration {
    QUICK.mul_f64(rand::random_range(0.5..1.5))
}

/// Discord's address, or nothing that the vendor's code could dial.
fn is_gateway_url(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "ws" | "wss") && url.has_host())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::timeout;
    use tokio_tungstenite::accept_async;
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;

    use super::*;
    use crate::rest::tests::answering;

    const SOON: Duration = Duration::from_secs(10);

    fn supervisor(rest: Rest, session: Option<Session>) -> Supervisor {
        let mut settings = runtime::Settings::default();
        settings.set("DISCORD_BOT_TOKEN", "t0ken");
        let settings = IngestSettings::from(&settings).unwrap();
        let parts = Parts {
            rest,
            buffer: Buffer::new(1 << 20, watch::Sender::new(0)).0,
            outcomes: Outcomes::default(),
            status: Status::default(),
            roster: Roster::default(),
            health: Health::new(),
            commands: Commands::default(),
            sessions: watch::Sender::new(session),
        };
        Supervisor::new(&settings, parts)
    }

    #[tokio::test]
    async fn an_odd_answer_about_the_intents_is_asked_again_but_not_for_ever() {
        let table = [
            (
                200,
                r#"{"flags":0}"#,
                [Some(false), Some(false), Some(false)],
            ),
            (
                200,
                r#"{"flags":524288}"#,
                [Some(true), Some(true), Some(true)],
            ),
            (404, "", [Some(true), Some(true), Some(true)]),
            (200, "{}", [None, None, Some(true)]),
            (200, "<html>", [None, None, Some(true)]),
            (400, "{}", [None, None, None]),
            (403, "{}", [None, None, None]),
        ];
        for (status, body, expected) in table {
            let mut supervisor = supervisor(answering(status, body).await, None);
            for has_content in expected {
                let intents = match supervisor.intents().await {
                    Ok(intents) => Some(intents.contains(Intents::MESSAGE_CONTENT)),
                    Err(NoPlan::Later(_)) => None,
                    Err(NoPlan::Fatal(fatal)) => panic!("{status} {body}: {fatal}"),
                };
                assert_eq!(intents, has_content, "{status} {body}");
                let said = &supervisor.line.status.json()["discord"]["intents"];
                assert_eq!(said["messageContent"].as_bool(), has_content);
            }
        }
    }

    #[tokio::test]
    async fn a_budget_with_more_left_than_there_is_is_no_reason_to_crash() {
        let mut supervisor = supervisor(answering(200, "{}").await, None);
        let limit = |total, remaining| StartLimit {
            total,
            remaining,
            reset_after: 1_000,
            max_concurrency: 0,
        };
        for (total, remaining, is_left) in [(1, 1_000, true), (0, 5, true), (1_000, 0, false)] {
            assert_eq!(
                supervisor.on_budget(limit(total, remaining)).is_ok(),
                is_left
            );
        }
    }

    #[tokio::test]
    async fn a_resume_address_that_never_becomes_live_is_forgotten_in_the_record_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("ws://{}", listener.local_addr().unwrap());
        let closing = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut socket = accept_async(stream).await.unwrap();
                let frame = CloseFrame {
                    code: 4000.into(),
                    reason: "".into(),
                };
                socket.close(Some(frame)).await.unwrap();
            }
        });
        let session = Session {
            id: "s".into(),
            epoch: 1,
            resume_url: Some(address),
            sequence: 5,
            is_told_of_members: false,
        };
        let supervisor = supervisor(answering(503, "").await, Some(session));
        let mut sessions = supervisor.line.sessions.subscribe();
        let stop = CancellationToken::new();
        let running = tokio::spawn(supervisor.run(stop.clone()));
        let is_forgotten = |session: &Option<Session>| {
            let session = session.as_ref().expect("the session itself stays");
            session.resume_url.is_none()
        };
        let forgotten = sessions.wait_for(is_forgotten);
        timeout(SOON, forgotten).await.unwrap().unwrap();
        stop.cancel();
        timeout(SOON, running).await.unwrap().unwrap().unwrap();
        closing.abort();
    }

    #[test]
    fn only_addresses_that_can_be_dialled_are() {
        for good in ["ws://127.0.0.1:4000/gateway", "wss://gateway.discord.gg/"] {
            assert!(is_gateway_url(good), "{good}");
        }
        for bad in ["", "gateway", "http://x", "ws://", "wss:///x y"] {
            assert!(!is_gateway_url(bad), "{bad}");
        }
    }

    #[test]
    fn every_fatal_close_has_its_sentence() {
        for code in [4004, 4010, 4011, 4012, 4013, 4014] {
            let text = Fatal::of(code).to_string();
            assert!(
                text.contains(&code.to_string()) && !text.contains("for good"),
                "{text}"
            );
        }
    }
}
