//! States that are told at most so often: the first at once, and of those that follow the latest, in its time.
//!
//! Pure: the clock is a parameter. Holds an entry a key for one spacing after it was told, and no longer.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// The latest state of each key that may not be told yet.
#[derive(Debug)]
pub struct Paced<K, V> {
    spacing: Duration,
    told: HashMap<K, Told<V>>,
    /// When each key of `told` may be told again.
    times: BTreeSet<(Instant, K)>,
}

#[derive(Debug)]
struct Told<V> {
    again_at: Instant,
    waiting: Option<V>,
}

/// What becomes of a state.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<V> {
    /// It is told now.
    Now(V),
    /// It waits for its time.
    Waits,
    /// It waits, in place of one that nobody will be told.
    Replaces,
}

impl<K: Copy + Eq + Hash + Ord, V> Paced<K, V> {
    /// Nothing told yet; each key at most once in `spacing`.
    pub fn new(spacing: Duration) -> Self {
        Self {
            spacing,
            told: HashMap::new(),
            times: BTreeSet::new(),
        }
    }

    /// A key has another state.
    pub fn offer(&mut self, key: K, state: V, now: Instant) -> Turn<V> {
        match self.told.get_mut(&key) {
            Some(told) if told.again_at > now => {
                if told.waiting.replace(state).is_some() {
                    Turn::Replaces
                } else {
                    Turn::Waits
                }
            }
            _ => {
                self.mark(key, now);
                Turn::Now(state)
            }
        }
    }

    /// The states whose time has come.
    pub fn due(&mut self, now: Instant) -> Vec<(K, V)> {
        let mut due = Vec::new();
        while let Some((at, key)) = self.times.first().copied()
            && at <= now
        {
            self.times.pop_first();
            let told = self.told.remove(&key);
            if let Some(state) = told.and_then(|told| told.waiting) {
                self.mark(key, now);
                due.push((key, state));
            }
        }
        due
    }

    /// When [`Self::due`] has something to do again.
    pub fn next_at(&self) -> Option<Instant> {
        self.times.first().map(|(at, _)| *at)
    }

    /// What waits for this key is not told any more.
    pub fn forget(&mut self, key: K) {
        if let Some(told) = self.told.get_mut(&key) {
            told.waiting = None;
        }
    }

    fn mark(&mut self, key: K, now: Instant) {
        let again_at = now + self.spacing;
        let told = Told {
            again_at,
            waiting: None,
        };
        if let Some(before) = self.told.insert(key, told) {
            self.times.remove(&(before.again_at, key));
        }
        self.times.insert((again_at, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Duration = Duration::from_millis(500);

    #[test]
    fn the_first_is_told_at_once_and_then_the_latest_in_its_time() {
        let mut paced = Paced::new(SPACING);
        let began = Instant::now();
        assert_eq!(paced.offer(1, "a", began), Turn::Now("a"));
        assert_eq!(paced.offer(1, "b", began), Turn::Waits);
        assert_eq!(paced.offer(1, "c", began), Turn::Replaces);
        assert_eq!(paced.offer(2, "x", began), Turn::Now("x"), "another key");
        assert_eq!(paced.next_at(), Some(began + SPACING));
        assert_eq!(paced.due(began + SPACING / 2), []);
        assert_eq!(paced.due(began + SPACING), [(1, "c")]);
        assert_eq!(paced.offer(1, "d", began + SPACING), Turn::Waits);
        assert_eq!(paced.due(began + SPACING * 2), [(1, "d")]);
    }

    #[test]
    fn nothing_is_kept_of_a_key_that_is_quiet() {
        let mut paced = Paced::new(SPACING);
        let began = Instant::now();
        paced.offer(1, "a", began);
        assert_eq!(paced.due(began + SPACING), []);
        assert_eq!(paced.next_at(), None);
        assert!(paced.told.is_empty());
    }

    #[test]
    fn what_is_forgotten_is_not_told() {
        let mut paced = Paced::new(SPACING);
        let began = Instant::now();
        paced.offer(1, "a", began);
        paced.offer(1, "b", began);
        paced.forget(1);
        assert_eq!(paced.due(began + SPACING), []);
    }

    #[test]
    fn of_a_flood_two_a_second_are_told_and_the_last_is_among_them() {
        let mut paced = Paced::new(SPACING);
        let began = Instant::now();
        let mut told = Vec::new();
        for n in 0..3_000_u32 {
            let now = began + Duration::from_millis(n.into());
            told.extend(paced.due(now).into_iter().map(|(_, state)| (now, state)));
            if let Turn::Now(state) = paced.offer(1, n, now) {
                told.push((now, state));
            }
        }
        let end = began + Duration::from_secs(4);
        told.extend(paced.due(end).into_iter().map(|(_, state)| (end, state)));
        assert_eq!(told.len(), 7, "{told:?}");
        assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= SPACING));
        assert_eq!(told.last().unwrap().1, 2_999);
    }
}
