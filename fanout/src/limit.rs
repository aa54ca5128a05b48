//! What is limited, by which key (decisions.md, "Limits"): events and requests, handshakes, open connections.
//!
//! The counting is the registry's, over all instances. Each limit is off where its setting is 0, and those by
//! address where the address is a proxy's. A refusal says how long to wait, and is counted by its limit.

mod held;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use proto::UserId;
use registry::{Quota, Registry, Verdict};
use runtime::settings::{Settings, SettingsError};

use self::held::Slots;
use crate::address::ClientAddress;

pub use self::held::Held;

/// An embed token stands in a public page: all of its viewers together have this many times what each has.
const EMBED_TOTAL: u32 = 100;

/// The window of `CONNECT_RATE_PER_ADDRESS`.
const MINUTE: Duration = Duration::from_mins(1);

/// How much is allowed. 0 switches a limit off.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// `RATE_LIMIT_WINDOW_MS`.
    pub window: Duration,
    /// `RATE_LIMIT_MAX_REQUESTS`: events and requests of one viewer in a window.
    pub requests_max: u32,
    /// `CONNECTIONS_PER_USER_MAX`.
    pub connections_per_user_max: u32,
    /// `CONNECTIONS_PER_ADDRESS_MAX`.
    pub connections_per_address_max: u32,
    /// `CONNECT_RATE_PER_ADDRESS`: handshakes a minute.
    pub handshakes_max: u32,
}

impl LimitSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// One is malformed.
    pub fn read(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            window: settings.milliseconds("RATE_LIMIT_WINDOW_MS", MINUTE)?,
            requests_max: settings.number("RATE_LIMIT_MAX_REQUESTS", 100)?,
            connections_per_user_max: settings.number("CONNECTIONS_PER_USER_MAX", 20)?,
            connections_per_address_max: settings.number("CONNECTIONS_PER_ADDRESS_MAX", 1000)?,
            handshakes_max: settings.number("CONNECT_RATE_PER_ADDRESS", 100)?,
        })
    }
}

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spender<'a> {
    /// A user, on all of their devices together.
    User(UserId),
    /// The bearers of an embed token, by the token's key (a hash), each address for itself.
    Embed(&'a str),
}

/// The limits that can refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Events and requests of one viewer.
    Requests,
    /// Events and requests of all bearers of an embed token.
    EmbedTotal,
    /// Handshakes from one address.
    Handshakes,
    /// Open connections of one viewer.
    UserConnections,
    /// Open connections from one address.
    AddressConnections,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Requests,
        Self::EmbedTotal,
        Self::Handshakes,
        Self::UserConnections,
        Self::AddressConnections,
    ];

    /// The label of metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::EmbedTotal => "embed_total",
            Self::Handshakes => "handshakes",
            Self::UserConnections => "user_connections",
            Self::AddressConnections => "address_connections",
        }
    }

    /// What the client reads.
    pub fn message(self) -> &'static str {
        match self {
            Self::Requests | Self::EmbedTotal => "Too many requests",
            Self::Handshakes | Self::UserConnections | Self::AddressConnections => {
                "Too many connections"
            }
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", limit.message())]
pub struct Limited {
    /// Which limit.
    pub limit: Limit,
    /// For how long.
    pub retry_after: Duration,
}

impl Limited {
    /// Whole seconds, rounded up, so that the call made then succeeds.
    pub fn retry_after_seconds(&self) -> u64 {
        let part = u64::from(self.retry_after.subsec_nanos() > 0);
        (self.retry_after.as_secs() + part).max(1)
    }
}

/// The limits of an instance. Clones share everything.
#[derive(Debug, Clone)]
pub struct Limits {
    registry: Registry,
    requests: Option<Quota>,
    embed_total: Option<Quota>,
    handshakes: Option<Quota>,
    connections_per_user_max: u32,
    connections_per_address_max: u32,
    slots: Arc<Slots>,
    refused: Arc<[AtomicU64; Limit::ALL.len()]>,
}

impl Limits {
    /// Limits that are counted in a registry. [`Self::run`] must run beside them.
    pub fn new(registry: Registry, settings: &LimitSettings) -> Self {
        let total = settings.requests_max.saturating_mul(EMBED_TOTAL);
        Self {
            registry,
            requests: Quota::new(settings.requests_max, settings.window),
            embed_total: Quota::new(total, settings.window),
            handshakes: Quota::new(settings.handshakes_max, MINUTE),
            connections_per_user_max: settings.connections_per_user_max,
            connections_per_address_max: settings.connections_per_address_max,
            slots: Arc::default(),
            refused: Arc::default(),
        }
    }

    /// Counts an event or an authenticated request. Exempt, and not to be counted here: health, ready, live, static
    /// files, `refresh_token` and `leave_channel`.
    ///
    /// # Errors
    /// One too many.
    pub async fn spend(&self, spender: Spender<'_>, address: ClientAddress) -> Result<(), Limited> {
        if let Some(key) = viewer_key(spender, address) {
            self.spend_one(Limit::Requests, &key, self.requests).await?;
        }
        // Second, so that one address that asks too much takes nothing from the others.
        if let Spender::Embed(token) = spender {
            let key = format!("t:{token}");
            self.spend_one(Limit::EmbedTotal, &key, self.embed_total)
                .await?;
        }
        Ok(())
    }

    /// Counts a handshake. A recovery with a valid pid is free, and not to be counted here.
    ///
    /// # Errors
    /// One too many.
    pub async fn shake_hands(&self, address: ClientAddress) -> Result<(), Limited> {
        let Some(address) = address.key() else {
            return Ok(());
        };
        let key = format!("h:{address}");
        self.spend_one(Limit::Handshakes, &key, self.handshakes)
            .await
    }

    /// A connection's place among those of its address, until the guard is dropped.
    ///
    /// # Errors
    /// One too many.
    pub async fn hold_address(&self, address: ClientAddress) -> Result<Held, Limited> {
        let key = address.key().map(|address| format!("a:{address}"));
        let max = self.connections_per_address_max;
        self.hold(Limit::AddressConnections, key, max).await
    }

    /// A connection's place among those of its viewer, until the guard is dropped.
    ///
    /// # Errors
    /// One too many.
    pub async fn hold_viewer(
        &self,
        spender: Spender<'_>,
        address: ClientAddress,
    ) -> Result<Held, Limited> {
        let key = viewer_key(spender, address);
        let max = self.connections_per_user_max;
        self.hold(Limit::UserConnections, key, max).await
    }

    /// How often a limit has refused.
    pub fn refused(&self, limit: Limit) -> u64 {
        self.counter(limit)
            .map_or(0, |counter| counter.load(Relaxed))
    }

    async fn spend_one(
        &self,
        limit: Limit,
        key: &str,
        quota: Option<Quota>,
    ) -> Result<(), Limited> {
        let Some(quota) = quota else {
            return Ok(());
        };
        let verdict = self.registry.spend(key, quota).await;
        self.judge(limit, verdict)
    }

    async fn hold(&self, limit: Limit, key: Option<String>, max: u32) -> Result<Held, Limited> {
        let Some(key) = key.filter(|_| max > 0) else {
            return Ok(Held::nothing());
        };
        // Begun before the question: whoever drops this future gives back what may have been taken.
        let held = Held::begin(&self.slots, key);
        let verdict = match held.slot() {
            Some((key, name)) => self.registry.hold(key, name, max).await,
            None => Verdict::Allowed,
        };
        match self.judge(limit, verdict) {
            Ok(()) => {
                held.keep();
                Ok(held)
            }
            Err(limited) => {
                held.forget();
                Err(limited)
            }
        }
    }

    fn judge(&self, limit: Limit, verdict: Verdict) -> Result<(), Limited> {
        let Verdict::Refused { retry_after } = verdict else {
            return Ok(());
        };
        if let Some(counter) = self.counter(limit) {
            counter.fetch_add(1, Relaxed);
        }
        Err(Limited { limit, retry_after })
    }

    fn counter(&self, limit: Limit) -> Option<&AtomicU64> {
        self.refused.get(limit as usize)
    }
}

/// Under which key a viewer is counted; none where nothing tells them from others.
fn viewer_key(spender: Spender<'_>, address: ClientAddress) -> Option<String> {
    match spender {
        Spender::User(user) => Some(format!("u:{user}")),
        Spender::Embed(token) => address.key().map(|address| format!("e:{token}:{address}")),
    }
}

#[cfg(test)]
mod tests;
