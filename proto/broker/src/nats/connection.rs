//! The connection to NATS: how it is made, whether it stands, and what disturbed it.
//!
//! The client library reconnects for ever by itself; this file watches it, checks the server's version after
//! each connection, and turns its events into two watches. It knows nothing of streams.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::BrokerError;

/// The first pause before a reconnection; it doubles up to [`RECONNECT_MAX`], with jitter. Viewers wait while it
/// lasts, and our instances are few: everything is to be live within a second of a server's return.
const RECONNECT_MIN: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_millis(400);

/// How long one attempt to connect may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// A half-open connection is noticed after two of these without an answer.
const PING_EVERY: Duration = Duration::from_secs(5);

/// How long [`crate::Nats::connect`] waits for a server before it returns without one.
const FIRST_CONNECTION_PATIENCE: Duration = Duration::from_secs(2);

/// Messages that a subscription holds until its task takes them, which is at once; what lies longer is
/// bounded in bytes by the feed's own queue.
const SUBSCRIPTION_MESSAGES_MAX: usize = 32 * 1024;

/// Per-key lifetimes, which the lease is made of, came with this version.
const SERVER_MIN: (i64, i64) = (2, 11);

/// Where NATS is and how to enter.
#[derive(Debug, Clone)]
pub struct NatsSettings {
    /// One or several URLs of one cluster, comma-separated (`nats://host:4222`, `tls://…`);
    /// the first may name a user and a password, or a token (`nats://user:password@host`).
    pub url: String,
    /// A file with the user's token and seed, as `nsc` writes it.
    pub credentials_file: Option<PathBuf>,
    /// Certificates (PEM) that sign the servers', beside the system's own.
    pub ca_file: Option<PathBuf>,
    /// How the connection is called in the server's lists.
    pub name: String,
    /// Bytes that one live feed holds for its reader before it leaves events out.
    pub feed_bytes_max: usize,
}

impl NatsSettings {
    /// A connection without credentials.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials_file: None,
            ca_file: None,
            name: name.into(),
            feed_bytes_max: crate::feed::FEED_BYTES_MAX,
        }
    }
}

/// The connection cannot ever stand with these settings. A server that is only away is no error.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is none.
    #[error("the NATS URL is malformed")]
    Url(#[source] io::Error),
    /// The credentials cannot be read.
    #[error("the NATS credentials file cannot be read")]
    Credentials(#[source] io::Error),
    /// The client could not be built.
    #[error("the NATS client cannot be built")]
    Client(#[from] async_nats::ConnectError),
    /// The server is too old.
    #[error("the NATS server is version {0}, but 2.11 or newer is needed")]
    TooOld(String),
}

/// Whether calls can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Link {
    Away,
    Ready,
    TooOld(String),
}

/// What the client has reported so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Signals {
    connections: u64,
    overflows: u64,
    is_connected: bool,
}

/// A client that is watched.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    client: Client,
    link: watch::Receiver<Link>,
    connected: watch::Receiver<bool>,
    disturbances: watch::Receiver<&'static str>,
}

impl Connection {
    /// Starts to connect, and waits a moment for success; goes on in the background until `stop`.
    pub(super) async fn open(
        settings: &NatsSettings,
        stop: CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Self, ConnectError> {
        let (signals, reported) = watch::channel(Signals::default());
        let client = connect(settings, signals).await?;
        let (watcher, connection) = Watcher::new(client, reported);
        tasks.spawn(watcher.run(stop));
        let mut link = connection.link.clone();
        let first = link.wait_for(|link| *link != Link::Away);
        if let Ok(Ok(link)) = tokio::time::timeout(FIRST_CONNECTION_PATIENCE, first).await
            && let Link::TooOld(version) = &*link
        {
            return Err(ConnectError::TooOld(version.clone()));
        }
        Ok(connection)
    }

    /// The client, once it is connected to a server that will do. The caller bounds the wait.
    pub(super) async fn ready(&self) -> Result<&Client, BrokerError> {
        if *self.link.borrow() == Link::Ready {
            return Ok(&self.client);
        }
        let mut link = self.link.clone();
        let link = link.wait_for(|link| *link != Link::Away).await;
        match link.as_deref() {
            Ok(Link::TooOld(version)) => Err(BrokerError::Away(
                ConnectError::TooOld(version.clone()).to_string(),
            )),
            Ok(_) => Ok(&self.client),
            Err(_) => Err(BrokerError::Away("it is closed".to_owned())),
        }
    }

    /// Returns once the connection that stands now is lost: what was asked on it is not answered any more.
    pub(super) async fn lost(&self) {
        let mut link = self.link.clone();
        // Closed is lost too.
        drop(link.wait_for(|link| *link == Link::Away).await);
    }

    /// The client, connected or not.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the connection stands.
    pub(super) fn is_connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// What may leave events out from now on.
    pub(super) fn disturbances(&self) -> watch::Receiver<&'static str> {
        let mut disturbances = self.disturbances.clone();
        disturbances.mark_unchanged();
        disturbances
    }
}

async fn connect(
    settings: &NatsSettings,
    signals: watch::Sender<Signals>,
) -> Result<Client, ConnectError> {
    let urls = settings.url.split(',').map(str::trim);
    let addresses: io::Result<Vec<ServerAddr>> = urls.map(str::parse).collect();
    let addresses = addresses.map_err(ConnectError::Url)?;
    let mut options = named_in(&addresses)
        .name(&settings.name)
        .retry_on_initial_connect()
        .connection_timeout(CONNECT_PATIENCE)
        .ping_interval(PING_EVERY)
        .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            signals.send_modify(|signals| signals.take(&event));
            async {}
        });
    if let Some(file) = &settings.ca_file {
        options = options.add_root_certificates(file.clone());
    }
    if let Some(file) = &settings.credentials_file {
        let credentials = options.credentials_file(file).await;
        options = credentials.map_err(ConnectError::Credentials)?;
    }
    Ok(options.connect(addresses).await?)
}

/// The user and the password, or the token, that the first address names. The client reads them into the address
/// and does not use them by itself.
fn named_in(addresses: &[ServerAddr]) -> ConnectOptions {
    let options = ConnectOptions::new();
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let Some(address) = addresses.first() else {
        return options;
    };
    match (address.username(), address.password()) {
        (Some(user), Some(password)) => options.user_and_password(plain(user), plain(password)),
        (Some(token), None) => options.token(plain(token)),
        (None, _) => options,
    }
}

/// 100 ms, doubled up to 400 ms, of which half is left to chance, so that instances do not return in step.
fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let ceiling = RECONNECT_MIN.saturating_mul(2_u32.saturating_pow(doublings));
    let ceiling = ceiling.min(RECONNECT_MAX);
    ceiling.mul_f64(rand::random_range(0.5..=1.0))
}

impl Signals {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Connected => {
                self.connections += 1;
                self.is_connected = true;
            }
            Event::Disconnected | Event::Closed => self.is_connected = false,
            Event::SlowConsumer(_) => self.overflows += 1,
            Event::ServerError(error) => tracing::warn!(%error, "NATS reports an error"),
            Event::ClientError(error) => {
                tracing::debug!(%error, "the NATS client reports an error");
            }
            Event::LameDuckMode | Event::Draining => {}
        }
    }
}

/// The task that turns reports into the two watches.
struct Watcher {
    client: Client,
    reported: watch::Receiver<Signals>,
    seen: Signals,
    link: watch::Sender<Link>,
    connected: watch::Sender<bool>,
    disturbances: watch::Sender<&'static str>,
}

impl Watcher {
    fn new(client: Client, reported: watch::Receiver<Signals>) -> (Self, Connection) {
        let link = watch::Sender::new(Link::Away);
        let connected = watch::Sender::new(false);
        let disturbances = watch::Sender::new("");
        let connection = Connection {
            client: client.clone(),
            link: link.subscribe(),
            connected: connected.subscribe(),
            disturbances: disturbances.subscribe(),
        };
        let watcher = Self {
            client,
            reported,
            seen: Signals::default(),
            link,
            connected,
            disturbances,
        };
        (watcher, connection)
    }

    async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.watch() => {}
        }
        self.link.send_replace(Link::Away);
        self.connected.send_replace(false);
    }

    async fn watch(&mut self) {
        loop {
            let signals = *self.reported.borrow_and_update();
            self.follow(signals).await;
            if self.reported.changed().await.is_err() {
                return;
            }
        }
    }

    async fn follow(&mut self, signals: Signals) {
        if !signals.is_connected {
            self.link.send_replace(Link::Away);
            self.connected.send_replace(false);
        } else if signals.connections != self.seen.connections {
            self.greet().await;
            // Before the first connection there was no feed to disturb.
            if self.seen.connections > 0 {
                self.disturb("the connection was made anew");
            }
        }
        if signals.overflows != self.seen.overflows {
            self.disturb("the client's buffer was full");
        }
        self.seen = signals;
    }

    /// A flush returns once the new connection is in use: from then on the server's version is known, and
    /// the subscriptions have been sent again.
    async fn greet(&self) {
        let flushed = tokio::time::timeout(CONNECT_PATIENCE, self.client.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            return;
        }
        let (major, minor) = SERVER_MIN;
        if self.client.is_server_compatible(major, minor, 0) {
            self.link.send_replace(Link::Ready);
            self.connected.send_replace(true);
        } else {
            let version = self.client.server_info().version;
            tracing::error!(
                version,
                "the NATS server is too old; 2.11 or newer is needed"
            );
            self.link.send_replace(Link::TooOld(version));
        }
    }

    fn disturb(&self, why: &'static str) {
        self.disturbances.send_replace(why);
    }
}
