//! The guilds, their channels, roles and members, as far as the feed has told.
//!
//! Guild events carry the new state of what changed, so applying one is an insertion or a removal. A guild's
//! snapshot is swapped in whole at its end; parts of another version are ignored.

use std::collections::HashMap;

use proto::event::{
    Channel, Event, Guild, GuildSnapshotBegin, GuildSnapshotPart, Member, Role,
    ThreadMembersChanged,
};
use proto::{ChannelId, GuildId, UserId};
use store::DirectorySnapshot;

use super::permissions::{self, Access, Grant, MemberView};

/// All guilds that the bot is in.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    guilds: HashMap<GuildId, GuildView>,
    /// Which guild a channel is in.
    places: HashMap<ChannelId, GuildId>,
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

/// One guild.
#[derive(Debug, Clone, Default)]
pub(super) struct GuildView {
    guild: Guild,
    roles: HashMap<u64, Role>,
    channels: HashMap<u64, Channel>,
    members: HashMap<u64, Member>,
    /// A snapshot that has begun and not ended.
    pending: Option<Pending>,
}

#[derive(Debug, Clone)]
struct Pending {
    version: String,
    guild: Guild,
    roles: HashMap<u64, Role>,
    channels: HashMap<u64, Channel>,
    members: Vec<Member>,
    /// How many roles, channels and members its beginning announced.
    announced: (u32, u32, u32),
}

impl Directory {
    /// The directory as SQL has it, with the snapshots that were on their way.
    pub fn new(snapshot: DirectorySnapshot) -> Self {
        let mut directory = Self::default();
        for stored in snapshot.guilds {
            let Some(id) = GuildId::new(stored.guild.id) else {
                continue;
            };
            let mut view = GuildView {
                guild: stored.guild,
                roles: stored
                    .roles
                    .into_iter()
                    .map(|role| (role.id, role))
                    .collect(),
                channels: stored.channels.into_iter().map(|c| (c.id, c)).collect(),
                ..GuildView::default()
            };
            stored
                .members
                .into_iter()
                .for_each(|member| view.add_member(member));
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

    /// Every channel that this grant sees, with its guild, by guild, position and id.
    pub fn visible(&self, grant: &Grant, now_ms: i64) -> Vec<(&Guild, &Channel, Access)> {
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
            Grant::Embed(channels) => {
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
            Some((&guild.guild, channel, access))
        };
        seen.into_iter().filter_map(allowed).collect()
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

    /// Guilds of which nobody has said whether this user is a member.
    pub fn guilds_without(&self, user: UserId) -> Vec<GuildId> {
        let unknown = |(id, guild): (&GuildId, &GuildView)| {
            (!guild.members.contains_key(&user.get())).then_some(*id)
        };
        self.guilds.iter().filter_map(unknown).collect()
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

/// The channel itself, or a thread of it. A category's channels outlive it.
fn goes_with(channel: &Channel, id: u64) -> bool {
    let is_thread = permissions::kind::is_thread(channel.kind);
    channel.id == id || (is_thread && channel.parent_id == Some(id))
}

enum Applied {
    Nothing,
    Listing,
    Channel(u64),
    Whole,
    Member(u64),
}

impl Pending {
    fn is_whole(&self) -> bool {
        let held = (self.roles.len(), self.channels.len(), self.members.len());
        let (roles, channels, members) = self.announced;
        held == (roles as usize, channels as usize, members as usize)
    }
}

impl GuildView {
    pub(super) fn id(&self) -> u64 {
        self.guild.id
    }

    pub(super) fn is_owner(&self, user: UserId) -> bool {
        self.guild.owner_id == user.get()
    }

    /// The user, if they are a member for all we know. The owner is one, met or not.
    pub(super) fn member(&self, user: UserId) -> Option<MemberView<'_>> {
        let record = self.members.get(&user.get());
        (record.is_some() || self.is_owner(user)).then_some(MemberView { user, record })
    }

    pub(super) fn everyone_bits(&self) -> u64 {
        self.role_bits(self.guild.id)
    }

    pub(super) fn has_role(&self, role: u64) -> bool {
        self.roles.contains_key(&role)
    }

    pub(super) fn role_bits(&self, role: u64) -> u64 {
        self.roles.get(&role).map_or(0, |role| role.permissions)
    }

    /// The overwrites that hold in a channel: a thread has its parent's, and none without it.
    pub(super) fn overwrites<'a>(
        &'a self,
        channel: &'a Channel,
    ) -> Option<&'a [proto::event::Overwrite]> {
        if !permissions::kind::is_thread(channel.kind) {
            return Some(&channel.overwrites);
        }
        let parent = self.channels.get(&channel.parent_id?)?;
        Some(&parent.overwrites)
    }

    fn add_member(&mut self, member: Member) {
        if let Some(user) = &member.user {
            self.members.insert(user.id, member);
        }
    }

    fn apply(&mut self, event: &Event) -> Applied {
        match event {
            Event::GuildSnapshotBegin(begin) => self.begin(begin),
            Event::GuildSnapshotPart(part) => self.extend(part),
            Event::GuildUpdated(guild) => return self.update(guild),
            Event::ChannelUpserted(channel) => return self.upsert_channel(channel),
            Event::ChannelDeleted(deleted) => {
                let id = deleted.channel_id;
                self.channels.retain(|_, channel| !goes_with(channel, id));
                return Applied::Channel(id);
            }
            Event::RoleUpserted(role) => {
                let known = self.roles.insert(role.id, role.clone());
                let is_same = known.is_some_and(|known| known.permissions == role.permissions);
                return if is_same {
                    Applied::Nothing
                } else {
                    Applied::Whole
                };
            }
            Event::RoleDeleted(deleted) => {
                self.roles.remove(&deleted.role_id);
                return Applied::Whole;
            }
            Event::MemberUpserted(member) => {
                self.add_member(member.clone());
                let user = member.user.as_ref().map(|user| user.id);
                return user.map_or(Applied::Nothing, Applied::Member);
            }
            Event::MemberRemoved(removed) => {
                self.members.remove(&removed.user_id);
                return Applied::Member(removed.user_id);
            }
            Event::ThreadMembersChanged(changed) => return self.change_thread(changed),
            _ => {}
        }
        Applied::Nothing
    }

    fn update(&mut self, guild: &Guild) -> Applied {
        let is_same_owner = self.guild.owner_id == guild.owner_id;
        self.guild = guild.clone();
        if is_same_owner {
            Applied::Listing
        } else {
            Applied::Whole
        }
    }

    /// An update of a thread names no members: those that are known stay.
    fn upsert_channel(&mut self, channel: &Channel) -> Applied {
        let mut channel = channel.clone();
        let Some(known) = self.channels.get(&channel.id) else {
            let id = channel.id;
            self.channels.insert(id, channel);
            return Applied::Channel(id);
        };
        if channel.thread_members.is_empty() {
            channel.thread_members.clone_from(&known.thread_members);
        }
        let is_as_open = known.overwrites == channel.overwrites
            && (known.kind, known.parent_id) == (channel.kind, channel.parent_id);
        let id = channel.id;
        self.channels.insert(id, channel);
        if is_as_open {
            Applied::Listing
        } else {
            Applied::Channel(id)
        }
    }

    /// Who is in a public thread decides nothing.
    fn change_thread(&mut self, changed: &ThreadMembersChanged) -> Applied {
        let Some(thread) = self.channels.get_mut(&changed.thread_id) else {
            return Applied::Nothing;
        };
        thread
            .thread_members
            .retain(|id| !changed.removed.contains(id));
        thread.thread_members.extend(&changed.added);
        if thread.kind == permissions::kind::PRIVATE_THREAD {
            return Applied::Channel(thread.id);
        }
        Applied::Nothing
    }

    fn begin(&mut self, begin: &GuildSnapshotBegin) {
        self.pending = Some(Pending {
            version: begin.version.clone(),
            guild: begin.guild.clone().unwrap_or_default(),
            roles: HashMap::new(),
            channels: HashMap::new(),
            members: Vec::new(),
            announced: (begin.roles, begin.channels, begin.members),
        });
    }

    fn extend(&mut self, part: &GuildSnapshotPart) {
        let Some(pending) = self.pending.as_mut().filter(|p| p.version == part.version) else {
            return;
        };
        pending
            .roles
            .extend(part.roles.iter().map(|r| (r.id, r.clone())));
        pending
            .channels
            .extend(part.channels.iter().map(|c| (c.id, c.clone())));
        pending.members.extend(part.members.iter().cloned());
    }

    /// Puts the snapshot of this version in place; false if there is none, or if a part of it is missing.
    fn swap(&mut self, version: &str) -> bool {
        let whole = |p: &Pending| p.version == version && p.is_whole();
        let Some(pending) = self.pending.take().filter(whole) else {
            tracing::warn!(guild = self.guild.id, "a snapshot of a guild was not whole");
            return false;
        };
        self.guild = pending.guild;
        self.roles = pending.roles;
        self.channels = pending.channels;
        pending
            .members
            .into_iter()
            .for_each(|member| self.add_member(member));
        true
    }
}
