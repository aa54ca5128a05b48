//! Events as the stream holds them, of one guild and mostly one channel.

use proto::envelope::Opened;
use proto::event::{
    Channel, ChannelDeleted, Event, Guild, GuildRemoved, GuildSnapshotBegin, GuildSnapshotEnd,
    GuildSnapshotPart, Member, MemberRemoved, Message, MessageDeleted, Reaction, ReactionsChanged,
    Role, RoleDeleted, ThreadMembersChanged, User,
};
use proto::id::{ChannelId, GuildId, MessageId, UserId};

pub(crate) const GUILD: u64 = 7;
pub(crate) const CHANNEL: u64 = 80;

pub(crate) fn guild_id(id: u64) -> GuildId {
    GuildId::new(id).unwrap()
}

pub(crate) fn channel_id(id: u64) -> ChannelId {
    ChannelId::new(id).unwrap()
}

pub(crate) fn message_id(id: u64) -> MessageId {
    MessageId::new(id).unwrap()
}

pub(crate) fn user_id(id: u64) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn opened(channel: Option<u64>, event: Event) -> Opened {
    Opened {
        guild: guild_id(GUILD),
        channel: channel.map(channel_id),
        received_ms: 1_700_000_000_500,
        event,
    }
}

pub(crate) fn message(id: u64, content: &str) -> Message {
    Message {
        id,
        channel_id: CHANNEL,
        guild_id: GUILD,
        author: Some(user(3)),
        content: content.into(),
        timestamp_ms: 1_700_000_000_000,
        ..Message::default()
    }
}

pub(crate) fn created(id: u64, content: &str) -> Opened {
    opened(Some(CHANNEL), Event::MessageCreated(message(id, content)))
}

pub(crate) fn updated(id: u64, content: &str) -> Opened {
    let mut message = message(id, content);
    message.edited_timestamp_ms = Some(1_700_000_000_900);
    opened(Some(CHANNEL), Event::MessageUpdated(message))
}

pub(crate) fn deleted(id: u64) -> Opened {
    let deleted = MessageDeleted { message_id: id };
    opened(Some(CHANNEL), Event::MessageDeleted(deleted))
}

/// A total of so many reactions, an emoji each.
pub(crate) fn reacted(id: u64, counts: &[u32]) -> Opened {
    let reaction = |(emoji, count): (char, &u32)| Reaction {
        emoji: emoji.into(),
        count: *count,
        ..Reaction::default()
    };
    let total = ReactionsChanged {
        message_id: id,
        reactions: ('👀'..).zip(counts).map(reaction).collect(),
        mark: None,
    };
    opened(Some(CHANNEL), Event::ReactionsChanged(total))
}

pub(crate) fn user(id: u64) -> User {
    User {
        id,
        username: format!("user{id}"),
        ..User::default()
    }
}

pub(crate) fn member(id: u64, roles: &[u64]) -> Member {
    Member {
        user: Some(user(id)),
        roles: roles.to_vec(),
        ..Member::default()
    }
}

pub(crate) fn role(id: u64, permissions: u64) -> Role {
    Role {
        id,
        name: format!("role{id}"),
        permissions,
        ..Role::default()
    }
}

/// A channel of Discord's type `kind`.
pub(crate) fn channel(id: u64, kind: u32, parent: Option<u64>) -> Channel {
    Channel {
        id,
        kind,
        name: format!("channel{id}"),
        parent_id: parent,
        ..Channel::default()
    }
}

pub(crate) fn guild(name: &str) -> Guild {
    Guild {
        id: GUILD,
        name: name.into(),
        owner_id: 1,
        icon: None,
    }
}

pub(crate) fn guild_updated(name: &str) -> Opened {
    opened(None, Event::GuildUpdated(guild(name)))
}

pub(crate) fn guild_removed() -> Opened {
    opened(None, Event::GuildRemoved(GuildRemoved {}))
}

pub(crate) fn channel_upserted(channel: Channel) -> Opened {
    opened(None, Event::ChannelUpserted(channel))
}

pub(crate) fn channel_deleted(channel_id: u64) -> Opened {
    opened(None, Event::ChannelDeleted(ChannelDeleted { channel_id }))
}

pub(crate) fn role_upserted(role: Role) -> Opened {
    opened(None, Event::RoleUpserted(role))
}

pub(crate) fn role_deleted(role_id: u64) -> Opened {
    opened(None, Event::RoleDeleted(RoleDeleted { role_id }))
}

pub(crate) fn member_upserted(member: Member) -> Opened {
    opened(None, Event::MemberUpserted(member))
}

pub(crate) fn member_removed(user_id: u64) -> Opened {
    opened(None, Event::MemberRemoved(MemberRemoved { user_id }))
}

pub(crate) fn thread_members_changed(thread_id: u64, added: &[u64], removed: &[u64]) -> Opened {
    let changed = ThreadMembersChanged {
        thread_id,
        added: added.to_vec(),
        removed: removed.to_vec(),
    };
    opened(None, Event::ThreadMembersChanged(changed))
}

/// A part of a snapshot of this version.
pub(crate) fn part(
    version: &str,
    roles: &[Role],
    channels: &[Channel],
    members: &[Member],
) -> Opened {
    let part = GuildSnapshotPart {
        version: version.into(),
        roles: roles.to_vec(),
        channels: channels.to_vec(),
        members: members.to_vec(),
    };
    opened(None, Event::GuildSnapshotPart(part))
}

/// The beginning of a snapshot of so many roles, channels and members.
pub(crate) fn begin(version: &str, name: &str, counts: [u32; 3]) -> Opened {
    let [roles, channels, members] = counts;
    let begin = GuildSnapshotBegin {
        version: version.into(),
        guild: Some(guild(name)),
        roles,
        channels,
        members,
    };
    opened(None, Event::GuildSnapshotBegin(begin))
}

pub(crate) fn end(version: &str) -> Opened {
    let version = version.into();
    opened(None, Event::GuildSnapshotEnd(GuildSnapshotEnd { version }))
}

/// A whole snapshot in one part.
pub(crate) fn snapshot(
    version: &str,
    roles: &[Role],
    channels: &[Channel],
    members: &[Member],
) -> [Opened; 3] {
    let counts = [roles.len(), channels.len(), members.len()];
    let counts = counts.map(|count| u32::try_from(count).unwrap());
    [
        begin(version, version, counts),
        part(version, roles, channels, members),
        end(version),
    ]
}
