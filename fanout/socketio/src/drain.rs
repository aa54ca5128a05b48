//! The pace of a drain: connections are sent away in slices, as evenly as the time allows.
//! It promises that those who come back elsewhere come as evenly: an instance that takes in hundreds at one moment
//! answers some of them too late, who then begin anew.

use tokio::time::{Duration, sleep};

/// Connections closed between two pauses at the most: what the project's fairness rule allows at once.
const SLICE_MAX: usize = 256;

/// The shortest pause, unless that makes slices too large.
const PAUSE: Duration = Duration::from_millis(100);

/// Closes all of these, the first slice at once and the last at the end of the duration. Cancelled, it leaves the rest
/// open.
pub async fn drain<T>(open: &[T], over: Duration, close: impl Fn(&T)) {
    let slices = open.chunks(slice_len(open.len(), over));
    let pauses = u32::try_from(slices.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let pause = over.checked_div(pauses).unwrap_or_default();
    for (index, slice) in slices.enumerate() {
        match (index, pause.is_zero()) {
            (0, _) => {}
            (_, true) => tokio::task::yield_now().await,
            (_, false) => sleep(pause).await,
        }
        slice.iter().for_each(&close);
    }
}

fn slice_len(connections: usize, over: Duration) -> usize {
    let slices = (over.as_millis() / PAUSE.as_millis()).max(1);
    let slices = usize::try_from(slices).unwrap_or(usize::MAX);
    connections.div_ceil(slices).clamp(1, SLICE_MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_are_closed_evenly_over_the_time() {
        // Connections, seconds, and the most that are closed at one moment.
        let table = [
            (0, 20, 0),
            (1, 20, 1),
            (300, 20, 2),
            (20_000, 20, 100),
            (600, 0, 600),
            (1_000, 1, 100),
        ];
        for (count, seconds, most) in table {
            let (open, over) = (vec![(); count], Duration::from_secs(seconds));
            let (began, closed) = (Instant::now(), RefCell::new(Vec::new()));
            drain(&open, over, |()| closed.borrow_mut().push(began.elapsed())).await;
            let closed = closed.into_inner();
            assert_eq!(closed.len(), count);
            let at_once = closed.chunk_by(|one, next| one == next);
            assert_eq!(at_once.map(<[_]>::len).max().unwrap_or(0), most, "{count}");
            let last = closed.last().copied().unwrap_or_default();
            // Timers are a millisecond late at the most, each.
            assert!(last <= over + Duration::from_millis(250), "{last:?}");
            assert!(count < 2 || last >= over, "{last:?}");
        }
    }

    #[test]
    fn a_slice_is_no_larger_than_fairness_allows() {
        assert_eq!(slice_len(100_000, Duration::ZERO), SLICE_MAX);
        assert_eq!(slice_len(100_000, Duration::from_secs(20)), SLICE_MAX);
    }
}
