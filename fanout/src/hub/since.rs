//! How long a change of access has been on its way: from Discord's frame until a socket is told.

use std::time::Duration;

use runtime::time::now_ms;

/// When ingest read what changed, in milliseconds since 1970; nothing where no frame of Discord's is behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Since(Option<i64>);

impl Since {
    /// A frame that was read at this time.
    pub(super) fn frame(received_ms: i64) -> Self {
        Self(Some(received_ms))
    }

    /// No frame: the clock, a look-up, or a token of the viewer's own.
    pub(super) fn no_frame() -> Self {
        Self(None)
    }

    /// Of two changes that are told together, the one that has waited longer.
    pub(super) fn or_before(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(one), Some(other)) => Self(Some(one.min(other))),
            (one, other) => Self(one.or(other)),
        }
    }

    /// How long it is ago.
    pub(super) fn elapsed(self) -> Option<Duration> {
        let ms = u64::try_from(now_ms() - self.0?).unwrap_or(0);
        Some(Duration::from_millis(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_changes_the_one_that_waits_longer_counts() {
        let (one, other) = (Since::frame(5), Since::frame(7));
        assert_eq!((one.or_before(other), other.or_before(one)), (one, one));
        let none = Since::no_frame();
        assert_eq!((none.or_before(one), one.or_before(none)), (one, one));
        assert_eq!(none.or_before(none).elapsed(), None);
    }

    #[test]
    fn a_clock_that_runs_ahead_elsewhere_is_no_delay() {
        let ahead = Since::frame(now_ms() + 60_000);
        assert_eq!(ahead.elapsed(), Some(Duration::ZERO));
    }
}
