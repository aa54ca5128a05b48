//! Whether one socket got each message of a round once and in order.
//! It promises that every number it is told ends in exactly one verdict; it knows nothing of time or of sockets.

/// What a number was, when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// For the first time, after all smaller ones that have come.
    InOrder,
    /// For the first time, but after a larger one.
    OutOfOrder,
    /// It had come before.
    Doubled,
    /// No message of this round has this number.
    Unknown,
}

/// The numbers that one socket got in a round.
#[derive(Clone, Debug)]
pub(crate) struct Numbering {
    count: u32,
    seen: Vec<u64>,
    seen_count: u32,
    highest: u32,
}

impl Numbering {
    /// A round of the messages 1 to `count`.
    pub(crate) fn new(count: u32) -> Self {
        Self {
            count,
            seen: vec![0; count.div_ceil(u64::BITS) as usize],
            seen_count: 0,
            highest: 0,
        }
    }

    /// A message has come.
    pub(crate) fn on_number(&mut self, number: u64) -> Verdict {
        let number = u32::try_from(number).unwrap_or(0);
        if number == 0 || number > self.count {
            return Verdict::Unknown;
        }
        let (word, bit) = ((number - 1) / u64::BITS, (number - 1) % u64::BITS);
        let Some(word) = self.seen.get_mut(word as usize) else {
            return Verdict::Unknown;
        };
        if *word & (1 << bit) != 0 {
            return Verdict::Doubled;
        }
        *word |= 1 << bit;
        self.seen_count += 1;
        if number < self.highest {
            return Verdict::OutOfOrder;
        }
        self.highest = number;
        Verdict::InOrder
    }

    /// How many have not come.
    pub(crate) fn missing(&self) -> u32 {
        self.count - self.seen_count
    }

    /// The first that has not come.
    pub(crate) fn first_missing(&self) -> Option<u32> {
        let (index, word) = (0_u32..)
            .zip(&self.seen)
            .find(|(_, word)| **word != u64::MAX)?;
        let number = index * u64::BITS + word.trailing_ones() + 1;
        (number <= self.count).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdicts(count: u32, numbers: &[u64]) -> (Vec<Verdict>, u32) {
        let mut numbering = Numbering::new(count);
        let verdicts = numbers.iter().map(|n| numbering.on_number(*n)).collect();
        (verdicts, numbering.missing())
    }

    #[test]
    fn each_once_and_in_order_is_what_is_wanted() {
        let (verdicts, missing) = verdicts(3, &[1, 2, 3]);
        assert_eq!((verdicts, missing), (vec![Verdict::InOrder; 3], 0));
    }

    #[test]
    fn a_gap_a_double_an_inversion_and_a_stranger_are_told_apart() {
        let (verdicts, missing) = verdicts(5, &[1, 3, 3, 2, 0, 6, u64::MAX, 2]);
        let expected = [
            Verdict::InOrder,
            Verdict::InOrder,
            Verdict::Doubled,
            Verdict::OutOfOrder,
            Verdict::Unknown,
            Verdict::Unknown,
            Verdict::Unknown,
            Verdict::Doubled,
        ];
        assert_eq!((verdicts.as_slice(), missing), (expected.as_slice(), 2));
    }

    #[test]
    fn the_first_missing_number_is_named() {
        let mut numbering = Numbering::new(130);
        assert_eq!(numbering.first_missing(), Some(1));
        (1..=129).for_each(|number| assert_eq!(numbering.on_number(number), Verdict::InOrder));
        assert_eq!(numbering.first_missing(), Some(130));
        numbering.on_number(130);
        assert_eq!((numbering.first_missing(), numbering.missing()), (None, 0));
    }

    proptest! {
        #[test]
        fn every_number_is_seen_once_or_missing(numbers in prop::collection::vec(0_u64..200, 0..400)) {
            let mut numbering = Numbering::new(150);
            let first = numbers.iter().filter(|number| {
                matches!(numbering.on_number(**number), Verdict::InOrder | Verdict::OutOfOrder)
            });
            let first = first.count();
            let different: std::collections::BTreeSet<_> =
                numbers.iter().filter(|n| (1..=150).contains(*n)).collect();
            prop_assert_eq!(first, different.len());
            prop_assert_eq!(numbering.missing() as usize, 150 - first);
        }
    }
}
