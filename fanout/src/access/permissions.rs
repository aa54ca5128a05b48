//! Discord's permission algorithm (<https://docs.discord.com/developers/topics/permissions>).
//!
//! The owner and ADMINISTRATOR have everything. Otherwise: @everyone and the member's roles, then the
//! channel's overwrites in the order @everyone, roles (all denials, then all grants), member. Threads use
//! their parent's overwrites, a private thread needs membership or `MANAGE_THREADS`, voice channels CONNECT
//! too. Unknown bits pass through.

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
    /// `SEND_MESSAGES`, in threads `SEND_MESSAGES_IN_THREADS`.
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
    let seen = is_seen(channel, viewer.as_ref(), bits);
    seen.then(|| of_bits(channel, bits, viewer.is_some()))
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
fn permissions(
    guild: &GuildView,
    channel: &Channel,
    member: Option<&MemberView>,
    now_ms: i64,
) -> u64 {
    let everyone = guild.everyone_bits();
    let Some(member) = member else {
        return overwritten(guild, channel, everyone, None);
    };
    let base = member
        .roles()
        .iter()
        .fold(everyone, |bits, role| bits | guild.role_bits(*role));
    if guild.is_owner(member.user) || base & ADMINISTRATOR != 0 {
        return u64::MAX;
    }
    let bits = overwritten(guild, channel, base, Some(member));
    if member.timed_out_until_ms() > now_ms {
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

fn is_seen(channel: &Channel, member: Option<&MemberView>, bits: u64) -> bool {
    let has = |needed: u64| bits & needed == needed;
    match channel.kind {
        kind::CATEGORY | kind::DIRECTORY => false,
        kind::VOICE | kind::STAGE => has(VIEW_CHANNEL | CONNECT),
        kind::PRIVATE_THREAD => {
            let joined = member.is_some_and(|m| channel.thread_members.contains(&m.user.get()));
            has(VIEW_CHANNEL) && (joined || has(MANAGE_THREADS))
        }
        _ => has(VIEW_CHANNEL),
    }
}

fn of_bits(channel: &Channel, bits: u64, is_member: bool) -> Access {
    let write = if kind::is_thread(channel.kind) {
        SEND_MESSAGES_IN_THREADS
    } else {
        SEND_MESSAGES
    };
    Access {
        can_read_history: bits & READ_MESSAGE_HISTORY != 0,
        can_write: is_member && bits & write != 0,
        can_manage: is_member && bits & MANAGE_CHANNELS != 0,
    }
}
