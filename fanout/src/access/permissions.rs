//! Discord's permission algorithm (<https://docs.discord.com/developers/topics/permissions>).
//!
//! The owner and ADMINISTRATOR have everything. Otherwise: @everyone and the member's roles, then the
//! channel's overwrites in the order @everyone, roles (all denials, then all grants), member. Threads are seen
//! with their parent and use its overwrites, a private thread needs membership or `MANAGE_THREADS`, voice
//! channels CONNECT too. A category's overwrites are its own: Discord copies them to its channels. Unknown bits
//! pass through.

use proto::event::{Channel, Member, Overwrite};
use proto::{ChannelId, UserId};

use super::guild::GuildView;

const MANAGE_CHANNELS: u64 = 1 << 4;
const ADMINISTRATOR: u64 = 1 << 3;
const VIEW_CHANNEL: u64 = 1 << 10;
const SEND_MESSAGES: u64 = 1 << 11;
const READ_MESSAGE_HISTORY: u64 = 1 << 16;
const CONNECT: u64 = 1 << 20;
const MANAGE_THREADS: u64 = 1 << 34;
const SEND_MESSAGES_IN_THREADS: u64 = 1 << 38;

/// Discord's numbers of channel types.
pub(crate) mod kind {
    pub(crate) const VOICE: u32 = 2;
    pub(crate) const CATEGORY: u32 = 4;
    pub(crate) const ANNOUNCEMENT: u32 = 5;
    pub(crate) const ANNOUNCEMENT_THREAD: u32 = 10;
    pub(crate) const PRIVATE_THREAD: u32 = 12;
    pub(crate) const STAGE: u32 = 13;
    pub(crate) const DIRECTORY: u32 = 14;
    pub(crate) const FORUM: u32 = 15;
    pub(crate) const MEDIA: u32 = 16;

    /// A thread of any sort.
    pub(crate) fn is_thread(kind: u32) -> bool {
        (ANNOUNCEMENT_THREAD..=PRIVATE_THREAD).contains(&kind)
    }
}

/// What a token grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// What Discord would show this user.
    User(UserId),
    /// Channels that a page shows.
    Embed(Embed),
}

/// Who holds a token, where an object has a form for each: embedded pages are not told the names of members who are
/// mentioned (decisions.md, "Embed tokens").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A user.
    User,
    /// A page that embeds channels.
    Embed,
}

impl Grant {
    /// Who holds a token of it.
    pub fn holder(&self) -> Holder {
        match self {
            Self::User(_) => Holder::User,
            Self::Embed(_) => Holder::Embed,
        }
    }
}

/// What the token of an embedded page grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embed {
    /// The channels that it names.
    pub channels: Vec<ChannelId>,
    /// As far as the bot sees them, and not as far as everyone does.
    pub is_private: bool,
}

/// What a viewer may do in a channel that they may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// `READ_MESSAGE_HISTORY`: pages have messages.
    pub can_read_history: bool,
    /// `SEND_MESSAGES`, in threads `SEND_MESSAGES_IN_THREADS`, in locked ones `MANAGE_THREADS` too.
    pub can_write: bool,
    /// `MANAGE_CHANNELS`.
    pub can_manage: bool,
}

/// What this grant may do in the channel, at this time (for time-outs); none if it may not see it.
pub(super) fn access(
    guild: &GuildView,
    channel: &Channel,
    grant: &Grant,
    now_ms: i64,
) -> Option<Access> {
    // A guild of which only stray events are known decides nothing.
    if guild.id() == 0 {
        return None;
    }
    let viewer = match grant {
        Grant::User(user) => Some(guild.member(*user)?),
        Grant::Embed(embed) => {
            let named = ChannelId::new(channel.id).is_some_and(|id| embed.channels.contains(&id));
            if named && embed.is_private {
                return as_the_bot(channel);
            }
            named.then_some(None)?
        }
    };
    let bits = permissions(guild, channel, viewer.as_ref(), now_ms);
    by_bits(guild, channel, viewer.as_ref(), bits)
}

/// What these bits in the channel let a member do, or everyone alone; none if it is not shown to them.
pub(super) fn by_bits(
    guild: &GuildView,
    channel: &Channel,
    member: Option<&MemberView>,
    bits: u64,
) -> Option<Access> {
    let seen = is_seen(guild, channel, member, bits);
    seen.then(|| of_bits(channel, bits, member.is_some()))
}

/// What the bot sees, read only. Nothing tells which of the members it is; what it does not see Discord does not
/// send it, so that a channel which is known here is one that it sees.
fn as_the_bot(channel: &Channel) -> Option<Access> {
    let is_place = !matches!(channel.kind, kind::CATEGORY | kind::DIRECTORY);
    is_place.then_some(Access {
        can_read_history: true,
        can_write: false,
        can_manage: false,
    })
}

/// The bits of a member in a channel, or of @everyone alone.
pub(super) fn permissions(
    guild: &GuildView,
    channel: &Channel,
    member: Option<&MemberView>,
    now_ms: i64,
) -> u64 {
    let roles = member.map_or(&[][..], MemberView::roles);
    let base = roles.iter().fold(guild.everyone_bits(), |bits, role| {
        bits | guild.role_bits(*role)
    });
    let is_owner = member.is_some_and(|member| guild.is_owner(member.user));
    if is_owner || base & ADMINISTRATOR != 0 {
        return u64::MAX;
    }
    let bits = overwritten(guild, channel, base, member);
    if member.is_some_and(|member| member.timed_out_until_ms() > now_ms) {
        return bits & (VIEW_CHANNEL | READ_MESSAGE_HISTORY);
    }
    bits
}

/// A user of a guild, as the algorithm asks for them.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberView<'a> {
    pub(super) user: UserId,
    /// None for an owner whose record we never met.
    pub(super) record: Option<&'a Member>,
}

impl MemberView<'_> {
    fn roles(&self) -> &[u64] {
        self.record.map_or(&[], |member| &member.roles)
    }

    fn timed_out_until_ms(&self) -> i64 {
        self.record.and_then(|m| m.timed_out_until_ms).unwrap_or(0)
    }
}

fn overwritten(
    guild: &GuildView,
    channel: &Channel,
    base: u64,
    member: Option<&MemberView>,
) -> u64 {
    // A thread whose channel we do not know is nobody's: nothing of @everyone's may leak through it.
    let Some(overwrites) = guild.overwrites(channel) else {
        return 0;
    };
    let of_role = |id: u64| move |o: &&Overwrite| !o.member && o.id == id;
    let mut bits = base;
    if let Some(everyone) = overwrites.iter().find(of_role(guild.id())) {
        bits = (bits & !everyone.deny) | everyone.allow;
    }
    let Some(member) = member else {
        return bits;
    };
    let (mut allow, mut deny) = (0, 0);
    // Discord deletes a role without a word about its members and overwrites: it must exist to count.
    let is_role = |o: &&Overwrite| !o.member && o.id != guild.id() && guild.has_role(o.id);
    for overwrite in overwrites.iter().filter(is_role) {
        if member.roles().contains(&overwrite.id) {
            allow |= overwrite.allow;
            deny |= overwrite.deny;
        }
    }
    bits = (bits & !deny) | allow;
    if let Some(own) = overwrites
        .iter()
        .find(|o| o.member && o.id == member.user.get())
    {
        bits = (bits & !own.deny) | own.allow;
    }
    bits
}

fn is_seen(guild: &GuildView, channel: &Channel, member: Option<&MemberView>, bits: u64) -> bool {
    if !kind::is_thread(channel.kind) {
        return is_open(channel.kind, bits);
    }
    // The bits of a thread are its parent's.
    let has_parent = guild
        .parent(channel)
        .is_some_and(|parent| is_open(parent.kind, bits));
    let joined = || member.is_some_and(|m| channel.thread_members.contains(&m.user.get()));
    let is_let_in = channel.kind != kind::PRIVATE_THREAD || bits & MANAGE_THREADS != 0 || joined();
    has_parent && is_let_in
}

/// A channel of this kind, which is no thread, is shown to who has these bits in it.
fn is_open(kind: u32, bits: u64) -> bool {
    let has = |needed: u64| bits & needed == needed;
    match kind {
        kind::CATEGORY | kind::DIRECTORY => false,
        kind::VOICE | kind::STAGE => has(VIEW_CHANNEL | CONNECT),
        _ => has(VIEW_CHANNEL),
    }
}

/// A message opens an archived thread again, but not a locked one
/// (<https://docs.discord.com/developers/topics/threads>).
fn of_bits(channel: &Channel, bits: u64, is_member: bool) -> Access {
    let write = match (kind::is_thread(channel.kind), channel.locked) {
        (false, _) => SEND_MESSAGES,
        (true, false) => SEND_MESSAGES_IN_THREADS,
        (true, true) => SEND_MESSAGES_IN_THREADS | MANAGE_THREADS,
    };
    Access {
        can_read_history: bits & READ_MESSAGE_HISTORY != 0,
        can_write: is_member && bits & write == write,
        can_manage: is_member && bits & MANAGE_CHANNELS != 0,
    }
}
