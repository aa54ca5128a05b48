//! The end of the service, in its order: not ready, a grace for the load balancer, no more connections, the
//! sockets closed in paced batches, the workers, the feed.

use std::sync::Arc;
use std::time::Duration;

use actix_server::{Server, ServerHandle};
use runtime::{Health, Lifecycle};
use tokio_util::sync::CancellationToken;

use crate::instance::Instance;
use crate::peer::Peers;

/// What is ended, and how.
pub(super) struct End {
    pub(super) life: Lifecycle,
    pub(super) health: Health,
    pub(super) instance: Arc<Instance>,
    pub(super) peers: Peers,
    pub(super) handle: ServerHandle,
    pub(super) drain: CancellationToken,
    pub(super) drained: CancellationToken,
    pub(super) grace: Duration,
    pub(super) over: Duration,
}

impl End {
    /// Serves until the service is told to stop, and ends.
    pub(super) async fn after(self, server: Server) {
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
        while self.instance.connections().0 > 0 || self.peers.splices() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
