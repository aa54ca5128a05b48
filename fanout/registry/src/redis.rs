//! The home in Redis: one script a question, so that each is atomic over all instances, and Redis' own clock.
//!
//! Every key begins with `discord-stream:`, ends by itself, and carries the asked-for key in braces (one slot of
//! a cluster each). A call that is not answered in time marks Redis as away; from then on no call waits, until a
//! probe has written something (link.rs).

mod limiter;
mod link;
mod revocations;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::Manager;
use deadpool_redis::redis::{Script, ToRedisArgs};
use tokio::sync::watch;
use tokio_util::sync::DropGuard;

use self::link::Link;
use crate::{SLOT_TTL, State, Stats};

/// How Redis is reached.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS, which takes the process's rustls
    /// provider and trusts the system's roots, or those of `SSL_CERT_FILE`.
    pub url: String,
    /// A call that takes longer is answered in process, and marks Redis as away.
    pub patience: Duration,
    /// About so often Redis is asked whether it is there.
    pub probe: Duration,
    /// A slot that is not renewed for so long is free again.
    pub slot_ttl: Duration,
}

impl RedisSettings {
    /// The settings of a service.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            patience: Duration::from_millis(200),
            probe: Duration::from_millis(250),
            slot_ttl: SLOT_TTL,
        }
    }
}

impl RedisSettings {
    /// Whether the URL is one, without asking anybody.
    ///
    /// # Errors
    /// It is none.
    pub fn check(&self) -> Result<(), OpenError> {
        let manager = Manager::new(self.url.as_str());
        manager.map(drop).map_err(|_| OpenError::Url)
    }
}

impl std::fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("RedisSettings").finish_non_exhaustive()
    }
}

/// A home that can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The URL is none of Redis. What it says is not repeated: it may hold a password.
    #[error("the address of Redis is malformed")]
    Url,
    /// There is no tokio runtime to probe it from.
    #[error("there is no runtime to reach Redis from")]
    Runtime,
}

/// The home in Redis. Clones share its connections; with the last of them the probe ends.
#[derive(Debug, Clone)]
pub struct Redis {
    link: Link,
    scripts: Arc<Scripts>,
    slot_ttl: Duration,
    _stop: Arc<DropGuard>,
}

#[derive(Debug)]
struct Scripts {
    spend: Script,
    hold: Script,
    renew_slots: &'static str,
    release: Script,
    save_session: Script,
    take_session: Script,
    renew_session: Script,
    drop_session: Script,
    put_revocation: Script,
    revocations: Script,
}

impl Redis {
    /// Does not wait for the server: until it has answered a first time, it is away.
    ///
    /// # Errors
    /// The URL is malformed, or no runtime is there.
    pub fn open(settings: &RedisSettings, stats: Arc<Stats>) -> Result<Self, OpenError> {
        let (link, stop) = Link::open(settings, stats)?;
        Ok(Self {
            link,
            scripts: Arc::new(Scripts::new()),
            slot_ttl: settings.slot_ttl,
            _stop: Arc::new(stop),
        })
    }

    /// Whether it answers, now and later.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.link.watch()
    }
}

impl Scripts {
    fn new() -> Self {
        Self {
            spend: Script::new(include_str!("redis/spend.lua")),
            hold: Script::new(include_str!("redis/hold.lua")),
            renew_slots: include_str!("redis/renew_slots.lua"),
            release: Script::new(include_str!("redis/release.lua")),
            save_session: Script::new(include_str!("redis/save_session.lua")),
            take_session: Script::new(include_str!("redis/take_session.lua")),
            renew_session: Script::new(include_str!("redis/renew_session.lua")),
            drop_session: Script::new(include_str!("redis/drop_session.lua")),
            put_revocation: Script::new(include_str!("redis/put_revocation.lua")),
            revocations: Script::new(include_str!("redis/revocations.lua")),
        }
    }
}

/// The arguments of one script call: keys, and what follows them.
#[derive(Debug, Default)]
struct Arguments {
    keys: Vec<String>,
    values: Vec<Vec<u8>>,
}

impl Arguments {
    /// One key, of one kind of thing.
    fn of(kind: &str, key: &str) -> Self {
        Self {
            keys: vec![format!("discord-stream:{kind}:{{{key}}}")],
            values: Vec::new(),
        }
    }

    fn and(mut self, value: impl ToRedisArgs) -> Self {
        value.write_redis_args(&mut self.values);
        self
    }
}

/// Whole milliseconds, as Redis counts the ends of keys: never 0, which would be the end at once, and never so many
/// that its sums overflow.
fn milliseconds(duration: Duration) -> u64 {
    /// A hundred years.
    const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
    let milliseconds = u64::try_from(duration.as_millis());
    milliseconds.unwrap_or(LONGEST).clamp(1, LONGEST)
}
