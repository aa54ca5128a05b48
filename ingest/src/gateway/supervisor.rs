//! Brings a shard back whatever ends it: resumed where possible, anew where not, and never in a storm.
//!
//! Each connection runs in a task of its own, so that a panic of the vendor's code ends that connection
//! alone. What Discord forbids for good (a wrong token, a wrong intent) ends the service with a sentence.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use twilight_gateway::{ConfigBuilder, Intents, Session as Resumable, Shard, ShardId as Number};

use super::budget::{Budget, Permit};
use super::fatal::Fatal;
use super::fleet::Parts;
use super::intents::IntentsDesk;
use super::session::Sessions;
use super::shard::{self, End, Line};
use super::silence::Silence;
use crate::backoff::Backoff;
use crate::rest::RestError;
use crate::settings::IngestSettings;
use crate::shard::ShardId;

/// The wait after a connection that had been good: Discord moves its connections all the time.
const QUICK: Duration = Duration::from_millis(200);
/// The first wait and the longest after connections that came to nothing (discord.md §2).
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// A connection that held so long was good.
const GOOD: Duration = Duration::from_secs(10);
/// From one IDENTIFY of a shard to its next, at the least: first, and after many sessions that did not last.
/// So one shard takes less than two hundred a day, whatever happens to it.
const IDENTIFY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(15));
/// A session that lasted so long was good.
const SESSION_GOOD: Duration = Duration::from_mins(10);
/// How long to wait at the most where the API names a time.
const WAIT_MAX: Duration = Duration::from_mins(10);

/// How a supervisor ends.
#[derive(Debug)]
pub(super) enum Leave {
    /// It was told to.
    Stopped,
    /// Discord will not have us back.
    Fatal(Fatal),
    /// A session must begin anew, and so must all others, as so many shards.
    Anew(u32),
}

impl Leave {
    /// This, unless it says no more than that it was told to.
    pub(super) fn or(self, other: Self) -> Self {
        match self {
            Self::Stopped => other,
            first => first,
        }
    }
}

/// The next connection.
struct Dialled {
    shard: Shard,
    /// For an IDENTIFY.
    permit: Option<Permit>,
}

/// Why no connection could be dialled.
enum NoDial {
    Leave(Leave),
    Later(Duration),
}

/// Keeps one shard connected.
#[derive(Debug)]
pub(super) struct Supervisor {
    token: SecretString,
    intents: IntentsDesk,
    budget: Budget,
    line: Line,
    backoff: Backoff,
    was_good: bool,
    must_drain: bool,
    identifying: Backoff,
    /// The last IDENTIFY, and when the next may come if its session does not last.
    identified: Option<(Instant, Instant)>,
}

impl Supervisor {
    /// A supervisor of this shard, which resumes its session in `parts.sessions`.
    pub(super) fn new(
        shard: ShardId,
        settings: &IngestSettings,
        parts: &Parts,
        budget: &Budget,
    ) -> Self {
        let session = parts.sessions.borrow().get(&shard.number).cloned();
        let is_told = session
            .as_ref()
            .is_some_and(|session| session.is_told_of_members);
        parts.roster.on_intents(shard, is_told);
        let line = Line {
            shard,
            buffer: parts.buffer.of(shard),
            outcomes: parts.outcomes.clone(),
            status: parts.status.clone(),
            roster: parts.roster.clone(),
            commands: parts.commands.clone(),
            is_told_of_members: false,
            has_identified: Arc::default(),
            session: Arc::new(Mutex::new(session)),
            sessions: parts.sessions.clone(),
            silence: Arc::new(Mutex::new(Silence::new(Instant::now()))),
        };
        Self {
            token: settings.token.clone(),
            intents: IntentsDesk::new(parts.rest.clone(), parts.status.clone()),
            budget: budget.clone(),
            line,
            backoff: Backoff::new(PATIENCE.0, PATIENCE.1),
            was_good: true,
            must_drain: false,
            identifying: Backoff::new(IDENTIFY.0, IDENTIFY.1),
            identified: None,
        }
    }

    /// Keeps the shard connected until told to stop, or until that can't be.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Leave {
        loop {
            let dialled = tokio::select! {
                biased;
                () = stop.cancelled() => return Leave::Stopped,
                dialled = self.dial() => dialled,
            };
            let ended = match dialled {
                Ok(dialled) => self.connect(dialled, &stop).await,
                Err(no) => Err(no),
            };
            let wait = match ended {
                Ok(wait) | Err(NoDial::Later(wait)) => wait,
                Err(NoDial::Leave(leave)) => return leave,
            };
            tokio::select! {
                () = stop.cancelled() => return Leave::Stopped,
                () = sleep(wait) => {}
            }
        }
    }

    /// Builds the shard for the next connection: a RESUME needs nothing but the session, an IDENTIFY a permit.
    async fn dial(&mut self) -> Result<Dialled, NoDial> {
        if self.must_drain {
            self.line.buffer.drained().await;
            self.must_drain = false;
        }
        let session = self.line.session.lock().clone();
        let Some(session) = session else {
            return self.identify().await;
        };
        let known = session.resume_url.filter(|url| is_gateway_url(url));
        let url = match known.clone() {
            Some(url) => url,
            None => self.dialable(self.budget.url().await)?,
        };
        // Used for the RESUME alone: if Discord refuses it, this connection ends.
        let mut config = self.config(&url, Intents::GUILDS);
        config = config.session(Resumable::new(session.sequence, session.id));
        if let Some(url) = known {
            config = config.resume_url(url.trim_end_matches('/').to_owned());
        }
        Ok(Dialled {
            shard: self.shard(config),
            permit: None,
        })
    }

    /// Asks Discord where to connect, how often and as how many, and with which intents.
    async fn identify(&mut self) -> Result<Dialled, NoDial> {
        if let Some((at, next)) = self.identified
            && at.elapsed() < SESSION_GOOD
        {
            sleep_until(next).await;
        }
        let advice = match self.budget.advice().await {
            Ok(advice) => advice,
            Err(error) => return Err(self.no_dial(&error)),
        };
        let count = self.line.shard.count;
        if let Some(shards) = advice.shards.filter(|shards| *shards != count)
            && self.budget.has(&advice, shards)
        {
            return Err(NoDial::Leave(Leave::Anew(shards)));
        }
        let url = self.dialable(Ok(advice.url.clone()))?;
        let intents = match self.intents.ask().await {
            Ok(intents) => intents,
            Err(error) => return Err(self.no_dial(&error)),
        };
        let permit = self.budget.take(&advice, count).map_err(NoDial::Later)?;
        self.line.is_told_of_members = intents.contains(Intents::GUILD_MEMBERS);
        Ok(Dialled {
            shard: self.shard(self.config(&url, intents)),
            permit: Some(permit),
        })
    }

    /// An IDENTIFY went out at `at`: the next one of this shard is due later, the more so the more often that happens.
    fn on_identified(&mut self, at: Instant) {
        // The wait before it was no session.
        let is_good = |(_, due): (Instant, Instant)| at.duration_since(due) >= SESSION_GOOD;
        if self.identified.is_some_and(is_good) {
            self.identifying.reset();
        }
        self.identified = Some((at, at + self.identifying.next()));
    }

    fn config(&self, url: &str, intents: Intents) -> ConfigBuilder {
        let token = self.token.expose_secret().to_owned();
        ConfigBuilder::new(token, intents)
            .proxy_url(url.trim_end_matches('/').to_owned())
            .queue(self.budget.queue())
    }

    fn shard(&self, config: ConfigBuilder) -> Shard {
        let ShardId { number, count } = self.line.shard;
        Shard::with_config(Number::new(number, count), config.build())
    }

    fn dialable(&mut self, asked: Result<String, RestError>) -> Result<String, NoDial> {
        match asked {
            Ok(url) if is_gateway_url(&url) => Ok(url),
            Ok(_) => {
                tracing::error!("the gateway's address is no ws:// or wss:// address");
                Err(NoDial::Later(self.backoff.next()))
            }
            Err(error) => Err(self.no_dial(&error)),
        }
    }

    fn no_dial(&mut self, error: &RestError) -> NoDial {
        if matches!(error, RestError::Unauthorized) {
            return NoDial::Leave(Leave::Fatal(Fatal::of(4004)));
        }
        let wait = match error {
            RestError::Limited(wait) | RestError::Spent(wait) => (*wait).min(WAIT_MAX),
            _ => self.backoff.next(),
        };
        tracing::warn!(%error, ?wait, "Discord's API does not say how to connect");
        NoDial::Later(wait)
    }

    /// Holds one connection. Returns how long to wait before the next.
    async fn connect(
        &mut self,
        dialled: Dialled,
        stop: &CancellationToken,
    ) -> Result<Duration, NoDial> {
        let begun = Instant::now();
        let is_resume = dialled.permit.is_none();
        let line = self.line.clone();
        let task = shard::run(line, dialled.shard, dialled.permit, stop.child_token());
        let ended = AbortOnDropHandle::new(tokio::spawn(task)).await;
        // A gateway that takes no connection has seen none.
        if self.line.has_identified.swap(false, Ordering::Relaxed) {
            self.on_identified(begun);
        }
        let shard = self.line.shard;
        self.line.commands.close(shard);
        let was_live = self.line.status.on_disconnected(shard);
        let number = shard.number;
        let end = ended.unwrap_or_else(|error| {
            let panicked = error.is_panic();
            tracing::error!(shard = number, panicked, "the shard's task crashed");
            self.forget_resume_url();
            End::Lost("crashed")
        });
        match end {
            End::Stopped => return Err(NoDial::Leave(Leave::Stopped)),
            End::Fatal(code) => return self.on_fatal(code).await,
            End::SessionGone => {
                tracing::warn!(
                    shard = number,
                    "the session is gone: what was missed meanwhile is not replayed"
                );
                *self.line.session.lock() = None;
                if is_resume && !was_live {
                    self.line.silence.lock().on_refused();
                }
            }
            End::Unreachable => self.forget_resume_url(),
            End::Lost(why) => {
                tracing::info!(shard = number, why, "the gateway's connection ended");
                // An address that takes connections and never resumes is as dead as one that takes none.
                if !was_live {
                    self.forget_resume_url();
                }
            }
            End::Full => self.must_drain = true,
            End::Silent => {}
        }
        let wait = match end {
            // What must pass first is the drain of the buffer; the connection was good.
            End::Full => quick(),
            _ => self.wait_after(was_live, begun.elapsed()),
        };
        tracing::info!(shard = number, ?end, ?wait, "the gateway is dialled again");
        Ok(wait)
    }

    /// A close for good, unless Discord has come to want more shards.
    async fn on_fatal(&mut self, code: u16) -> Result<Duration, NoDial> {
        const SHARDING_REQUIRED: u16 = 4011;
        if code != SHARDING_REQUIRED {
            return Err(NoDial::Leave(Leave::Fatal(Fatal::of(code))));
        }
        let leave = match self.budget.fresh_advice().await {
            Ok(advice) => {
                let more = advice
                    .shards
                    .filter(|shards| *shards > self.line.shard.count);
                more.map_or(Leave::Fatal(Fatal::of(code)), Leave::Anew)
            }
            Err(error) => return Err(self.no_dial(&error)),
        };
        Err(NoDial::Leave(leave))
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
        let number = self.line.shard.number;
        self.line
            .sessions
            .send_if_modified(|sessions: &mut Sessions| {
                let session = sessions.get_mut(&number);
                session.is_some_and(|session| session.resume_url.take().is_some())
            });
    }
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
    use futures_util::SinkExt as _;
    use runtime::Health;
    use tokio::net::TcpListener;
    use tokio::sync::watch;
    use tokio::time::timeout;
    use tokio_tungstenite::accept_async;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;

    use super::*;
    use crate::buffer::Buffer;
    use crate::gateway::Commands;
    use crate::gateway::budget::Advice;
    use crate::gateway::session::Session;
    use crate::outcome::Outcomes;
    use crate::rest::Rest;
    use crate::rest::tests::answering;
    use crate::roster::Roster;
    use crate::status::Status;

    const SOON: Duration = Duration::from_secs(10);

    struct Bench {
        supervisor: Supervisor,
        parts: Parts,
    }

    fn bench(rest: Rest, session: Option<Session>) -> Bench {
        let mut settings = runtime::Settings::default();
        settings.set("DISCORD_BOT_TOKEN", "t0ken");
        let settings = IngestSettings::from(&settings).unwrap();
        let sessions = session.map(|session| (session.shard.number, session));
        let parts = Parts {
            rest,
            buffer: Buffer::new(1 << 20, watch::Sender::new(0)).0,
            outcomes: Outcomes::default(),
            status: Status::default(),
            roster: Roster::default(),
            health: Health::new(),
            commands: Commands::default(),
            sessions: watch::Sender::new(sessions.into_iter().collect()),
        };
        let (rest, status) = (parts.rest.clone(), parts.status.clone());
        let budget = Budget::new(rest, None, status, parts.health.clone());
        Bench {
            supervisor: Supervisor::new(ShardId::ONE, &settings, &parts, &budget),
            parts,
        }
    }

    fn session(resume_url: String) -> Session {
        Session {
            shard: ShardId::ONE,
            id: "s".into(),
            epoch: 1,
            resume_url: Some(resume_url),
            sequence: 5,
            is_told_of_members: false,
        }
    }

    /// Runs it until the session's address is forgotten where it is recorded.
    async fn until_forgotten(Bench { supervisor, parts }: Bench) {
        let mut sessions = parts.sessions.subscribe();
        let stop = CancellationToken::new();
        let running = tokio::spawn(supervisor.run(stop.clone()));
        let is_forgotten = |sessions: &Sessions| {
            let session = sessions.get(&0).expect("the session itself stays");
            session.resume_url.is_none()
        };
        let forgotten = sessions.wait_for(is_forgotten);
        timeout(SOON, forgotten).await.unwrap().unwrap();
        stop.cancel();
        let left = timeout(SOON, running).await.unwrap().unwrap();
        assert!(matches!(left, Leave::Stopped), "{left:?}");
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
        until_forgotten(bench(answering(503, "").await, Some(session(address)))).await;
        closing.abort();
    }

    /// The vendor's code panics over an address with a blank.
    #[tokio::test]
    async fn a_panic_ends_its_connection_alone() {
        let address = "ws://127.0.0.1:1/a b".to_owned();
        assert!(is_gateway_url(&address));
        until_forgotten(bench(answering(503, "").await, Some(session(address)))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_that_do_not_last_come_further_and_further_apart() {
        let mut supervisor = bench(answering(503, "").await, None).supervisor;
        let gap = |supervisor: &mut Supervisor| {
            supervisor.on_identified(Instant::now());
            let (at, next) = supervisor.identified.unwrap();
            next - at
        };
        let begun = Instant::now();
        let mut gaps = Vec::new();
        // Each is gone at once, for a whole day.
        while begun.elapsed() < Duration::from_hours(24) {
            gaps.push(gap(&mut supervisor));
            tokio::time::advance(gaps[gaps.len() - 1]).await;
        }
        assert!(
            gaps[0] <= IDENTIFY.0 && gaps[13] >= IDENTIFY.1 / 2,
            "{gaps:?}"
        );
        assert!(gaps.len() < 200, "{}", gaps.len());
        tokio::time::advance(SESSION_GOOD).await;
        assert!(gap(&mut supervisor) <= IDENTIFY.0, "the last one held");
    }

    #[tokio::test]
    async fn a_gateway_that_takes_no_connection_costs_no_identify() {
        let hello = r#"{"op":10,"d":{"heartbeat_interval":41250}}"#;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("ws://{}", listener.local_addr().unwrap());
        let greeting = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            socket.send(Message::text(hello)).await.unwrap();
            socket.close(None).await.unwrap();
        });
        let mut supervisor = bench(answering(503, "").await, None).supervisor;
        let dead = "ws://127.0.0.1:1".to_owned();
        for (url, has_identified) in [(dead, false), (address, true)] {
            let advice = Advice {
                url: url.clone(),
                shards: None,
                limit: None,
            };
            let dialled = Dialled {
                shard: supervisor.shard(supervisor.config(&url, Intents::GUILDS)),
                permit: Some(supervisor.budget.take(&advice, 1).unwrap()),
            };
            let stop = CancellationToken::new();
            let connected = supervisor.connect(dialled, &stop);
            let wait = timeout(SOON, connected).await.unwrap();
            assert!(wait.is_ok(), "it is to be dialled again");
            assert_eq!(supervisor.identified.is_some(), has_identified, "{url}");
        }
        greeting.await.unwrap();
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
}
