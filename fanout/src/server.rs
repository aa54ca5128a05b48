//! The process around the workers: the listening socket, the feed's task, the monitor, and the end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_http::Protocol;
use actix_rt::net::TcpStream;
use actix_server::Server as HttpServer;
use actix_service::{ServiceFactoryExt as _, fn_service};
use actix_socketio::{Config, Server};
use broker::Broker;
use registry::Registry;
use runtime::{Health, Lifecycle, Metrics};
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::audience::Conversation;
use crate::auth::{Authority, OAuth, Sources, Tickets};
use crate::feed::{Feed, FeedHandle, WORKERS_MAX};
use crate::history::Library;
use crate::http::Accounts;
use crate::instance::Instance;
use crate::limit::Limits;
use crate::metrics;
use crate::past::Runs;
use crate::peer::{FromPeer, Peers};
use crate::recovery::Recovery;
use crate::settings::FanoutSettings;
use crate::typing;

mod end;
mod heart;
mod listen;
mod monitor;
mod peers;
mod worker;

use self::listen::listen;
use self::worker::Parts;

/// What a fanout is made of.
#[derive(Debug)]
pub struct Fanout {
    settings: FanoutSettings,
    broker: Arc<dyn Broker>,
    store: Store,
    health: Health,
    life: Lifecycle,
    metrics: Metrics,
}

impl Fanout {
    /// A fanout over a broker and a store.
    pub fn new(
        settings: FanoutSettings,
        broker: Arc<dyn Broker>,
        store: Store,
        health: Health,
        life: Lifecycle,
    ) -> Self {
        Self {
            settings,
            broker,
            store,
            health,
            life,
            metrics: Metrics::default(),
        }
    }

    /// Tells of itself here.
    #[must_use]
    pub fn telling(self, metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.clone(),
            ..self
        }
    }

    /// Listens, and spawns everything into the service's life. The address that it listens on.
    ///
    /// # Errors
    /// The address is taken, or the process may not listen there.
    pub fn spawn(self) -> std::io::Result<SocketAddr> {
        let registry = open_registry(&self.settings)?;
        let limits = Limits::new(registry.clone(), &self.settings.limits);
        let listener = listen(self.settings.address)?;
        let address = listener.local_addr()?;
        // The feed goes on while sockets drain: what is said until the last of them closes is still told.
        let drained = CancellationToken::new();
        let (feed, handle) = Feed::new(
            self.broker.clone(),
            self.store.clone(),
            self.health.clone(),
            drained.clone(),
        );
        let instance = Arc::new(Instance::default());
        let drain = CancellationToken::new();
        let (peers, port) = self.peers(drain.clone(), &drained)?;
        let accounts = self.accounts(&registry, &limits)?;
        let revocations = accounts.authority.revocations().clone();
        let sources = accounts.sources.clone();
        let library = Library::new(self.store.clone(), self.broker.clone());
        let recovery = self.recovery(&registry, &library, &handle);
        let told = metrics::Parts::new(&instance, &handle, &limits, &recovery, &registry, &peers);
        self.metrics.collect(move |scrape| told.collect(scrape));
        let parts = Parts {
            settings: self.settings.clone(),
            limits: limits.clone(),
            recovery,
            accounts,
            library,
            feed: handle.clone(),
            instance: instance.clone(),
            socketio: self.socketio(&peers),
            health: self.health.clone(),
            drain,
            peers: peers.clone(),
            port,
        };
        let server = serve(listener, &parts)?;
        let feed = feed.with_cdn(self.settings.cdn.clone());
        self.life.spawn("feed", feed.run());
        self.monitor(handle, &registry);
        // A socket that drains is still closed when its token is taken back.
        let keeping = revocations.run(sources, self.health.clone(), drained.clone());
        self.life.spawn("revocations", keeping);
        let stop = self.life.soft.clone();
        let hearing = typing::run(self.broker.clone(), instance.clone(), stop);
        self.life.spawn("typing", hearing);
        let conversation = Conversation {
            instance: instance.clone(),
            broker: self.broker.clone(),
            health: self.health.clone(),
            is_alone: self.settings.redis.is_none(),
        };
        // It speaks until the last socket has drained, and then takes leave.
        self.life
            .spawn("viewers", conversation.run(drained.clone()));
        // Until the last socket has drained: then every place is given back.
        self.life.spawn("limits", limits.run(drained.clone()));
        let end = end::End {
            life: self.life.clone(),
            health: self.health,
            instance,
            peers,
            handle: server.handle(),
            drain: parts.drain,
            drained,
            grace: self.settings.shutdown_grace,
            over: self.settings.drain,
        };
        self.life
            .spawn("server", async move { end.after(server).await });
        tracing::info!(%address, "fanout listens");
        Ok(address)
    }

    /// Socket.IO, for all workers.
    fn socketio(&self, peers: &Peers) -> Server {
        Server::new(Config {
            instance: peers.instance().to_owned(),
            refusal_headers: self.settings.headers.all("", None),
            ..self.settings.socketio.clone()
        })
    }

    /// What clients come back to, for all workers.
    fn recovery(&self, registry: &Registry, library: &Library, feed: &FeedHandle) -> Recovery {
        let runs = Runs::new(library, feed.clone());
        Recovery::new(registry.clone(), self.settings.recovery_window, runs)
    }

    /// What tells tokens, for all workers: one list of revocations, one registry.
    fn accounts(&self, registry: &Registry, limits: &Limits) -> std::io::Result<Accounts> {
        let settings = &self.settings;
        let authority = Authority::new(settings.keys.clone());
        let oauth = settings.oauth.clone().map(OAuth::new).transpose();
        Ok(Accounts {
            sources: Sources {
                broker: self.broker.clone(),
                store: self.store.clone(),
                registry: registry.clone(),
            },
            tickets: Tickets::new(registry.clone(), authority.clone()),
            oauth: oauth.map_err(std::io::Error::other)?,
            expires: settings.expires,
            landing: settings.landing.clone(),
            limits: limits.clone(),
            proxies: settings.proxies.clone(),
            authority,
        })
    }
}

/// What instances share, or what stands in for it where there is one instance.
fn open_registry(settings: &FanoutSettings) -> std::io::Result<Registry> {
    let Some(redis) = &settings.redis else {
        tracing::info!("REDIS_URL is not set: limits and sessions are kept in this process");
        return Ok(Registry::in_process());
    };
    Registry::redis(redis).map_err(std::io::Error::other)
}

/// One listening socket for all workers; each builds its own hub, app and upgrade on its own thread.
fn serve(listener: TcpListener, parts: &Parts) -> std::io::Result<actix_server::Server> {
    let parts = parts.clone();
    let server = HttpServer::build()
        .disable_signals()
        .workers(workers())
        .shutdown_timeout(1)
        .listen("fanout", listener, move || {
            let services = parts.worker();
            if let Some(port) = &parts.port {
                let pipeline = parts.pipeline(&services, Some(FromPeer));
                actix_rt::spawn(port.clone().serve(pipeline));
            }
            fn_service(|stream: TcpStream| async move {
                let peer = stream.peer_addr().ok();
                Ok((stream, Protocol::Http1, peer))
            })
            .and_then(parts.pipeline(&services, None))
        })?;
    Ok(server.run())
}

/// One a core, as many as the feed has places for.
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(WORKERS_MAX)
}
