//! The port between instances: a preface, and then what the public port serves, for the client that the preface names.
//!
//! Every worker accepts for itself, and goes on while the public port is closed: what drains is still asked for by way
//! of the other instances. No one else is let in by the network; what comes without a preface is closed.

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actix_http::Protocol;
use actix_service::{Service, ServiceFactory};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::outcome::Counts;
use super::preface::{self, PrefaceError};

/// A peer writes its preface with the connection; nobody else is waited for.
const PREFACE_PATIENCE: Duration = Duration::from_secs(2);

/// Connections of peers to one worker: as many as actix takes on the public port. Others wait to be accepted.
const CONNECTIONS_MAX: usize = 25_600;

/// After a connection could not be accepted: most likely no descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection of a peer: what came over it is forwarded no further. On the data of such a connection.
#[derive(Debug, Clone, Copy)]
pub struct FromPeer;

/// Where peers are listened to.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub(super) listener: Arc<TcpListener>,
    pub(super) counts: Arc<Counts>,
    /// Cancelled when no session is left that a peer could ask for.
    pub(super) stop: CancellationToken,
}

impl Port {
    /// Accepts on this worker, and serves by what these make, until the last session has drained.
    pub(crate) async fn serve<F>(self, services: F)
    where
        F: ServiceFactory<(TcpStream, Protocol, Option<SocketAddr>), Config = (), InitError = ()>,
        F::Service: 'static,
    {
        let listener = self.listener.try_clone();
        let listener = match listener.and_then(tokio::net::TcpListener::from_std) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "a worker can't listen to the other instances");
                return;
            }
        };
        let Ok(service) = services.new_service(()).await else {
            tracing::error!("a worker can't serve the other instances");
            return;
        };
        let service = Rc::new(service);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = accept(&listener, &service, &self.counts) => {}
        }
    }
}

async fn accept<S>(listener: &tokio::net::TcpListener, service: &Rc<S>, counts: &Arc<Counts>)
where
    S: Service<(TcpStream, Protocol, Option<SocketAddr>)> + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (service, counts) = (service.clone(), counts.clone());
                actix_rt::spawn(async move {
                    take(stream, &*service, &counts).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection of a peer was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection to its end.
async fn take<S>(mut stream: TcpStream, service: &S, counts: &Counts)
where
    S: Service<(TcpStream, Protocol, Option<SocketAddr>)>,
{
    let read = timeout(PREFACE_PATIENCE, preface::read(&mut stream)).await;
    let client = match read.unwrap_or_else(|late| Err(PrefaceError::Ended(late.into()))) {
        Ok(client) => client,
        Err(error) => {
            counts.refused.fetch_add(1, Relaxed);
            tracing::debug!(%error, "a connection to the peers' port is none of a peer's");
            return;
        }
    };
    counts.taken.fetch_add(1, Relaxed);
    if service
        .call((stream, Protocol::Http1, client))
        .await
        .is_err()
    {
        // The peer's client has gone, most often: that is how a poll is given up.
        tracing::debug!("a connection of a peer broke");
    }
}
