//! Which guilds there are, and which guild a channel belongs to: for frames that name the channel alone.
//!
//! Filled from SQL at the start of a term and by every directory event since. Knows nothing else of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;
use proto::event::Event;
use proto::{ChannelId, Envelope, GuildId};

/// The guilds and channels that are known. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    guilds: HashSet<GuildId>,
    channels: HashMap<ChannelId, GuildId>,
    is_loaded: bool,
}

impl Places {
    /// Takes what SQL knows, beside what came meanwhile.
    pub(crate) fn load(&self, known: impl IntoIterator<Item = (GuildId, Vec<ChannelId>)>) {
        let mut places = self.0.write();
        for (guild, channels) in known {
            places.guilds.insert(guild);
            for channel in channels {
                places.channels.entry(channel).or_insert(guild);
            }
        }
        places.is_loaded = true;
    }

    /// Whether SQL's part is in.
    pub(crate) fn is_loaded(&self) -> bool {
        self.0.read().is_loaded
    }

    /// The guild of a channel.
    pub(crate) fn guild_of(&self, channel: ChannelId) -> Option<GuildId> {
        self.0.read().channels.get(&channel).copied()
    }

    /// All guilds, in the order of their ids.
    pub(crate) fn guilds(&self) -> Vec<GuildId> {
        let mut guilds: Vec<_> = self.0.read().guilds.iter().copied().collect();
        guilds.sort_unstable();
        guilds
    }

    /// Learns from an event that is about to be published.
    pub(crate) fn on_event(&self, envelope: &Envelope) {
        let guild = envelope.guild;
        match &envelope.event {
            Event::GuildSnapshotBegin(_) => {
                self.0.write().guilds.insert(guild);
            }
            Event::GuildSnapshotPart(part) => {
                let ids = part.channels.iter().map(|channel| channel.id);
                let known = &mut *self.0.write();
                let ids = ids.filter_map(ChannelId::new);
                known.channels.extend(ids.map(|id| (id, guild)));
            }
            Event::ChannelUpserted(channel) => {
                if let Some(id) = ChannelId::new(channel.id) {
                    self.0.write().channels.insert(id, guild);
                }
            }
            Event::GuildRemoved(_) => {
                let known = &mut *self.0.write();
                known.guilds.remove(&guild);
                known.channels.retain(|_, of| *of != guild);
            }
            // A deleted channel stays: late deletions of its messages still find their guild.
            _ => {}
        }
    }
}
