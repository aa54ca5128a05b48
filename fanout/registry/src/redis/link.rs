//! The way to Redis: one connection that all calls share, one patience for each, and a breaker.
//!
//! The first call that fails marks Redis as away; while it is away calls fail at once, and only a probe tries,
//! about four times a second and never all instances at the same moment. The probe writes, because a Redis that
//! loads its data, is full or is a replica answers reads. It also makes the connection, on the runtime that opened
//! the link: a socket loop that is busy does not delay the calls of others. Calls are pipelined: a connection for
//! each call in turn, checked before its use, took ten times as long under a crowd.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Script};
use deadpool_redis::{Manager, Pool, Runtime, Timeouts};
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Arguments, OpenError, RedisSettings};
use crate::{Away, State, Stats};

/// The one in use, and the next one while calls on the last still end.
const CONNECTIONS_MAX: usize = 2;

/// Calls on their way at a time: few enough that each is answered within a few milliseconds, so that a crowd is
/// not taken for an outage; more did not raise the number of calls a second. Of a crowd beyond, each waits for its
/// turn as long as for an answer, and is then decided in process.
const CALLS_MAX: usize = 128;

/// What a probe writes ends by itself.
const PROBE_TTL_MS: u64 = 60_000;

#[derive(Clone)]
pub(super) struct Link {
    pool: Pool,
    patience: Duration,
    shared: Arc<Shared>,
    stats: Arc<Stats>,
}

struct Shared {
    state: watch::Sender<State>,
    /// The connection that the last probe wrote through; none while Redis is away.
    connection: Mutex<Option<MultiplexedConnection>>,
    turns: Semaphore,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The pool knows the password.
        let mut shown = f.debug_struct("Link");
        shown
            .field("state", &*self.shared.state.borrow())
            .finish_non_exhaustive()
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Too many calls are on their way.
    Busy,
    /// Redis has answered, and with an error that is about this call alone.
    Refused,
    /// Redis is not there, or of no use.
    Away,
    /// That was known, and nothing was asked.
    Absent,
}

impl Link {
    /// Opens the pool and begins to probe; both end with the guard.
    pub(super) fn open(
        settings: &RedisSettings,
        stats: Arc<Stats>,
    ) -> Result<(Self, DropGuard), OpenError> {
        let manager = Manager::new(settings.url.as_str()).map_err(|_| OpenError::Url)?;
        let patience = settings.patience;
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS_MAX)
            .timeouts(Timeouts {
                wait: Some(patience),
                create: Some(patience),
                recycle: Some(patience),
            })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|_| OpenError::Runtime)?;
        let link = Self {
            pool,
            patience,
            shared: Arc::new(Shared {
                state: watch::Sender::new(State::Down),
                connection: Mutex::new(None),
                turns: Semaphore::new(CALLS_MAX),
            }),
            stats,
        };
        let runtime = Handle::try_current().map_err(|_| OpenError::Runtime)?;
        let stop = CancellationToken::new();
        runtime.spawn(link.clone().keep_probing(settings.probe, stop.clone()));
        Ok((link, stop.drop_guard()))
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// Runs a script, which Redis is given when it does not know it.
    pub(super) async fn run<T>(&self, script: &Script, arguments: Arguments) -> Result<T, Away>
    where
        T: FromRedisValue + Send,
    {
        let mut call = script.prepare_invoke();
        for key in arguments.keys {
            call.key(key);
        }
        for value in arguments.values {
            call.arg(value);
        }
        self.call(self.patience, async move |mut connection| {
            call.invoke_async(&mut connection).await
        })
        .await
    }

    /// Asks something, unless Redis is away.
    pub(super) async fn call<T, F>(
        &self,
        patience: Duration,
        ask: impl FnOnce(MultiplexedConnection) -> F + Send,
    ) -> Result<T, Away>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let answer = self.try_call(patience, ask).await;
        answer.map_err(|failure| {
            self.on_failure(failure);
            Away
        })
    }

    async fn try_call<T, F>(
        &self,
        patience: Duration,
        ask: impl FnOnce(MultiplexedConnection) -> F + Send,
    ) -> Result<T, Failure>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let absent = Failure::Absent;
        if self.shared.connection.lock().is_none() {
            return Err(absent);
        }
        let turn = tokio::time::timeout(self.patience, self.shared.turns.acquire()).await;
        let _turn = turn.map_err(|_| Failure::Busy)?.map_err(|_| absent)?;
        let connection = self.shared.connection.lock().clone().ok_or(absent)?;
        match tokio::time::timeout(patience, ask(connection)).await {
            Ok(answer) => answer.map_err(|error| failure(&error)),
            Err(_) => Err(Failure::Away),
        }
    }

    fn on_failure(&self, failure: Failure) {
        match failure {
            Failure::Busy => {
                self.stats.redis_busy.fetch_add(1, Relaxed);
            }
            Failure::Refused => {
                self.stats.redis_failures.fetch_add(1, Relaxed);
                tracing::warn!("Redis refused a call");
            }
            Failure::Away => {
                self.stats.redis_failures.fetch_add(1, Relaxed);
                self.turn(None);
            }
            Failure::Absent => {}
        }
    }

    /// Marks Redis as there, by a connection to it, or as away, and says so once.
    fn turn(&self, connection: Option<MultiplexedConnection>) {
        let state = if connection.is_some() {
            State::Up
        } else {
            State::Down
        };
        // Before the state: who has seen it up finds the connection.
        *self.shared.connection.lock() = connection;
        let is_news = self.shared.state.send_if_modified(|known| {
            let is_news = *known != state;
            *known = state;
            is_news
        });
        match (is_news, state) {
            (true, State::Up) => tracing::info!("Redis is there: instances share their limits"),
            (true, _) => {
                self.stats.redis_outages.fetch_add(1, Relaxed);
                // They lead nowhere, and each would cost a probe's patience.
                self.pool.retain(|_, _| false);
                tracing::warn!("Redis is away: limits hold for each instance by itself");
            }
            (false, _) => {}
        }
    }

    /// Asks about every `pause` whether Redis can be written to, and says once an outage why it can't.
    async fn keep_probing(self, pause: Duration, stop: CancellationToken) {
        let mut is_said = false;
        loop {
            let answer = tokio::select! {
                () = stop.cancelled() => break,
                answer = tokio::time::timeout(self.patience, self.probe()) => answer,
            };
            match answer.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(connection) => {
                    is_said = false;
                    self.turn(Some(connection));
                }
                Err(why) => {
                    self.stats.redis_failures.fetch_add(1, Relaxed);
                    if !is_said {
                        tracing::warn!(%why, "Redis can't be written to");
                    }
                    is_said = true;
                    self.turn(None);
                }
            }
            // A fifth more or less: instances that began together do not stay together.
            let pause = pause.mul_f64(rand::rng().random_range(0.8..1.2));
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        *self.shared.connection.lock() = None;
    }

    /// Writes through a connection of the pool: the last one, as long as it lives. Or why that can't be done.
    async fn probe(&self) -> Result<MultiplexedConnection, String> {
        let taken = self.pool.get().await;
        let connection = taken.map_err(|error| error.to_string())?;
        let mut shared = MultiplexedConnection::clone(&connection);
        let mut set = Cmd::new();
        set.arg("SET").arg("discord-stream:probe").arg(1);
        set.arg("PX").arg(PROBE_TTL_MS);
        let written: RedisResult<()> = set.query_async(&mut shared).await;
        written.map_err(|error| error.to_string())?;
        Ok(shared)
    }
}

/// What Redis says of one key or one script is no outage; that it is full, loading or a replica is one.
fn failure(error: &RedisError) -> Failure {
    match (error.kind(), error.code()) {
        (ErrorKind::TypeError, _) | (_, Some("ERR" | "WRONGTYPE")) => Failure::Refused,
        _ => Failure::Away,
    }
}
