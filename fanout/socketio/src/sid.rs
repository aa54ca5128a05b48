//! Ids of sessions and sockets: random, safe in a URL and in JSON, and long enough that none is ever guessed.

use rand::RngExt;

/// The characters of base64url: 6 bits each.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The length of the reference server's ids, here 120 random bits.
const LENGTH: usize = 20;

/// A new id.
pub(crate) fn random() -> Box<str> {
    let mut bytes = [0_u8; LENGTH];
    rand::rng().fill(&mut bytes);
    let character = |byte: u8| ALPHABET.get(usize::from(byte & 63)).map(|&c| char::from(c));
    bytes
        .into_iter()
        .filter_map(character)
        .collect::<String>()
        .into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_safe_in_urls() {
        let ids: std::collections::BTreeSet<_> = (0..1000).map(|_| random()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert_eq!(id.len(), LENGTH);
            assert!(
                id.bytes()
                    .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
            );
        }
    }
}
