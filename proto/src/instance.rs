//! The name that one fanout process has among its peers.
//!
//! Eight characters of base64url (RFC 4648 §5), so that it is safe in a URL, in a key and in a subject: nothing
//! that a client sends in its place reaches a broker unread. Whoever makes one brings the randomness.

use std::fmt;
use std::str::FromStr;

/// The characters of base64url: 6 bits each.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// 48 bits: among a thousand processes two are named alike once in half a billion deployments.
const LENGTH: usize = 8;

/// One fanout process, for as long as it lives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Box<str>);

/// Text that names no instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an instance")]
pub struct NotAnInstance;

impl InstanceId {
    /// How many characters of a session's id name its instance.
    pub const LENGTH: usize = LENGTH;

    /// The name that the low 48 of these bits spell.
    pub fn from_bits(bits: u64) -> Self {
        let sextets = (0..LENGTH).map(|place| (bits >> (6 * place)) & 63);
        let letter = |sextet| ALPHABET.get(usize::try_from(sextet).ok()?).copied();
        let letters = sextets.filter_map(letter).map(char::from);
        Self(letters.collect::<String>().into_boxed_str())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = NotAnInstance;

    fn from_str(text: &str) -> Result<Self, NotAnInstance> {
        let is_name = text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte));
        let named = is_name.then(|| Self(text.into()));
        named.ok_or(NotAnInstance)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_reads_back_and_tells_48_bits_apart(one: u64, other: u64) {
            let name = InstanceId::from_bits(one);
            prop_assert_eq!(name.as_str().parse(), Ok(name.clone()));
            let is_same = one << 16 == other << 16;
            prop_assert_eq!(name == InstanceId::from_bits(other), is_same);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let read: Result<InstanceId, _> = text.parse();
            prop_assert!(read.is_err() || read.unwrap().as_str() == text);
        }
    }

    #[test]
    fn what_would_mean_more_than_one_key_is_no_name() {
        for text in [
            "",
            "*",
            ">",
            "........",
            "AAAA.AAA",
            "AAAAAAA*",
            "AAAAAAA",
            "AAAAAAAAA",
        ] {
            assert_eq!(text.parse::<InstanceId>(), Err(NotAnInstance), "{text}");
        }
    }
}
