//! Forgets what is older than it may be kept (`HISTORY_RETENTION_DAYS`), every hour, in the leader alone.

use std::time::Duration;

use runtime::time::now_ms;
use store::{Store, StoreError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::leader::Tenure;
use crate::status::Status;

/// How long after the term's beginning the first time is: it has better to do before.
const FIRST: Duration = Duration::from_mins(5);
/// How often after that.
const PERIOD: Duration = Duration::from_hours(1);
/// Rows that go at a time, in batches of the store's: more than an hour brings.
const ROWS_MAX: u64 = 1_000_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Deletions are remembered for so long at least (decisions.md, erasure and retention).
const TOMBSTONE_DAYS_MIN: i64 = 30;

/// Keeps the history as short as it should be.
#[derive(Debug)]
pub(crate) struct Retention {
    pub(crate) store: Store,
    pub(crate) tenure: Tenure,
    pub(crate) status: Status,
    /// Days that messages are kept; 0 for ever.
    pub(crate) days: u32,
}

impl Retention {
    /// Prunes until told to stop; a batch that is begun may be cut off.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut wait = FIRST;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(wait) => {}
            }
            wait = PERIOD;
            if !self.tenure.is_valid() {
                continue;
            }
            let pruned = tokio::select! {
                () = stop.cancelled() => return,
                pruned = self.prune(now_ms()) => pruned,
            };
            match pruned {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "history that is too old is gone"),
                Err(error) => {
                    tracing::warn!(%error, "the history can't be pruned; in an hour again");
                }
            }
        }
    }

    async fn prune(&self, now_ms: i64) -> Result<u64, StoreError> {
        let Some((before_ms, tombstones_before_ms)) = limits(self.days, now_ms) else {
            return Ok(0);
        };
        let pruned = self.store.prune(before_ms, tombstones_before_ms, ROWS_MAX);
        let rows = pruned.await?;
        self.status.on_pruned(rows);
        Ok(rows)
    }
}

/// Before when messages go, and their tombstones; none if all stays.
fn limits(days: u32, now_ms: i64) -> Option<(i64, i64)> {
    let days = i64::from(days);
    let before = |days: i64| now_ms.saturating_sub(days.saturating_mul(DAY_MS));
    (days > 0).then(|| (before(days), before(days.max(TOMBSTONE_DAYS_MIN))))
}

/// From when on messages are kept at all, in milliseconds since 1970.
pub(crate) fn oldest_kept_ms(days: u32, now_ms: i64) -> i64 {
    limits(days, now_ms).map_or(i64::MIN, |(before_ms, _)| before_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tombstones_outlive_a_short_history_and_zero_keeps_all() {
        let now = 1_000 * DAY_MS;
        assert_eq!(limits(0, now), None);
        assert_eq!(limits(90, now), Some((910 * DAY_MS, 910 * DAY_MS)));
        assert_eq!(limits(7, now), Some((993 * DAY_MS, 970 * DAY_MS)));
        assert!(limits(u32::MAX, now).is_some());
    }
}
