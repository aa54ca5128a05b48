//! Whether the publisher gets anywhere: a leader that does not is not ready, and says so once. No clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::delivery::Trouble;

/// How often it is looked at.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
/// Work that is older than this, or a lease that has been gone for longer, is no hiccup: an election of the
/// stream's leader takes less.
const STALL: Duration = Duration::from_secs(10);

/// The watch over the publisher. Its end is the end of the trouble.
#[derive(Debug)]
pub(super) struct Stall {
    trouble: Arc<Trouble>,
    unleased_since: Option<Instant>,
    is_stalled: bool,
}

impl Stall {
    pub(super) fn new(trouble: Arc<Trouble>) -> Self {
        Self {
            trouble,
            unleased_since: None,
            is_stalled: false,
        }
    }

    /// A look at it now: since when the oldest unsettled work waits, and whether the lease is surely ours.
    pub(super) fn on_look(&mut self, now: Instant, oldest: Option<Instant>, is_leased: bool) {
        self.unleased_since = if is_leased {
            None
        } else {
            self.unleased_since.or(Some(now))
        };
        let mut waits = [oldest, self.unleased_since].into_iter().flatten();
        let is_stalled = waits.any(|since| now.duration_since(since) > STALL);
        match (self.is_stalled, is_stalled) {
            (false, true) => {
                tracing::warn!(
                    is_leased,
                    "nothing gets into the stream; Discord's events wait"
                );
                self.trouble.on_begin();
            }
            (true, false) => {
                tracing::info!("events get into the stream again");
                self.trouble.on_end();
            }
            _ => {}
        }
        self.is_stalled = is_stalled;
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        if self.is_stalled {
            self.trouble.on_end();
        }
    }
}

#[cfg(test)]
mod tests {
    use runtime::Health;

    use super::*;

    #[test]
    fn a_leader_that_gets_nowhere_is_not_ready_until_it_does() {
        let health = Health::new();
        let mut stall = Stall::new(Arc::new(Trouble::new(health.clone())));
        let is_ready = || health.unready().is_empty();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        stall.on_look(at(10), Some(begun), true);
        assert!(is_ready(), "not long enough");
        stall.on_look(at(11), Some(begun), true);
        assert!(!is_ready(), "old work");
        stall.on_look(at(12), Some(at(11)), true);
        assert!(is_ready(), "it went on");
        stall.on_look(at(13), None, false);
        stall.on_look(at(20), None, true);
        stall.on_look(at(21), None, false);
        stall.on_look(at(31), None, false);
        assert!(is_ready(), "the lease came back in between");
        stall.on_look(at(32), None, false);
        assert!(!is_ready(), "no lease");
        drop(stall);
        assert!(is_ready(), "the term is over");
    }
}
