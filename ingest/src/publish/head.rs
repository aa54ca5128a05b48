//! Tells the feeds what they should have by now, so that a lost tail is found (decisions.md, the tail).

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::leader::{Tenure, bounded};

/// After so long without an announcement, an acknowledgement is announced at once.
const QUIET: Duration = Duration::from_millis(200);
/// After an announcement that followed an acknowledgement, once more.
const AGAIN: Duration = Duration::from_secs(1);
/// And without any, every so often.
const PERIOD: Duration = Duration::from_secs(5);
/// How long one announcement may take.
const CALL: Duration = Duration::from_secs(1);

/// Announces the last acknowledged sequence until the publisher is gone.
pub(crate) async fn run(
    broker: Arc<dyn Broker>,
    generation: u64,
    mut acknowledged: watch::Receiver<u64>,
    tenure: Tenure,
) {
    let mut announced: Option<Instant> = None;
    let mut due = Instant::now();
    loop {
        let period = tokio::select! {
            changed = acknowledged.changed() => {
                if changed.is_err() {
                    return;
                }
                if announced.is_some_and(|at| at.elapsed() < QUIET) {
                    due = due.min(Instant::now() + AGAIN);
                    continue;
                }
                AGAIN
            }
            () = sleep_until(due) => PERIOD,
        };
        let sequence = *acknowledged.borrow_and_update();
        if tenure.is_valid() {
            let call = broker.announce_head(generation, sequence);
            if let Err(error) = bounded(CALL, call).await {
                tracing::debug!(%error, "the head could not be announced");
            }
        }
        let now = Instant::now();
        announced = Some(now);
        due = now + period;
    }
}
