//! The process around the workers: the listening socket, the feed's task, the monitor, and the end.

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::{HttpService, Request, h1};
use actix_rt::net::TcpStream;
use actix_server::{Server, ServerHandle};
use actix_service::{fn_service, map_config};
use actix_socketio::{Close, Refusal, Upgrade, refuse};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::http::StatusCode;
use broker::Broker;
use runtime::{Health, Lifecycle, Metrics};
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::feed::{Feed, FeedHandle, WORKERS_MAX};
use crate::http::{self, Web};
use crate::hub::Hub;
use crate::instance::{Instance, Worker};
use crate::metrics;
use crate::settings::FanoutSettings;
use crate::transport::socketio::SocketIo;

mod monitor;

/// Between two heartbeats of a worker.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Connections that may wait to be accepted: a crowd that comes back after a restart waits here.
const BACKLOG: i32 = 4_096;

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

/// What each worker is made from.
#[derive(Clone)]
struct Parts {
    settings: FanoutSettings,
    broker: Arc<dyn Broker>,
    store: Store,
    feed: FeedHandle,
    instance: Arc<Instance>,
    health: Health,
    drain: CancellationToken,
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
        self.metrics.collect({
            let (instance, feed) = (instance.clone(), handle.clone());
            move |scrape| metrics::collect(&instance, &feed, scrape)
        });
        let parts = Parts {
            settings: self.settings.clone(),
            broker: self.broker.clone(),
            store: self.store.clone(),
            feed: handle.clone(),
            instance: instance.clone(),
            health: self.health.clone(),
            drain: CancellationToken::new(),
        };
        let server = serve(listener, &parts)?;
        self.life.spawn("feed", feed.run());
        let monitor = monitor::Monitor {
            broker: self.broker.is_connected(),
            store: self.store,
            feed: handle,
            health: self.health.clone(),
            stop: self.life.soft.clone(),
        };
        self.life.spawn("monitor", monitor.run());
        let end = End {
            life: self.life.clone(),
            health: self.health,
            instance,
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
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// One listening socket for all workers; each builds its own hub, app and upgrade on its own thread.
fn serve(listener: TcpListener, parts: &Parts) -> std::io::Result<Server> {
    let parts = parts.clone();
    let server = Server::build()
        .disable_signals()
        .workers(workers())
        .shutdown_timeout(1)
        .listen("fanout", listener, move || {
            let upgrade = parts.worker();
            let web = Web {
                health: parts.health.clone(),
                instance: parts.instance.clone(),
                feed: parts.feed.clone(),
                ops_token: parts.settings.ops_token.clone(),
                environment: parts.settings.environment.clone(),
            };
            let app = App::new()
                .configure(actix_socketio::routes(upgrade.config()))
                .configure(http::routes(web));
            HttpService::build()
                .upgrade(fn_service(
                    move |(request, framed): (Request, Framed<TcpStream, h1::Codec>)| {
                        take_over(upgrade.clone(), request, framed)
                    },
                ))
                .finish(map_config(app, |()| AppConfig::default()))
                .tcp()
        })?;
    Ok(server.run())
}

/// One a core, as many as the feed has places for.
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(WORKERS_MAX)
}

/// No upgrade request passes through the app: the path is looked at here, all else in the transport.
async fn take_over(
    upgrade: Rc<Upgrade<SocketIo>>,
    request: Request,
    framed: Framed<TcpStream, h1::Codec>,
) -> Result<(), actix_web::Error> {
    if upgrade.handles(&request) {
        return upgrade.serve(request, framed).await;
    }
    let body = serde_json::json!({
        "error": "Not found",
        "message": format!("Route {} {} not found", request.method(), request.path()),
        "timestamp": runtime::time::now_iso(),
    });
    refuse(
        framed,
        Refusal::new(StatusCode::NOT_FOUND, body.to_string()),
    )
    .await
}

impl Parts {
    /// Builds what one worker is, on its thread.
    fn worker(&self) -> Rc<Upgrade<SocketIo>> {
        let hub = Hub::new(
            self.feed.clone(),
            self.store.clone(),
            self.broker.clone(),
            self.instance.clone(),
        );
        let host = SocketIo::new(
            hub.clone(),
            self.settings.keys.clone(),
            self.settings.origins.clone(),
        );
        let upgrade = Rc::new(Upgrade::new(self.settings.socketio.clone(), host));
        let worker = self.instance.add_worker(upgrade.stats());
        // A worker whose hub has ended delivers nothing: its heart must not go on beating.
        actix_rt::spawn(async move {
            tokio::select! {
                () = hub.run() => {}
                () = beat(worker) => {}
            }
        });
        let (drain, over) = (self.drain.clone(), self.settings.drain);
        actix_rt::spawn({
            let upgrade = upgrade.clone();
            async move {
                drain.cancelled().await;
                upgrade.close_all_over(Close::GoingAway, over).await;
            }
        });
        upgrade
    }
}

/// Shows that a worker's loop goes round, and how late it is.
async fn beat(worker: Arc<Worker>) {
    loop {
        let due = tokio::time::Instant::now() + HEARTBEAT;
        tokio::time::sleep_until(due).await;
        worker.beat(due.elapsed());
    }
}

/// The end of the service, in its order: not ready, a grace for the load balancer, no more connections, the
/// sockets closed in paced batches, the workers, the feed.
struct End {
    life: Lifecycle,
    health: Health,
    instance: Arc<Instance>,
    handle: ServerHandle,
    drain: CancellationToken,
    drained: CancellationToken,
    grace: Duration,
    over: Duration,
}

impl End {
    async fn after(self, server: Server) {
        let serving = tokio::spawn(server);
        self.life.soft.cancelled().await;
        self.health.hold("draining", "the instance is going away");
        self.unless_hard(tokio::time::sleep(self.grace)).await;
        self.handle.pause().await;
        self.drain.cancel();
        // A peer that never answers a close is given a moment beyond the pace, then dropped with its worker.
        let patience = self.over + Duration::from_secs(5);
        self.unless_hard(async {
            if tokio::time::timeout(patience, self.emptied())
                .await
                .is_err()
            {
                tracing::warn!("some sockets did not close in time");
            }
        })
        .await;
        self.drained.cancel();
        self.handle.stop(false).await;
        if let Ok(Err(error)) = serving.await {
            tracing::error!(%error, "the server ended with an error");
        }
    }

    async fn unless_hard<F: Future<Output = ()>>(&self, work: F) {
        tokio::select! {
            () = self.life.hard.cancelled() => {}
            () = work => {}
        }
    }

    async fn emptied(&self) {
        while self.instance.connections().0 > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
