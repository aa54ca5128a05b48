//! The directory's objects: guild, role, channel or thread, member.
//!
//! Shapes: <https://docs.discord.com/developers/resources/guild>, <https://docs.discord.com/developers/resources/channel>.
//! Permission bits that nobody knows yet survive.

use proto::event::{Channel, Guild, Member, Overwrite, Role};

use super::json::Object;
use super::message::user;

/// Reads a guild; none without an id.
pub(super) fn guild(object: &Object<'_>) -> Option<Guild> {
    Some(Guild {
        id: object.id("id")?,
        name: object.text("name").unwrap_or_default(),
        owner_id: object.id("owner_id").unwrap_or_default(),
        icon: object.text("icon"),
    })
}

/// Reads a role; none without an id.
pub(super) fn role(object: &Object<'_>) -> Option<Role> {
    Some(Role {
        id: object.id("id")?,
        name: object.text("name").unwrap_or_default(),
        permissions: object.number("permissions").unwrap_or_default(),
        position: object.number("position").unwrap_or_default(),
        color: object.number("color").unwrap_or_default(),
    })
}

/// Reads a channel or a thread; none without an id.
pub(super) fn channel(object: &Object<'_>) -> Option<Channel> {
    let overwrites = object.objects("permission_overwrites");
    let thread = object.object("thread_metadata");
    Some(Channel {
        id: object.id("id")?,
        kind: object.number("type").unwrap_or_default(),
        name: object.text("name").unwrap_or_default(),
        topic: object.text("topic"),
        position: object.number("position").unwrap_or_default(),
        parent_id: object.id("parent_id"),
        nsfw: object.flag("nsfw"),
        overwrites: overwrites.iter().filter_map(overwrite).collect(),
        archived: thread.is_some_and(|thread| thread.flag("archived")),
        last_message_id: object.id("last_message_id"),
        thread_members: Vec::new(),
    })
}

/// Reads a member; none without its user.
pub(super) fn member(object: &Object<'_>) -> Option<Member> {
    Some(Member {
        user: Some(user(&object.object("user")?)?),
        nick: object.text("nick"),
        roles: object.ids("roles"),
        timed_out_until_ms: object.time_ms("communication_disabled_until"),
    })
}

fn overwrite(object: &Object<'_>) -> Option<Overwrite> {
    Some(Overwrite {
        id: object.id("id")?,
        // 0 is a role, 1 a member.
        member: object.number::<u32>("type") == Some(1) || object.raw("type") == Some("\"member\""),
        allow: object.number("allow").unwrap_or_default(),
        deny: object.number("deny").unwrap_or_default(),
    })
}
