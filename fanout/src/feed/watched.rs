//! Which workers get the events of a channel: a bit a worker.

use std::collections::HashMap;

use proto::{ChannelId, Identity};

/// The channels that anybody watches.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Bit n: worker n watches the channel.
    by_channel: HashMap<ChannelId, u64>,
}

impl Watched {
    /// A worker watches a channel from now on.
    pub(super) fn add(&mut self, worker: usize, channel: ChannelId) {
        *self.by_channel.entry(channel).or_default() |= 1 << worker;
    }

    /// A worker does so no longer.
    pub(super) fn remove(&mut self, worker: usize, channel: ChannelId) {
        if let Some(mask) = self.by_channel.get_mut(&channel) {
            *mask &= !(1 << worker);
            if *mask == 0 {
                self.by_channel.remove(&channel);
            }
        }
    }

    /// A worker watches nothing any more.
    pub(super) fn forget(&mut self, worker: usize) {
        self.by_channel.retain(|_, mask| {
            *mask &= !(1 << worker);
            *mask != 0
        });
    }

    /// Nobody watches anything any more.
    pub(super) fn clear(&mut self) {
        self.by_channel.clear();
    }

    /// Who gets an event of this channel and identity: who watches the channel, and, where a message is deleted, who
    /// watches the thread that began at it. That thread quotes it, and its watchers may not watch the channel. A
    /// thread has the id of the message that it began at; an identity tells a deletion undecoded.
    pub(super) fn of(&self, channel: ChannelId, identity: &str) -> u64 {
        let thread = Identity::deleted(identity).and_then(|id| ChannelId::new(id.get()));
        self.mask(channel) | thread.map_or(0, |thread| self.mask(thread))
    }

    fn mask(&self, channel: ChannelId) -> u64 {
        self.by_channel.get(&channel).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(id: u64) -> ChannelId {
        ChannelId::new(id).unwrap()
    }

    #[test]
    fn a_deletion_reaches_who_watches_the_thread_that_began_there() {
        let mut watched = Watched::default();
        watched.add(0, channel(5));
        watched.add(3, channel(5));
        watched.add(1, channel(9));
        assert_eq!(watched.of(channel(5), "create-9"), 0b1001);
        assert_eq!(watched.of(channel(5), "delete-9"), 0b1011);
        assert_eq!(watched.of(channel(7), "delete-9"), 0b0010);
        assert_eq!(watched.of(channel(7), "delete-x"), 0);
        watched.remove(0, channel(5));
        watched.forget(1);
        assert_eq!(watched.of(channel(5), "delete-9"), 0b1000);
        watched.clear();
        assert_eq!(watched.of(channel(5), ""), 0);
    }
}
