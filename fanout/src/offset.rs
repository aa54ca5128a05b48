//! The offset that clients carry: `<stream generation>.<sequence>`, opaque to them.
//!
//! It names a position in the one order of all events, so that every transport and every instance reads it alike.

use std::fmt;
use std::str::FromStr;

/// A position in the stream: everything up to it has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// The stream's generation; sequences of another one mean nothing here.
    pub generation: u64,
    /// The sequence of the last event that it covers.
    pub sequence: u64,
}

/// Text that is no offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an offset")]
pub struct NotAnOffset;

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.generation, self.sequence)
    }
}

impl FromStr for Offset {
    type Err = NotAnOffset;

    fn from_str(text: &str) -> Result<Self, NotAnOffset> {
        let (generation, sequence) = text.split_once('.').ok_or(NotAnOffset)?;
        let is_canonical = generation.len() == 16 && sequence.bytes().all(|b| b.is_ascii_digit());
        if !is_canonical {
            return Err(NotAnOffset);
        }
        Ok(Self {
            generation: u64::from_str_radix(generation, 16).map_err(|_| NotAnOffset)?,
            sequence: sequence.parse().map_err(|_| NotAnOffset)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_offset_reads_back(generation: u64, sequence: u64) {
            let offset = Offset { generation, sequence };
            prop_assert_eq!(offset.to_string().parse(), Ok(offset));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _read: Result<Offset, _> = text.parse();
        }
    }
}
