//! Removes the messages of channels that were deleted and of guilds that were left, in the leader alone.
//!
//! The archive writes down which they are, in its own transaction; here their messages go by batches, between which
//! the archive writes. Knows no event.

use std::time::Duration;

use store::Store;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::leader::Tenure;
use crate::status::Status;

/// How often the database is asked whether something is to go: one look at a table that is nearly always empty.
const PERIOD: Duration = Duration::from_secs(5);
/// Rows that go at a time, in batches of the store's: the lease is looked at between.
const ROWS_MAX: u64 = 100_000;

/// Follows what the archive has written down.
#[derive(Debug)]
pub(crate) struct Sweeper {
    pub(crate) store: Store,
    pub(crate) tenure: Tenure,
    pub(crate) status: Status,
}

impl Sweeper {
    /// Sweeps until told to stop; a batch that is begun may be cut off.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(PERIOD) => {}
            }
            if !self.tenure.is_valid() {
                continue;
            }
            let swept = tokio::select! {
                () = stop.cancelled() => return,
                swept = self.store.sweep_removed(ROWS_MAX) => swept,
            };
            match swept {
                Ok(0) => {}
                Ok(rows) => {
                    self.status.on_swept(rows);
                    tracing::info!(rows, "messages of channels that are gone are gone");
                }
                // The archive says it louder.
                Err(error) => tracing::debug!(%error, "nothing can be swept now"),
            }
        }
    }
}
