//! A worker's heartbeat, from the loop that serves its sockets.

use std::sync::Arc;
use std::time::Duration;

use crate::instance::Worker;

/// Between two heartbeats of a worker.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Shows that a worker's loop goes round, and how late it is.
pub(super) async fn beat(worker: Arc<Worker>) {
    loop {
        let due = tokio::time::Instant::now() + HEARTBEAT;
        tokio::time::sleep_until(due).await;
        worker.beat(due.elapsed());
    }
}
