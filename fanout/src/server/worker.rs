//! One worker thread: its hub, what it serves on each of its ports, and how its sockets end.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix_codec::Framed;
use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request, h1};
use actix_rt::net::TcpStream;
use actix_service::{ServiceFactory, fn_service, map_config};
use actix_socketio::{Close, Endpoint, Server, refuse};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use runtime::Health;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::heart::beat;
use crate::auth::Authority;
use crate::feed::FeedHandle;
use crate::history::Library;
use crate::http::{self, Accounts, SecurityHeaders, Web, refusal};
use crate::hub::Hub;
use crate::instance::Instance;
use crate::limit::Limits;
use crate::peer::{FromPeer, Peers, Port};
use crate::recovery::Recovery;
use crate::settings::FanoutSettings;
use crate::transport::socketio::SocketIo;
use crate::transport::websocket::{Bounds, WebSockets};
use crate::transport::{Door, Open, Seats};

/// What each worker is made from.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) settings: FanoutSettings,
    pub(super) limits: Limits,
    pub(super) recovery: Recovery,
    pub(super) accounts: Accounts,
    pub(super) library: Library,
    pub(super) feed: FeedHandle,
    pub(super) instance: Arc<Instance>,
    pub(super) socketio: Server,
    pub(super) health: Health,
    pub(super) drain: CancellationToken,
    pub(super) peers: Peers,
    /// Where the other instances come in.
    pub(super) port: Option<Port>,
}

/// What one worker serves, on each of its ports.
pub(super) struct Services {
    endpoint: Endpoint,
    websockets: Rc<WebSockets>,
    door: Rc<Door>,
}

/// No upgrade request passes through the app: the path is looked at here, all else in the transport.
async fn take_over(
    endpoint: Endpoint,
    websockets: Rc<WebSockets>,
    headers: SecurityHeaders,
    request: Request,
    framed: Framed<TcpStream, h1::Codec>,
) -> Result<(), actix_web::Error> {
    if endpoint.handles(&request) {
        return endpoint.serve(request, framed).await;
    }
    if websockets.handles(&request) {
        return websockets.serve(request, framed).await;
    }
    let message = format!("Route {} {} not found", request.method(), request.path());
    let refusal = refusal::of(StatusCode::NOT_FOUND, &message, None);
    refuse(framed, headers.on(refusal)).await
}

impl Parts {
    /// What serves a connection, public or of a peer, from a worker's parts.
    pub(super) fn pipeline(
        &self,
        services: &Services,
        mark: Option<FromPeer>,
    ) -> impl ServiceFactory<
        (TcpStream, Protocol, Option<SocketAddr>),
        Config = (),
        Response = (),
        Error = DispatchError,
        InitError = (),
    > + use<> {
        let headers = self.settings.headers.clone();
        let (origins, secured) = (self.settings.origins.clone(), headers.clone());
        let websockets = services.websockets.clone();
        let endpoint = match mark {
            Some(FromPeer) => services.endpoint.for_peers(),
            None => services.endpoint.clone(),
        };
        let web = Web {
            health: self.health.clone(),
            instance: self.instance.clone(),
            feed: self.feed.clone(),
            ops_token: self.settings.ops_token.clone(),
            environment: self.settings.environment.clone(),
        };
        let app = App::new()
            .wrap(http::cors(origins.clone()))
            .wrap(from_fn(move |request, next| {
                http::of_our_pages(origins.clone(), request, next)
            }))
            .wrap(from_fn(move |request, next| {
                http::secured(secured.clone(), request, next)
            }))
            .configure(endpoint.routes())
            .configure(http::accounts(self.accounts.clone()))
            .configure(http::routes(
                web,
                services.door.clone(),
                websockets.bounds(),
            ));
        // A client that gives up a poll, or leaves a stream, closes its connection: only so that is noticed.
        let mut service = HttpService::build().h1_allow_half_closed(false);
        if let Some(mark) = mark {
            service = service.on_connect_ext(move |_: &TcpStream, data| {
                data.insert(mark);
            });
        }
        service
            .upgrade(fn_service(
                move |(request, framed): (Request, Framed<TcpStream, h1::Codec>)| {
                    let (endpoint, websockets) = (endpoint.clone(), websockets.clone());
                    take_over(endpoint, websockets, headers.clone(), request, framed)
                },
            ))
            .finish(map_config(app, |()| AppConfig::default()))
    }

    /// Builds what one worker is, on its thread.
    pub(super) fn worker(&self) -> Services {
        let hub = Hub::new(
            self.feed.clone(),
            self.library.clone(),
            self.instance.clone(),
            self.accounts.authority.clone(),
            self.limits.clone(),
            self.recovery.clone(),
        );
        let door = Rc::new(Door {
            hub: hub.clone(),
            authority: self.accounts.authority.clone(),
            origins: self.settings.origins.clone(),
            open: Open::new(self.instance.open.clone()),
            limits: self.limits.clone(),
            proxies: self.settings.proxies.clone(),
            seats: Seats::default(),
            recovery: self.recovery.clone(),
            peers: self.peers.clone(),
        });
        let host = SocketIo::new(door.clone(), self.settings.socketio.max_payload);
        let bounds = Bounds::from(&self.settings.socketio);
        let headers = self.settings.headers.clone();
        let websockets = Rc::new(WebSockets::new(door.clone(), bounds, headers.clone()));
        let endpoint = self.socketio.endpoint(host);
        let worker = self.instance.add_worker(endpoint.stats());
        let open = door.open.clone();
        // A worker whose hub has ended delivers nothing: its heart must not go on beating.
        actix_rt::spawn(async move {
            tokio::select! {
                () = hub.run() => {}
                () = open.keep_time() => {}
                () = beat(worker) => {}
            }
        });
        actix_rt::spawn(end_revoked(
            door.hub.clone(),
            self.accounts.authority.clone(),
        ));
        let (drain, over) = (self.drain.clone(), self.settings.drain);
        actix_rt::spawn({
            let (endpoint, open) = (endpoint.clone(), door.open.clone());
            async move {
                drain.cancelled().await;
                tokio::join!(
                    endpoint.close_all_over(Close::GoingAway, over),
                    open.close_all_over(Close::GoingAway, over),
                );
            }
        });
        Services {
            endpoint,
            websockets,
            door,
        }
    }
}

/// Ends the sessions of one worker whose tokens are taken back.
async fn end_revoked(hub: Rc<Hub>, authority: Authority) {
    let revocations = authority.revocations();
    let mut told = revocations.told();
    loop {
        match told.recv().await {
            Ok(one) => hub.on_revoked(|principal| principal.is_revoked_by(&one)),
            Err(RecvError::Lagged(_)) => {
                hub.on_revoked(|principal| revocations.is_revoked(principal));
            }
            Err(RecvError::Closed) => return,
        }
    }
}
