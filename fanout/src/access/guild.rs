//! One guild of the directory: what its events have told, and what the algorithm asks of it.

use std::collections::HashMap;

use proto::UserId;
use proto::event::{
    Channel, Event, Guild, GuildSnapshotBegin, GuildSnapshotPart, Member, Overwrite, Role,
    ThreadMembersChanged,
};
use store::GuildDirectory;

use super::permissions::{self, MemberView};

/// One guild.
#[derive(Debug, Clone, Default)]
pub(super) struct GuildView {
    pub(super) guild: Guild,
    pub(super) roles: HashMap<u64, Role>,
    pub(super) channels: HashMap<u64, Channel>,
    pub(super) members: HashMap<u64, Member>,
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

/// The channel itself, or a thread of it. A category's channels outlive it.
pub(super) fn goes_with(channel: &Channel, id: u64) -> bool {
    let is_thread = permissions::kind::is_thread(channel.kind);
    channel.id == id || (is_thread && channel.parent_id == Some(id))
}

/// What an event of a guild may have changed, by plain numbers.
pub(super) enum Applied {
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
    /// A guild as SQL has it.
    pub(super) fn new(stored: GuildDirectory) -> Self {
        let roles = stored.roles.into_iter();
        let channels = stored.channels.into_iter();
        let mut view = Self {
            guild: stored.guild,
            roles: roles.map(|role| (role.id, role)).collect(),
            channels: channels.map(|channel| (channel.id, channel)).collect(),
            ..Self::default()
        };
        for member in stored.members {
            view.add_member(member);
        }
        view
    }

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
    pub(super) fn overwrites<'a>(&'a self, channel: &'a Channel) -> Option<&'a [Overwrite]> {
        if !permissions::kind::is_thread(channel.kind) {
            return Some(&channel.overwrites);
        }
        Some(&self.parent(channel)?.overwrites)
    }

    /// The channel that a thread is in; none where it would be a thread itself, which Discord does not have.
    pub(super) fn parent(&self, thread: &Channel) -> Option<&Channel> {
        let parent = self.channels.get(&thread.parent_id?)?;
        (!permissions::kind::is_thread(parent.kind)).then_some(parent)
    }

    /// Whether a channel is for adults. Discord sets no such flag on a thread: it has its parent's
    /// (<https://docs.discord.com/developers/topics/threads>).
    pub(super) fn is_nsfw(&self, channel: &Channel) -> bool {
        if permissions::kind::is_thread(channel.kind) {
            return self.parent(channel).is_some_and(|parent| parent.nsfw);
        }
        channel.nsfw
    }

    fn add_member(&mut self, member: Member) {
        if let Some(user) = &member.user {
            self.members.insert(user.id, member);
        }
    }

    /// Applies an event of this guild.
    pub(super) fn apply(&mut self, event: &Event) -> Applied {
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
    pub(super) fn swap(&mut self, version: &str) -> bool {
        let whole = |p: &Pending| p.version == version && p.is_whole();
        let Some(mut pending) = self.pending.take().filter(whole) else {
            tracing::warn!(guild = self.guild.id, "a snapshot of a guild was not whole");
            return false;
        };
        let lists = |id| pending.channels.contains_key(&id);
        let known = std::mem::take(&mut self.channels).into_iter();
        let kept: Vec<_> = known
            .filter_map(|(id, channel)| Some((id, channel.after_snapshot(lists)?)))
            .collect();
        pending.channels.extend(kept);
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
