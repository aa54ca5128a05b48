//! The counts themselves. Pure: the clock is a parameter.
//!
//! A user counts once an instance, however many sockets they have; the viewer of an embedded page, whom
//! nobody knows, once a transport.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use proto::event::{ChannelViewers, Viewers};
use proto::{ChannelId, UserId};
use tokio::time::Instant;

/// An instance that is silent for longer is forgotten: three repetitions of its counts did not come.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Instances that are listened to; more than any deployment has.
const INSTANCES_MAX: usize = 1_024;

/// Who counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Watcher {
    /// A user of Discord's.
    User(UserId),
    /// The viewer of an embedded page, by their transport.
    Embed(usize),
}

/// Who watches what, here and elsewhere.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How often each watcher watches a channel: sockets of one user.
    own: HashMap<ChannelId, HashMap<Watcher, u32>>,
    /// Channels whose own count changed since it was last said.
    changed: BTreeSet<ChannelId>,
    others: HashMap<String, Other>,
}

#[derive(Debug)]
struct Other {
    counts: HashMap<ChannelId, u32>,
    heard_at: Instant,
}

impl Tally {
    pub(super) fn enter(&mut self, channel: ChannelId, watcher: Watcher) {
        let times = self.own.entry(channel).or_default().entry(watcher);
        let times = times.or_default();
        *times += 1;
        if *times == 1 {
            self.changed.insert(channel);
        }
    }

    pub(super) fn leave(&mut self, channel: ChannelId, watcher: Watcher) {
        let Some(watchers) = self.own.get_mut(&channel) else {
            return;
        };
        let Some(times) = watchers.get_mut(&watcher) else {
            return;
        };
        *times -= 1;
        if *times == 0 {
            watchers.remove(&watcher);
            self.changed.insert(channel);
        }
        if watchers.is_empty() {
            self.own.remove(&channel);
        }
    }

    pub(super) fn own(&self, channel: ChannelId) -> usize {
        self.own.get(&channel).map_or(0, HashMap::len)
    }

    pub(super) fn total(&self, channel: ChannelId) -> u32 {
        let others = self.others.values();
        let counts = others.filter_map(|other| other.counts.get(&channel));
        counts.fold(count(self.own(channel)), |sum, more| {
            sum.saturating_add(*more)
        })
    }

    pub(super) fn watched(&self) -> Vec<(ChannelId, usize)> {
        let own = self.own.iter();
        own.map(|(channel, watchers)| (*channel, watchers.len()))
            .collect()
    }

    pub(super) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// Own counts that changed since they were last taken.
    pub(super) fn take_changes(&mut self) -> Vec<ChannelViewers> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|channel| entry(channel, self.own(channel)))
            .collect()
    }

    /// All own counts.
    pub(super) fn counts(&self) -> Vec<ChannelViewers> {
        let watched = self.watched().into_iter();
        watched
            .map(|(channel, count)| entry(channel, count))
            .collect()
    }

    /// Another instance speaks. True if it was not known, and may not know this one.
    pub(super) fn on_said(&mut self, said: Viewers, now: Instant) -> bool {
        if said.leaving {
            self.others.remove(&said.instance);
            return false;
        }
        let is_new = !self.others.contains_key(&said.instance);
        if is_new && self.others.len() >= INSTANCES_MAX {
            return false;
        }
        let other = self.others.entry(said.instance).or_insert_with(|| Other {
            counts: HashMap::new(),
            heard_at: now,
        });
        other.heard_at = now;
        if said.whole {
            other.counts.clear();
        }
        for entry in said.channels {
            let Some(channel) = ChannelId::new(entry.channel_id) else {
                continue;
            };
            if entry.count == 0 {
                other.counts.remove(&channel);
            } else {
                other.counts.insert(channel, entry.count);
            }
        }
        is_new
    }

    /// Forgets instances that are silent. True if there were any.
    pub(super) fn forget_silent(&mut self, now: Instant) -> bool {
        let before = self.others.len();
        self.others
            .retain(|_, other| now.duration_since(other.heard_at) < SILENCE_MAX);
        self.others.len() < before
    }
}

fn count(watchers: usize) -> u32 {
    u32::try_from(watchers).unwrap_or(u32::MAX)
}

fn entry(channel: ChannelId, watchers: usize) -> ChannelViewers {
    ChannelViewers {
        channel_id: channel.get(),
        count: count(watchers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(id: u64) -> ChannelId {
        ChannelId::new(id).unwrap()
    }

    fn user(id: u64) -> Watcher {
        Watcher::User(UserId::new(id).unwrap())
    }

    fn said(instance: &str, counts: &[(u64, u32)], whole: bool) -> Viewers {
        let channels = counts.iter().map(|(channel_id, count)| ChannelViewers {
            channel_id: *channel_id,
            count: *count,
        });
        Viewers {
            instance: instance.into(),
            channels: channels.collect(),
            whole,
            ..Viewers::default()
        }
    }

    #[test]
    fn a_user_counts_once_and_an_embedded_page_once_a_transport() {
        let mut tally = Tally::default();
        let table = [
            (user(1), true, 1),
            (user(1), true, 1),
            (user(2), true, 2),
            (Watcher::Embed(1), true, 3),
            (Watcher::Embed(2), true, 4),
            (user(1), false, 4),
            (user(1), false, 3),
            (user(1), false, 3),
            (Watcher::Embed(2), false, 2),
        ];
        for (watcher, enters, total) in table {
            if enters {
                tally.enter(channel(7), watcher);
            } else {
                tally.leave(channel(7), watcher);
            }
            assert_eq!(tally.total(channel(7)), total, "{watcher:?} {enters}");
        }
        assert_eq!(tally.watched(), [(channel(7), 2)]);
        assert_eq!(tally.total(channel(8)), 0);
    }

    #[test]
    fn only_counts_that_changed_are_said_and_an_empty_channel_is_one() {
        let mut tally = Tally::default();
        tally.enter(channel(7), user(1));
        tally.enter(channel(8), user(1));
        assert_eq!(tally.take_changes().len(), 2);
        tally.enter(channel(8), user(1));
        assert_eq!(tally.take_changes(), [], "one more socket of a user");
        tally.leave(channel(7), user(1));
        assert_eq!(tally.take_changes(), [entry(channel(7), 0)]);
        assert_eq!(tally.counts(), [entry(channel(8), 1)]);
    }

    #[test]
    fn instances_are_summed_until_they_leave_or_fall_silent() {
        let mut tally = Tally::default();
        let began = Instant::now();
        tally.enter(channel(7), user(1));
        assert!(tally.on_said(said("a", &[(7, 2), (8, 1)], true), began));
        assert!(tally.on_said(said("b", &[(7, 4)], false), began));
        assert!(!tally.on_said(said("b", &[(7, 3)], false), began), "known");
        assert_eq!((tally.total(channel(7)), tally.total(channel(8))), (6, 1));
        tally.on_said(said("a", &[(7, 5)], true), began);
        assert_eq!((tally.total(channel(7)), tally.total(channel(8))), (9, 0));
        let leaving = Viewers {
            leaving: true,
            ..said("a", &[], true)
        };
        tally.on_said(leaving, began);
        assert_eq!(tally.total(channel(7)), 4);
        assert!(!tally.forget_silent(began + SILENCE_MAX / 2));
        assert!(tally.forget_silent(began + SILENCE_MAX));
        assert_eq!(tally.total(channel(7)), 1);
        assert!(!tally.has_others());
    }
}
