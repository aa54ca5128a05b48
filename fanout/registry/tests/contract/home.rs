//! The homes as the contract's cases see them: two clients of what is shared, and a clock that goes on.

use std::sync::Arc;
use std::time::Duration;

use registry::{
    InProcess, Limiter, Redis, RedisSettings, Revocations, Sessions, State, Stats, Verdict,
};

use super::doubles::{Double, Flaw};
use super::redis_server::RedisServer;

/// How long a condition may take to come true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a slot is held in the cases.
pub(crate) const SLOT_TTL: Duration = Duration::from_secs(3);

/// What a home is.
pub(crate) trait Shared: Limiter + Sessions + Revocations {}

impl<T: Limiter + Sessions + Revocations> Shared for T {}

/// Two clients, as two instances have them.
pub(crate) struct Home {
    pub(crate) one: Arc<dyn Shared>,
    pub(crate) other: Arc<dyn Shared>,
    _server: Option<RedisServer>,
}

impl Home {
    /// Clones of the in-process home; its clock is paused.
    pub(crate) fn in_process() -> Self {
        let home = in_process(SLOT_TTL);
        Self::of(Arc::new(home.clone()), Arc::new(home))
    }

    /// Two connections to a Redis of their own.
    pub(crate) async fn redis() -> Self {
        let server = RedisServer::start();
        let one = redis(&server).await;
        let other = redis(&server).await;
        Self {
            _server: Some(server),
            ..Self::of(Arc::new(one), Arc::new(other))
        }
    }

    /// A home with a flaw; its clock is paused.
    pub(crate) fn broken(flaw: Flaw) -> Self {
        let double = Double::new(flaw);
        let other = match flaw {
            Flaw::Separate => Double::new(flaw),
            _ => double.clone(),
        };
        Self::of(Arc::new(double), Arc::new(other))
    }

    fn of(one: Arc<dyn Shared>, other: Arc<dyn Shared>) -> Self {
        Self {
            one,
            other,
            _server: None,
        }
    }
}

pub(crate) fn in_process(slot_ttl: Duration) -> InProcess {
    InProcess::new(slot_ttl, Arc::new(Stats::default()))
}

/// The cases wait longer for Redis than a service does: they are about what it says, on a machine that is busy.
pub(crate) fn patient(server: &RedisServer) -> RedisSettings {
    RedisSettings {
        patience: Duration::from_secs(5),
        slot_ttl: SLOT_TTL,
        ..RedisSettings::new(server.url())
    }
}

async fn redis(server: &RedisServer) -> Redis {
    let redis = Redis::open(&patient(server), Arc::default()).unwrap();
    let mut states = redis.watch();
    soon(
        "Redis is there",
        states.wait_for(|state| *state == State::Up),
    )
    .await
    .unwrap();
    redis
}

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, waiting).await;
    done.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// Lets the clock go on: on a real one it takes as long.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// How long a refused one is told to wait.
pub(crate) fn wait_of(verdict: Verdict) -> Duration {
    match verdict {
        Verdict::Refused { retry_after } => retry_after,
        Verdict::Allowed => panic!("it should be refused"),
    }
}
