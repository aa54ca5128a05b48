//! Ids of sessions and sockets: random, safe in a URL and in JSON, and long enough that none is ever guessed.
//! A session's id names the instance and the worker that it lives on, so that whoever gets a request for it knows where to
//! take it: `<instance>.<worker><20 random characters>`.

use rand::RngExt;

/// The characters of base64url: 6 bits each.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The length of the reference server's ids, here 120 random bits.
const LENGTH: usize = 20;

/// Workers of one server: as many as one character tells apart.
pub(crate) const WORKERS_MAX: usize = ALPHABET.len();

/// A new id of a socket.
pub(crate) fn random() -> Box<str> {
    let mut id = String::with_capacity(LENGTH);
    push_random(&mut id);
    id.into_boxed_str()
}

/// A new id of a session.
pub(crate) fn session(instance: &str, worker: usize) -> String {
    let mut id = String::with_capacity(instance.len() + 2 + LENGTH);
    id.push_str(instance);
    id.push('.');
    id.extend(ALPHABET.get(worker).map(|&character| char::from(character)));
    push_random(&mut id);
    id
}

fn push_random(id: &mut String) {
    let mut bytes = [0_u8; LENGTH];
    rand::rng().fill(&mut bytes);
    let character = |byte: u8| ALPHABET.get(usize::from(byte & 63)).map(|&c| char::from(c));
    id.extend(bytes.into_iter().filter_map(character));
}

/// Where a session of this id would live: its instance and its worker there.
pub(crate) fn home_of(sid: &str) -> Option<(&str, usize)> {
    let (instance, rest) = sid.split_once('.')?;
    if rest.len() != LENGTH + 1 || instance.is_empty() {
        return None;
    }
    let worker = *rest.as_bytes().first()?;
    let worker = ALPHABET.iter().position(|&character| character == worker)?;
    Some((instance, worker))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn a_sessions_id_says_where_it_lives() {
        for worker in [0, 1, 63] {
            assert_eq!(home_of(&session("a1B_", worker)), Some(("a1B_", worker)));
        }
        for unknown in ["", ".", "a", "a.", "a.b", ".AAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(home_of(unknown), None, "{unknown}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}") {
            let _home = home_of(&text);
        }
    }
}
