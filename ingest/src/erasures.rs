//! Who was erased on request, as the database says: the leader obeys from the beginning of its term, and within two
//! seconds of a new one.

use std::time::Duration;

use store::{Store, StoreError};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::exclusions::Exclusions;

/// How often the list is read: a handful of ids.
const PERIOD: Duration = Duration::from_secs(2);
/// How long a term waits for it. A database that is away holds up no event; what was read before holds on.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads the list.
#[derive(Debug)]
pub(crate) struct Erasures {
    pub(crate) store: Store,
    pub(crate) exclusions: Exclusions,
}

impl Erasures {
    /// Reads it for a term that begins.
    pub(crate) async fn begin(&self) {
        match timeout(PATIENCE, self.read()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "who was erased can't be read yet"),
            Err(_) => tracing::warn!("who was erased can't be read yet"),
        }
    }

    /// Reads it until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let read = tokio::select! {
                () = stop.cancelled() => return,
                read = async { sleep(PERIOD).await; self.read().await } => read,
            };
            // The archive says it louder.
            if let Err(error) = read {
                tracing::debug!(%error, "who was erased can't be read now");
            }
        }
    }

    /// Before the first migration there is no list, and nobody on it.
    async fn read(&self) -> Result<(), StoreError> {
        if self.store.is_migrated().await? {
            let users = self.store.erased_users().await?;
            self.exclusions
                .set_erased(users.iter().map(|user| user.get()));
        }
        Ok(())
    }
}
