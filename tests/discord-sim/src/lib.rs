//! A simulated Discord: gateway, REST and demo traffic on one port, in one process, on loopback.
//! It promises Discord's shapes, orders and close codes, ids that are the same from start to start, and one total order
//! of events a session: the order in which the changes were made.
//! It refuses to know who connects to it: it is driven over HTTP, as Discord is, and by `/sim/*`.

mod application;
mod cdn;
mod channel;
mod control;
mod demo;
mod event;
mod faults;
mod gateway;
mod guild;
mod limits;
mod load;
mod message;
mod oauth2;
mod object;
mod permission;
mod picture;
mod refusal;
mod rest;
mod server;
mod sim;
mod snowflake;
mod world;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::application::Application;
use crate::sim::Shared;
use crate::world::World;

/// The bot's token; anything else is refused.
pub const TOKEN: &str = "MTE0NjAwODAwNDE5ODQwMDAwMQ.simulated.bot-token";
/// The application's id, which is the bot's user id too.
pub const CLIENT_ID: &str = "1146008004198400001";
/// The application's OAuth2 secret.
pub const CLIENT_SECRET: &str = "simulated-client-secret";

/// How the simulator starts.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Where it listens; port 0 takes a free one.
    pub bind: SocketAddr,
    /// How many plain members the first guild has beyond its own people.
    pub extra_members: usize,
    /// How many shards it recommends; its guilds lie on different ones of two or three.
    pub shards: u64,
    /// The seed of the demo traffic; `None`: no demo traffic.
    pub demo_seed: Option<u64>,
    /// Whether the application was granted the members intent; without it IDENTIFY with it is closed with 4014.
    pub members_intent: bool,
    /// Whether it was granted the message content intent; without it REST withholds content too.
    pub content_intent: bool,
    /// Where a login may lead back to, compared letter for letter. Empty: to `/api/auth/discord/callback` on this
    /// machine, whatever the port.
    pub redirect_uris: Vec<String>,
    /// Where others reach it, for links to its files: `http://sim:4000`. `None`: where it listens.
    pub public_url: Option<String>,
}

impl Default for SimConfig {
    /// Loopback, a free port, no extra members, no demo traffic: what a test wants.
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            extra_members: 0,
            shards: 1,
            demo_seed: None,
            members_intent: true,
            content_intent: true,
            redirect_uris: Vec::new(),
            public_url: None,
        }
    }
}

/// Why the simulator did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address can't be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The thread of the server can't be had, or its server did not start.
    #[error("the simulator's server failed")]
    Server(#[source] std::io::Error),
    /// The thread of the server ended in a panic.
    #[error("the simulator's thread panicked")]
    Panicked,
}

/// The simulated Discord.
#[derive(Debug)]
pub struct Sim;

impl Sim {
    /// Founds the world and begins to listen. The server runs on threads of its own, so that any runtime may call this.
    ///
    /// # Errors
    /// When the address is taken, or a thread can't be started.
    pub async fn start(config: SimConfig) -> Result<SimHandle, SimError> {
        let bind_failed = |source| SimError::Bind {
            address: config.bind,
            source,
        };
        let listener = TcpListener::bind(config.bind).map_err(bind_failed)?;
        let address = listener.local_addr().map_err(bind_failed)?;
        let application = Application {
            has_members_intent: config.members_intent,
            has_content_intent: config.content_intent,
            redirect_uris: config.redirect_uris,
        };
        let base = config
            .public_url
            .unwrap_or_else(|| format!("http://{}", reachable(address)));
        let mut world = World::found(config.extra_members, base.trim_end_matches('/'));
        if let Some(seed) = config.demo_seed {
            demo::write_past(&mut world, seed);
        }
        let shared = Arc::new(Shared::new(world, application, config.shards));
        let (started, is_started) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("discord-sim".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || server::run(&shared, listener, config.demo_seed, started)
            });
        let thread = thread.map_err(SimError::Server)?;
        let handle = SimHandle {
            address,
            shared,
            thread: Some(thread),
        };
        match is_started.await {
            Ok(()) => Ok(handle),
            // The thread is gone before it said that it runs: its result says why.
            Err(_) => handle.stop().await.and(Err(SimError::Panicked)),
        }
    }
}

/// The address at which this machine reaches what listens there.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    }
    address
}

/// A running simulator. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct SimHandle {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl SimHandle {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The base of the REST API, as `DISCORD_API_URL` wants it.
    pub fn api_url(&self) -> String {
        format!("http://{}/api/v10", self.address)
    }

    /// The base of the OAuth2 pages, as `DISCORD_OAUTH_URL` wants it.
    pub fn oauth_url(&self) -> String {
        format!("http://{}/oauth2", self.address)
    }

    /// The base of avatars, icons, emojis and attachments, which Discord has at `https://cdn.discordapp.com`.
    pub fn cdn_url(&self) -> String {
        self.shared.state().world.files.base().to_owned()
    }

    /// The bot's token.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// The application's id.
    pub fn client_id(&self) -> &'static str {
        CLIENT_ID
    }

    /// The application's OAuth2 secret.
    pub fn client_secret(&self) -> &'static str {
        CLIENT_SECRET
    }

    /// The world, as `GET /sim/world` shows it.
    pub fn world(&self) -> serde_json::Value {
        self.shared.state().world.overview()
    }

    /// Closes every connection, stops listening and waits until all of it is gone.
    ///
    /// # Errors
    /// When the server failed, or its thread panicked.
    pub async fn stop(mut self) -> Result<(), SimError> {
        self.shared.stopping().cancel();
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        match tokio::task::spawn_blocking(move || thread.join()).await {
            Ok(Ok(served)) => served.map_err(SimError::Server),
            Ok(Err(_)) | Err(_) => Err(SimError::Panicked),
        }
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        self.shared.stopping().cancel();
    }
}
