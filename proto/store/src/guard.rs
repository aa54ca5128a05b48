//! The guard: which event a row was last written by, as one number that grows with the stream.
//!
//! The stream's generation counts before the sequence, so that a stream that was made anew and starts at 1
//! again still outranks what the old one left. One number, not two: MySQL assigns columns one by one, and a
//! comparison that is itself half assigned would lie. Within a statement the guard is assigned last.

use crate::error::StoreError;

/// At 1,000 events a second a stream needs 8,900 years for them.
const SEQUENCE_BITS: u32 = 48;

/// Generations that still fit a BIGINT.
const NUMBER_MAX: i64 = (1 << (63 - SEQUENCE_BITS)) - 1;

/// What a row was last written by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Guard(i64);

impl Guard {
    /// A tombstone's: no event outranks it, not even one of a later generation.
    pub(crate) const TOMBSTONE: Self = Self(i64::MAX);

    /// What every event outranks.
    pub(crate) const NONE: Self = Self(0);

    /// The guard of an event: its stream's number and its sequence there.
    pub(crate) fn new(number: i64, sequence: u64) -> Result<Self, StoreError> {
        let fits = (0..NUMBER_MAX).contains(&number) && sequence >> SEQUENCE_BITS == 0;
        if !fits {
            return Err(StoreError::Overflow);
        }
        Ok(Self((number << SEQUENCE_BITS) | sequence.cast_signed()))
    }

    /// The number as SQL stores it.
    pub(crate) fn sql(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_generation_outranks_every_sequence_of_an_earlier_one() {
        let last = Guard::new(1, (1 << SEQUENCE_BITS) - 1).unwrap();
        let first = Guard::new(2, 1).unwrap();
        assert!(last < first);
        assert!(Guard::new(2, 1).unwrap() < Guard::new(2, 2).unwrap());
    }

    #[test]
    fn nothing_outranks_a_tombstone() {
        let highest = Guard::new(NUMBER_MAX - 1, (1 << SEQUENCE_BITS) - 1).unwrap();
        assert!(highest < Guard::TOMBSTONE);
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_never_wraps() {
        for (number, sequence) in [
            (-1, 1),
            (NUMBER_MAX, 1),
            (0, 1 << SEQUENCE_BITS),
            (0, u64::MAX),
        ] {
            let guard = Guard::new(number, sequence);
            assert!(
                matches!(guard, Err(StoreError::Overflow)),
                "{number} {sequence}"
            );
        }
    }
}
