//! The offset that clients carry: `<stream generation>.<sequence>`, opaque to them.
//!
//! It names a position in the one order of all events, so that every transport and every instance reads it alike.
//! A page has the sequence of the last event that is in it, and the same sequence may have come before, with that
//! event or another page: which of them a client has seen last, leading zeros of the sequence say.

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

/// How many offsets of one sequence are told apart: more than a viewer has pages at one position.
pub const TURN_MAX: u8 = 250;

/// What a client says, or is told, that it has seen: a position, and how much of what came at that position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bookmark {
    /// The position.
    pub offset: Offset,
    /// 0: the event of this sequence. More: the pages at it, as they were sent, from 1.
    pub turn: u8,
}

impl Bookmark {
    /// A page's at a position, after so many others there.
    pub fn of_page(offset: Offset, others: usize) -> Self {
        let turn = u8::try_from(others + 1).unwrap_or(TURN_MAX);
        Self {
            offset,
            turn: turn.min(TURN_MAX),
        }
    }
}

impl From<Offset> for Bookmark {
    fn from(offset: Offset) -> Self {
        Self { offset, turn: 0 }
    }
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

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (
            Offset {
                generation,
                sequence,
            },
            zeros,
        ) = (self.offset, usize::from(self.turn));
        write!(f, "{generation:016x}.{:0>zeros$}{sequence}", "")
    }
}

impl FromStr for Bookmark {
    type Err = NotAnOffset;

    fn from_str(text: &str) -> Result<Self, NotAnOffset> {
        let offset = text.parse()?;
        let (_, sequence) = text.split_once('.').ok_or(NotAnOffset)?;
        // The last digit is a number also where that is 0.
        let digits = sequence.trim_start_matches('0').len().max(1);
        let turn = u8::try_from(sequence.len() - digits).unwrap_or(u8::MAX);
        Ok(Self { offset, turn })
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
            let offset: Result<Offset, _> = text.parse();
            let bookmark: Result<Bookmark, _> = text.parse();
            prop_assert_eq!(offset, bookmark.map(|bookmark| bookmark.offset));
        }

        #[test]
        fn a_bookmark_reads_back_and_is_an_offset(generation: u64, sequence: u64, turn: u8) {
            let offset = Offset { generation, sequence };
            let bookmark = Bookmark { offset, turn };
            let text = bookmark.to_string();
            prop_assert_eq!(text.parse(), Ok(bookmark));
            prop_assert_eq!(text.parse(), Ok(offset));
            prop_assert!(turn > 0 || text == offset.to_string());
        }
    }
}
