//! The way to Redis: pooled connections, one patience for every call, and a breaker.
//!
//! The first call that fails marks Redis as away; while it is away calls fail at once, and only a probe tries,
//! about four times a second and never all instances at the same moment. The probe writes, because a Redis that
//! loads its data, is full or is a replica answers reads. Connections live on the runtime that opened the link:
//! a socket loop that is busy does not delay the calls of others.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use deadpool_redis::redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Script};
use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime, TimeoutType, Timeouts};
use rand::RngExt as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Arguments, OpenError, RedisSettings};
use crate::{Away, State, Stats};

/// Enough for 10,000 calls a second at a millisecond each; a crowd beyond is decided in process.
const CONNECTIONS_MAX: usize = 16;

/// What a probe writes ends by itself.
const PROBE_TTL_MS: u64 = 60_000;

#[derive(Clone)]
pub(super) struct Link {
    pool: Pool,
    patience: Duration,
    runtime: Handle,
    state: Arc<watch::Sender<State>>,
    stats: Arc<Stats>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The pool knows the password.
        let mut shown = f.debug_struct("Link");
        shown
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Every connection was taken for too long.
    Busy,
    /// Redis has answered, and with an error that is about this call alone.
    Refused,
    /// Redis is not there, or of no use.
    Away,
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
                // Shorter than the whole call's, so that a crowd is not taken for an outage.
                wait: Some(patience / 3),
                create: Some(patience),
                recycle: Some(patience),
            })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|_| OpenError::Runtime)?;
        let link = Self {
            pool,
            patience,
            runtime: Handle::try_current().map_err(|_| OpenError::Runtime)?,
            state: Arc::new(watch::Sender::new(State::Down)),
            stats,
        };
        let stop = CancellationToken::new();
        let probing = link.clone().probe(settings.probe, stop.clone());
        link.runtime.spawn(probing);
        Ok((link, stop.drop_guard()))
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Runs a script, which Redis is given when it does not know it.
    pub(super) async fn run<T>(&self, script: &Script, arguments: Arguments) -> Result<T, Away>
    where
        T: FromRedisValue + Send + 'static,
    {
        self.run_within(self.patience, script, arguments).await
    }

    /// Runs a script that may take longer than most.
    pub(super) async fn run_within<T>(
        &self,
        patience: Duration,
        script: &Script,
        arguments: Arguments,
    ) -> Result<T, Away>
    where
        T: FromRedisValue + Send + 'static,
    {
        let script = script.clone();
        self.call(patience, async move |mut connection: Connection| {
            let mut call = script.prepare_invoke();
            for key in arguments.keys {
                call.key(key);
            }
            for value in arguments.values {
                call.arg(value);
            }
            call.invoke_async(&mut connection).await
        })
        .await
    }

    /// Asks something, unless Redis is away.
    pub(super) async fn call<T, F>(
        &self,
        patience: Duration,
        ask: impl FnOnce(Connection) -> F + Send + 'static,
    ) -> Result<T, Away>
    where
        T: Send + 'static,
        F: Future<Output = RedisResult<T>> + Send,
    {
        if *self.state.borrow() != State::Up {
            return Err(Away);
        }
        let (pool, runtime) = (self.pool.clone(), &self.runtime);
        let asking = runtime.spawn(async move { within(patience, pool, ask).await });
        // A runtime that is shutting down answers nothing any more.
        match asking.await.unwrap_or(Err(Failure::Away)) {
            Ok(answer) => Ok(answer),
            Err(failure) => {
                self.on_failure(failure);
                Err(Away)
            }
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
                self.turn(State::Down);
            }
        }
    }

    /// Marks Redis as there or as away, and says so once.
    fn turn(&self, state: State) {
        let is_news = self.state.send_if_modified(|known| {
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

    /// Asks about every `pause` whether Redis can be written to.
    async fn probe(self, pause: Duration, stop: CancellationToken) {
        loop {
            let (patience, pool) = (self.patience, self.pool.clone());
            let write = async |mut connection: Connection| -> RedisResult<()> {
                let mut set = Cmd::new();
                set.arg("SET").arg("discord-stream:probe").arg(1);
                set.arg("PX").arg(PROBE_TTL_MS);
                set.query_async(&mut connection).await
            };
            let answer = tokio::select! {
                () = stop.cancelled() => return,
                answer = within(patience, pool, write) => answer,
            };
            match answer {
                Ok(()) => self.turn(State::Up),
                Err(Failure::Busy) => {}
                Err(failure) => {
                    self.stats.redis_failures.fetch_add(1, Relaxed);
                    tracing::debug!(?failure, "a probe of Redis failed");
                    self.turn(State::Down);
                }
            }
            // A fifth more or less: instances that began together do not stay together.
            let pause = pause.mul_f64(rand::rng().random_range(0.8..1.2));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// One call from the pool to the answer, within one patience.
async fn within<T, F: Future<Output = RedisResult<T>>>(
    patience: Duration,
    pool: Pool,
    ask: impl FnOnce(Connection) -> F,
) -> Result<T, Failure> {
    let asking = async {
        let connection = pool.get().await.map_err(|error| match error {
            PoolError::Timeout(TimeoutType::Wait) => Failure::Busy,
            _ => Failure::Away,
        })?;
        ask(connection).await.map_err(|error| failure(&error))
    };
    let answered = tokio::time::timeout(patience, asking).await;
    answered.unwrap_or(Err(Failure::Away))
}

fn failure(error: &RedisError) -> Failure {
    match error.kind() {
        ErrorKind::ResponseError | ErrorKind::TypeError => Failure::Refused,
        _ => Failure::Away,
    }
}
