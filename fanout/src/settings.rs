//! The fanout's settings, checked at the start (contract.md §4).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use actix_socketio::Config;
use actix_web::http::header::{AUTHORIZATION, HeaderName};
use registry::RedisSettings;
use runtime::settings::{Settings, SettingsError, malformed};
use secrecy::{ExposeSecret as _, SecretString};

use crate::address::{FORWARDED_FOR, Proxies};
use crate::auth::{Keys, OAuthSettings};
use crate::http::{Landing, SecurityHeaders};
use crate::limit::LimitSettings;
use crate::object::Cdn;
use crate::origin::Origins;
use crate::peer::PeerSettings;

/// The default of `JWT_EXPIRES_IN`.
const EXPIRES: Duration = Duration::from_hours(7 * 24);

/// The default of `RECOVERY_WINDOW_MS`, the reference server's.
const RECOVERY_WINDOW: Duration = Duration::from_mins(2);

/// Everything that a fanout is told.
#[derive(Debug, Clone)]
pub struct FanoutSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the other instances reach it; without it this one is alone.
    pub peers: Option<PeerSettings>,
    /// What verifies and signs tokens.
    pub keys: Keys,
    /// Whose pages may talk to it.
    pub origins: Origins,
    /// The transport's bounds.
    pub socketio: Config,
    /// What instances share; without it limits and sessions are this process's.
    pub redis: Option<RedisSettings>,
    /// How much is allowed.
    pub limits: LimitSettings,
    /// Whose `X-Forwarded-*` headers are taken at their word.
    pub proxies: Proxies,
    /// Logins at Discord, where they are configured.
    pub oauth: Option<OAuthSettings>,
    /// How long a token that is signed here is valid.
    pub expires: Duration,
    /// Where a user goes after a login.
    pub landing: Landing,
    /// Where the page gets images.
    pub cdn: Cdn,
    /// What every answer carries.
    pub headers: SecurityHeaders,
    /// What opens the details of the status routes.
    pub ops_token: Option<SecretString>,
    /// The name of the environment.
    pub environment: String,
    /// Not ready for so long before closing begins.
    pub shutdown_grace: Duration,
    /// For so long a connection can be recovered; nothing: none can.
    pub recovery_window: Duration,
    /// Over so long the sockets are closed.
    pub drain: Duration,
}

impl FanoutSettings {
    /// Reads and checks the settings.
    ///
    /// # Errors
    /// A required one is missing, or one is malformed.
    pub fn read(settings: &Settings) -> Result<Self, SettingsError> {
        let port = settings.number("PORT", 3001_u16)?;
        let cdn = Cdn::read(settings)?;
        let limits = LimitSettings::read(settings)?;
        Ok(Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            peers: PeerSettings::read(settings)?,
            keys: Keys::from_settings(settings)?,
            origins: Origins::from_settings(settings)?,
            socketio: socketio(settings, &limits)?,
            redis: redis(settings)?,
            limits,
            proxies: Proxies::from_settings(settings)?,
            oauth: OAuthSettings::read(settings)?,
            expires: settings.duration("JWT_EXPIRES_IN", EXPIRES)?,
            landing: Landing::read(settings),
            headers: SecurityHeaders::read(settings, &cdn)?,
            cdn,
            ops_token: settings.secret("OPS_TOKEN"),
            environment: settings.text("APP_ENV").unwrap_or("development").to_owned(),
            shutdown_grace: settings.milliseconds("SHUTDOWN_GRACE_MS", Duration::from_secs(5))?,
            recovery_window: settings.milliseconds("RECOVERY_WINDOW_MS", RECOVERY_WINDOW)?,
            drain: Duration::from_secs(settings.number("DRAIN_SECONDS", 20)?),
        })
    }
}

fn redis(settings: &Settings) -> Result<Option<RedisSettings>, SettingsError> {
    const NAME: &str = "REDIS_URL";
    let Some(url) = settings.secret(NAME) else {
        return Ok(None);
    };
    let redis = RedisSettings::new(url.expose_secret());
    match redis.check() {
        Ok(()) => Ok(Some(redis)),
        Err(_) => Err(malformed(NAME, "an address such as redis://host:6379")),
    }
}

/// How long a client of Socket.IO 2 may take to ask for `/discord` before it is told that `/` is closed to it
/// (decisions.md, "Socket.IO 2.x").
const IMPLICIT_GRACE: Duration = Duration::from_secs(5);

/// Ten times the events of a whole window: a client that sends as many in a second is no viewer.
const PACKETS_PER_SECOND_MAX: u32 = 1_000;

/// Sessions of one process: those that poll cost no descriptor, which bound all others before. At a few KiB each they
/// fit into any memory that many sockets do.
const SESSIONS_MAX: usize = 65_536;

/// Sessions of one address on one instance, to those that `CONNECTIONS_PER_ADDRESS_MAX` lets connect: as many again may
/// be about to. That limit itself is counted over all instances, at CONNECT.
const SESSIONS_PER_CONNECTION: usize = 2;

fn socketio(settings: &Settings, limits: &LimitSettings) -> Result<Config, SettingsError> {
    let default = Config::default();
    let positive = |name: &'static str, value: usize| {
        if value == 0 {
            return Err(malformed(name, "more than 0"));
        }
        Ok(value)
    };
    let payload = settings.bytes("SOCKET_MAX_HTTP_BUFFER_SIZE", default.max_payload)?;
    let queue = settings.bytes("SOCKET_QUEUE_MAX", default.queue_bytes_max)?;
    let per_address = usize::try_from(limits.connections_per_address_max).unwrap_or(usize::MAX);
    Ok(Config {
        ping_interval: settings.milliseconds("SOCKET_PING_INTERVAL", default.ping_interval)?,
        ping_timeout: settings.milliseconds("SOCKET_PING_TIMEOUT", default.ping_timeout)?,
        max_payload: positive("SOCKET_MAX_HTTP_BUFFER_SIZE", payload)?,
        queue_bytes_max: positive("SOCKET_QUEUE_MAX", queue)?,
        allow_eio3: true,
        handshake_headers: vec![AUTHORIZATION, HeaderName::from_static(FORWARDED_FOR)],
        packets_per_second_max: PACKETS_PER_SECOND_MAX,
        connections_max: SESSIONS_MAX,
        connections_per_address_max: per_address.saturating_mul(SESSIONS_PER_CONNECTION),
        implicit_grace: Some(IMPLICIT_GRACE),
        ..default
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_redis_that_is_none_stops_the_start_and_is_not_repeated() {
        let mut settings = Settings::default();
        assert!(redis(&settings).unwrap().is_none());
        for url in [
            "redis:6379",
            "http://:secret@redis",
            "redis://:secret@redis:port",
        ] {
            settings.set("REDIS_URL", url);
            let error = redis(&settings).unwrap_err().to_string();
            assert!(
                error.starts_with("setting REDIS_URL is malformed"),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
        for url in ["redis://redis:6379/1", "rediss://user:secret@redis:6380"] {
            settings.set("REDIS_URL", url);
            let opened = redis(&settings).unwrap();
            assert!(!format!("{opened:?}").contains("secret"));
        }
    }
}
