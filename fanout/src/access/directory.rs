//! The guilds, their channels, roles and members, as far as the feed has told.
//!
//! Guild events carry the new state of what changed, so applying one is an insertion or a removal. A guild's
//! snapshot is swapped in whole at its end; parts of another version are ignored.

use std::collections::HashMap;

use proto::event::{Channel, Event, Guild, Member};
use proto::{ChannelId, GuildId, UserId};
use store::DirectorySnapshot;

use super::guild::{Applied, GuildView, goes_with};
use super::permissions::{self, Access, Embed, Grant};
use crate::object::Cdn;

/// All guilds that the bot is in.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    guilds: HashMap<GuildId, GuildView>,
    /// Which guild a channel is in.
    places: HashMap<ChannelId, GuildId>,
    /// Where the images of all of them are.
    cdn: Cdn,
}

/// A channel, with what is shown of it and stands elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The guild that it is in.
    pub guild: &'a Guild,
    /// The channel itself.
    pub channel: &'a Channel,
    /// It is for adults; a thread is where its channel is.
    pub is_nsfw: bool,
}

/// What an event may have changed for viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// What the members of a guild are shown of what they see.
    Listing(GuildId),
    /// Who sees one channel, and what is below it.
    Channel(GuildId, ChannelId),
    /// Who sees what in the whole guild.
    Guild(GuildId),
    /// What one member sees.
    Member(GuildId, UserId),
}

impl Directory {
    /// The directory as SQL has it, with the snapshots that were on their way.
    pub fn new(snapshot: DirectorySnapshot) -> Self {
        let mut directory = Self::default();
        for stored in snapshot.guilds {
            let Some(id) = GuildId::new(stored.guild.id) else {
                continue;
            };
            let view = GuildView::new(stored);
            directory.place(id, &view);
            directory.guilds.insert(id, view);
        }
        for (guild, events) in snapshot.unfinished {
            for event in events {
                directory.apply(guild, &event);
            }
        }
        directory
    }

    /// The same, with its images elsewhere than at Discord.
    #[must_use]
    pub fn with_cdn(self, cdn: Cdn) -> Self {
        Self { cdn, ..self }
    }

    /// Where images are.
    pub fn cdn(&self) -> &Cdn {
        &self.cdn
    }

    /// Applies an event of a guild's subject.
    pub fn apply(&mut self, guild: GuildId, event: &Event) -> Change {
        match event {
            Event::GuildRemoved(_) => {
                self.guilds.remove(&guild);
                self.places.retain(|_, place| *place != guild);
                return Change::Guild(guild);
            }
            Event::GuildSnapshotEnd(end) => {
                let view = self.guilds.entry(guild).or_default();
                if !view.swap(&end.version) {
                    return Change::Nothing;
                }
                let channels: Vec<u64> = view.channels.keys().copied().collect();
                self.places.retain(|_, place| *place != guild);
                let ids = channels.into_iter().filter_map(ChannelId::new);
                self.places.extend(ids.map(|id| (id, guild)));
                return Change::Guild(guild);
            }
            Event::ChannelUpserted(channel) => {
                if let Some(id) = ChannelId::new(channel.id) {
                    self.places.insert(id, guild);
                }
            }
            Event::ChannelDeleted(deleted) => self.unplace(guild, deleted.channel_id),
            _ => {}
        }
        let view = self.guilds.entry(guild).or_default();
        let channel = |id| ChannelId::new(id).map(|id| Change::Channel(guild, id));
        let change = match view.apply(event) {
            Applied::Nothing => None,
            Applied::Listing => Some(Change::Listing(guild)),
            Applied::Whole => Some(Change::Guild(guild)),
            Applied::Channel(id) => channel(id),
            Applied::Member(user) => UserId::new(user).map(|user| Change::Member(guild, user)),
        };
        change.unwrap_or(Change::Nothing)
    }

    /// What this grant may do in a channel at this time; none if it may not see it, or if there is none.
    pub fn access(&self, grant: &Grant, channel: ChannelId, now_ms: i64) -> Option<Access> {
        let guild = self.guilds.get(self.places.get(&channel)?)?;
        let channel = guild.channels.get(&channel.get())?;
        permissions::access(guild, channel, grant, now_ms)
    }

    /// Every channel that this grant sees, by guild, position and id.
    pub fn visible(&self, grant: &Grant, now_ms: i64) -> Vec<(Place<'_>, Access)> {
        let mut seen: Vec<_> = match grant {
            Grant::User(user) => {
                let guilds = self
                    .guilds
                    .values()
                    .filter(|guild| guild.member(*user).is_some());
                guilds
                    .flat_map(|guild| guild.channels.values().map(move |c| (guild, c)))
                    .collect()
            }
            Grant::Embed(embed) => {
                let channels = &embed.channels;
                let place = |id| Some((self.guilds.get(self.places.get(id)?)?, id.get()));
                let places = channels.iter().filter_map(place);
                places
                    .filter_map(|(guild, id)| Some((guild, guild.channels.get(&id)?)))
                    .collect()
            }
        };
        seen.sort_unstable_by_key(|(guild, c)| (guild.guild.id, c.position, c.id));
        seen.dedup_by_key(|(_, channel)| channel.id);
        let allowed = |(guild, channel)| {
            let access = permissions::access(guild, channel, grant, now_ms)?;
            Some((place_of(guild, channel), access))
        };
        seen.into_iter().filter_map(allowed).collect()
    }

    /// A channel, and where it is.
    pub fn channel(&self, id: ChannelId) -> Option<Place<'_>> {
        let view = self.guilds.get(self.places.get(&id)?)?;
        Some(place_of(view, view.channels.get(&id.get())?))
    }

    /// The threads of a channel.
    pub fn threads_of(&self, id: ChannelId) -> impl Iterator<Item = ChannelId> {
        let guild = self
            .places
            .get(&id)
            .and_then(|guild| self.guilds.get(guild));
        let channels = guild.into_iter().flat_map(|guild| guild.channels.values());
        let below = channels.filter(move |c| c.id != id.get() && goes_with(c, id.get()));
        below.filter_map(|thread| ChannelId::new(thread.id))
    }

    /// The channel that a thread is in; none for what is no thread.
    pub fn parent_of_thread(&self, id: ChannelId) -> Option<ChannelId> {
        let Place { channel, .. } = self.channel(id)?;
        let parent = channel.parent_id.and_then(ChannelId::new);
        parent.filter(|_| permissions::kind::is_thread(channel.kind))
    }

    /// The guild that a channel is in.
    pub fn guild_of(&self, channel: ChannelId) -> Option<GuildId> {
        self.places.get(&channel).copied()
    }

    /// A channel exists here.
    pub fn has_channel(&self, channel: ChannelId) -> bool {
        self.places.contains_key(&channel)
    }

    /// A channel is another one, or a thread of it.
    pub fn is_below(&self, channel: ChannelId, other: ChannelId) -> bool {
        let guild = self
            .places
            .get(&channel)
            .and_then(|guild| self.guilds.get(guild));
        let known = guild.and_then(|guild| guild.channels.get(&channel.get()));
        channel == other || known.is_some_and(|channel| goes_with(channel, other.get()))
    }

    /// What any guild knows of this user.
    pub fn member(&self, user: UserId) -> Option<&Member> {
        self.guilds
            .values()
            .find_map(|guild| guild.members.get(&user.get()))
    }

    /// The guilds that know this user as a member, owner included.
    pub fn is_member(&self, guild: GuildId, user: UserId) -> bool {
        self.guilds
            .get(&guild)
            .is_some_and(|view| view.member(user).is_some())
    }

    /// Until when a member is timed out (milliseconds since 1970), also where that is past.
    pub fn timed_out_until_ms(&self, guild: GuildId, user: UserId) -> Option<i64> {
        let view = self.guilds.get(&guild)?;
        view.members.get(&user.get())?.timed_out_until_ms
    }

    /// All guilds.
    pub fn guilds(&self) -> impl Iterator<Item = GuildId> {
        self.guilds.keys().copied()
    }

    /// All guilds, those first in which this user is believed to be a member.
    pub fn guilds_for(&self, user: UserId) -> Vec<GuildId> {
        let mut guilds: Vec<_> = self.guilds.keys().copied().collect();
        guilds.sort_unstable_by_key(|id| (!self.is_member(*id, user), *id));
        guilds
    }

    /// The name of a channel of this guild that everyone may see.
    pub fn public_name(&self, guild: GuildId, channel: ChannelId) -> Option<&str> {
        let everyone = Grant::Embed(Embed {
            channels: vec![channel],
            is_private: false,
        });
        // Nobody in particular asks: no time-out is theirs.
        self.access(&everyone, channel, 0)?;
        let place = self.channel(channel)?;
        (place.guild.id == guild.get()).then_some(place.channel.name.as_str())
    }

    /// The names of these roles, as far as they exist.
    pub fn role_names(&self, guild: GuildId, roles: &[u64]) -> Vec<(u64, &str)> {
        let Some(guild) = self.guilds.get(&guild) else {
            return Vec::new();
        };
        let named = |id: &u64| Some((*id, guild.roles.get(id)?.name.as_str()));
        roles.iter().filter_map(named).collect()
    }

    fn place(&mut self, guild: GuildId, view: &GuildView) {
        let ids = view.channels.keys().filter_map(|id| ChannelId::new(*id));
        self.places.extend(ids.map(|id| (id, guild)));
    }

    /// A channel's threads go with it.
    fn unplace(&mut self, guild: GuildId, channel: u64) {
        let Some(view) = self.guilds.get(&guild) else {
            return;
        };
        let gone = view.channels.values().filter(|c| goes_with(c, channel));
        for id in gone.filter_map(|c| ChannelId::new(c.id)) {
            self.places.remove(&id);
        }
    }
}

fn place_of<'a>(view: &'a GuildView, channel: &'a Channel) -> Place<'a> {
    Place {
        guild: &view.guild,
        channel,
        is_nsfw: view.is_nsfw(channel),
    }
}
