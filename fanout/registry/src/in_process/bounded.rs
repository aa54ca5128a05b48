//! A map whose entries end, and whose size is bounded: when it is full, what would end next goes first.
//!
//! It knows no clock: `now` is whatever its user counts time in.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What an entry costs beside its key and its value's own bytes, by the sizes of the parts: a place in the map and
/// one in the order, at the fill that both keep, and the key's two counts.
const ENTRY_BYTES: usize = 160;

#[derive(Debug)]
pub(super) struct Bounded<V, T> {
    entries: HashMap<Arc<str>, Entry<V, T>>,
    ends: BTreeSet<(T, Arc<str>)>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entry<V, T> {
    value: V,
    ends: T,
    bytes: usize,
}

impl<V, T: Ord + Copy> Bounded<V, T> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            ends: BTreeSet::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// What lives under a key.
    pub(super) fn get(&self, key: &str, now: T) -> Option<&V> {
        let entry = self.entries.get(key).filter(|entry| entry.ends > now);
        entry.map(|entry| &entry.value)
    }

    /// Puts a value of so many bytes under a key until it ends. How many others had to go before their end.
    pub(super) fn put(&mut self, key: &str, value: V, bytes: usize, ends: T, now: T) -> u64 {
        self.purge(now);
        self.remove(key);
        let key: Arc<str> = key.into();
        let bytes = bytes + key.len() + ENTRY_BYTES;
        self.bytes += bytes;
        self.ends.insert((ends, key.clone()));
        self.entries.insert(key, Entry { value, ends, bytes });
        let mut evicted = 0;
        while self.bytes > self.bytes_max && self.pop_first() {
            evicted += 1;
        }
        evicted
    }

    /// Takes an entry out, whether it has ended or not.
    pub(super) fn remove(&mut self, key: &str) -> Option<V> {
        self.remove_entry(key).map(|(value, _)| value)
    }

    /// Takes an entry out, with the time at which it would end.
    pub(super) fn remove_entry(&mut self, key: &str) -> Option<(V, T)> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.bytes -= entry.bytes;
        self.ends.remove(&(entry.ends, key));
        Some((entry.value, entry.ends))
    }

    /// Drops what has ended.
    pub(super) fn purge(&mut self, now: T) {
        while self.ends.first().is_some_and(|(ends, _)| *ends <= now) && self.pop_first() {}
    }

    /// Everything, by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &V, T)> {
        let entries = self.entries.iter();
        entries.map(|(key, entry)| (&**key, &entry.value, entry.ends))
    }

    fn pop_first(&mut self) -> bool {
        let Some((_, key)) = self.ends.pop_first() else {
            return false;
        };
        if let Some(entry) = self.entries.remove(&key) {
            self.bytes -= entry.bytes;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_end_next_goes_first() {
        let mut map = Bounded::new(3 * (ENTRY_BYTES + 2));
        assert_eq!(map.put("a", 1, 1, 30, 0), 0);
        assert_eq!(map.put("b", 2, 1, 10, 0), 0);
        assert_eq!(map.put("c", 3, 1, 20, 0), 0);
        assert_eq!(map.put("d", 4, 1, 40, 0), 1);
        let kept = ["a", "b", "c", "d"].map(|key| map.get(key, 0).copied());
        assert_eq!(kept, [Some(1), None, Some(3), Some(4)]);
        // What has ended makes room before anybody has to go.
        assert_eq!(map.put("e", 5, 1, 50, 20), 0);
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_map_holds_and_never_more_bytes_than_it_may(
            steps in prop::collection::vec((0_u8..12, 0_u64..20, 0_usize..300, any::<bool>()), 1..200)
        ) {
            let bytes_max = 1500;
            let mut map = Bounded::new(bytes_max);
            let mut plain: HashMap<String, (usize, u64)> = HashMap::new();
            for (now, (key, life, bytes, is_put)) in (0_u64..).zip(steps) {
                let key = key.to_string();
                if is_put {
                    let evicted = map.put(&key, bytes, bytes, now + life, now);
                    plain.insert(key, (bytes, now + life));
                    plain.retain(|_, (_, ends)| *ends > now);
                    let mut gone = 0;
                    plain.retain(|key, _| {
                        let is_kept = map.get(key, now).is_some();
                        gone += u64::from(!is_kept);
                        is_kept
                    });
                    prop_assert!(evicted >= gone);
                } else {
                    map.remove(&key);
                    plain.remove(&key);
                }
                prop_assert!(map.bytes <= bytes_max);
                prop_assert_eq!(map.entries.len(), map.ends.len());
                let bytes: usize = map.entries.values().map(|entry| entry.bytes).sum();
                prop_assert_eq!(map.bytes, bytes);
                for (key, (bytes, ends)) in &plain {
                    prop_assert_eq!(map.get(key, now).copied(), (*ends > now).then_some(*bytes));
                }
            }
        }
    }
}
