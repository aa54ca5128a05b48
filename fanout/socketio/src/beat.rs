//! The beat of a worker: broadcasts are written to a connection once in each at the most.
//! It knows neither connections nor the clock beyond the moments that it is given.

use tokio::time::{Duration, Instant};

/// How long a beat lasts: a page shows nothing sooner (one frame of a screen lasts 16 ms).
const SHORT: Duration = Duration::from_millis(10);

/// How long one may become while each leaves somebody with more to write, as after a hole of the feed: then writes are
/// what the machine's time goes for, and nobody reads as fast.
const LONG: Duration = Duration::from_millis(40);

/// The beat of now.
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    number: u64,
    lasts: Duration,
    ends: Instant,
}

impl Beat {
    /// The first, which is over at once.
    pub fn first(now: Instant) -> Self {
        Self {
            // Nobody has been written to in the one before it.
            number: 1,
            lasts: SHORT,
            ends: now,
        }
    }

    /// Later beats have greater numbers.
    pub fn number(self) -> u64 {
        self.number
    }

    /// When it is over.
    pub fn ends(self) -> Instant {
        self.ends
    }

    /// The beat of a later moment: this one, or if it is over the next, which is twice as long if this one left
    /// somebody with more to write.
    #[must_use]
    pub fn at(self, now: Instant, is_more: bool) -> Self {
        if now < self.ends {
            return self;
        }
        let lasts = if is_more {
            (self.lasts * 2).min(LONG)
        } else {
            SHORT
        };
        Self {
            number: self.number + 1,
            lasts,
            ends: now + lasts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_lasts_until_its_end() {
        let now = Instant::now();
        let beat = Beat::first(now).at(now, false);
        let within = beat.at(now + SHORT - Duration::from_nanos(1), true);
        assert_eq!((within.number(), within.ends()), (2, now + SHORT));
        assert_eq!(beat.at(now + SHORT, false).number(), 3);
    }

    #[test]
    fn beats_grow_while_there_is_more_and_are_short_again_at_once() {
        let mut now = Instant::now();
        let mut beat = Beat::first(now);
        let mut lengths = Vec::new();
        for is_more in [false, true, true, true, false, false, true] {
            beat = beat.at(now, is_more);
            lengths.push((beat.ends() - now).as_millis());
            now = beat.ends();
        }
        assert_eq!(lengths, [10, 20, 40, 40, 10, 10, 20]);
    }
}
