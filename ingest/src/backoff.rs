//! How long to wait before another try: doubling, with jitter and a ceiling.

use std::time::Duration;

/// A row of tries. The jitter keeps many clients from coming back together.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    /// Waits of about `first`, then twice that, up to `max`.
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            tries: 0,
        }
    }

    /// The wait before the next try: between a half and the whole of its step.
    pub(crate) fn next(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
        self.tries = (self.tries + 1).min(31);
        let step = self.first.saturating_mul(factor).min(self.max);
        step.mul_f64(rand::random_range(0.5..1.0))
    }

    /// It worked: the next wait is the first again.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_ceiling_and_never_beyond() {
        let first = Duration::from_millis(100);
        let max = Duration::from_secs(1);
        let mut backoff = Backoff::new(first, max);
        for step in [100, 200, 400, 800, 1_000, 1_000] {
            let wait = backoff.next();
            let step = Duration::from_millis(step);
            assert!(wait >= step / 2 && wait <= step, "{wait:?} of {step:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next() <= max);
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
