//! How much may be spent, and the rule by which it is: GCRA, the generic cell rate algorithm (ITU-T I.371).
//!
//! Whoever spends owes an interval, `window / max`, which time pays off; at most `max` intervals may be owed.
//! So `max` events pass at once and then one each interval. Pure: the clock and the debts are the homes'.

use std::time::Duration;

/// At most so many events in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    max: u32,
    interval: Duration,
}

impl Quota {
    /// `max` events at once, and in the long run `max` in each `window`. None where either is nothing: no limit.
    pub fn new(max: u32, window: Duration) -> Option<Self> {
        if max == 0 || window.is_zero() {
            return None;
        }
        // Whole microseconds, rounded up: what Redis can count exactly, and never more than was allowed.
        let microseconds = window.as_micros().div_ceil(u128::from(max));
        let interval = Duration::from_micros(u64::try_from(microseconds).unwrap_or(u64::MAX));
        Some(Self { max, interval })
    }

    /// What one event costs.
    pub fn interval(self) -> Duration {
        self.interval
    }

    /// What may be owed at the most.
    pub fn burst(self) -> Duration {
        self.interval.saturating_mul(self.max)
    }

    /// Spends one event on top of a debt: the debt after it, or how long to wait until one passes.
    pub(crate) fn spend(self, debt: Duration) -> Result<Duration, Duration> {
        // A debt beyond the burst comes from a larger quota or from a clock that was set back.
        let after = debt.min(self.burst()).saturating_add(self.interval);
        match after.saturating_sub(self.burst()) {
            Duration::ZERO => Ok(after),
            over => Err(over),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_of_nothing_is_no_quota() {
        assert_eq!(Quota::new(0, Duration::from_secs(1)), None);
        assert_eq!(Quota::new(1, Duration::ZERO), None);
    }

    #[test]
    fn as_many_as_the_quota_says_pass_at_once_also_where_the_window_can_not_be_divided() {
        for max in [1, 3, 7, 100, 999] {
            let quota = Quota::new(max, Duration::from_secs(1)).unwrap();
            let mut debt = Duration::ZERO;
            for _ in 0..max {
                debt = quota.spend(debt).unwrap();
            }
            assert_eq!(quota.spend(debt), Err(quota.interval()), "{max}");
        }
    }

    #[test]
    fn the_wait_is_exact() {
        let quota = Quota::new(3, Duration::from_mins(1)).unwrap();
        let debt = Duration::from_secs(53);
        let wait = quota.spend(debt).unwrap_err();
        assert_eq!(wait, Duration::from_secs(13));
        let rest = debt.saturating_sub(wait);
        let early = rest + Duration::from_micros(1);
        assert_eq!(quota.spend(early), Err(Duration::from_micros(1)));
        assert_eq!(quota.spend(rest), Ok(quota.burst()));
    }

    #[test]
    fn a_debt_beyond_the_burst_is_not_held_against_anybody() {
        let quota = Quota::new(2, Duration::from_secs(2)).unwrap();
        let wait = quota.spend(Duration::from_hours(1)).unwrap_err();
        assert_eq!(wait, quota.interval());
    }
}
