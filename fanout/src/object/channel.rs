//! `Channel`, as a viewer who may see it gets it.

use proto::event::Channel;
use serde::Serialize;

use crate::access::{Access, Place, kind};

/// A channel and what the viewer may do in it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelObject<'a> {
    id: String,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    server_id: String,
    server_name: &'a str,
    position: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    nsfw: bool,
    unread_count: u32,
    is_active: bool,
    permissions: Permissions,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Permissions {
    can_read: bool,
    can_write: bool,
    can_manage: bool,
}

/// The object of a channel that a viewer with this access sees.
pub fn channel_object(place: Place<'_>, access: Access) -> ChannelObject<'_> {
    let Place { guild, channel, .. } = place;
    ChannelObject {
        id: channel.id.to_string(),
        name: &channel.name,
        kind: kind_name(channel.kind),
        server_id: guild.id.to_string(),
        server_name: &guild.name,
        position: channel.position,
        parent_id: channel.parent_id.map(|id| id.to_string()),
        topic: channel.topic.as_deref(),
        nsfw: place.is_nsfw,
        unread_count: 0,
        is_active: !channel.archived,
        permissions: Permissions {
            can_read: true,
            can_write: access.can_write,
            can_manage: access.can_manage,
        },
    }
}

/// Whether viewers see two states of a channel alike, whatever they may do in it.
pub fn is_shown_alike(one: &Channel, other: &Channel) -> bool {
    let shown = |channel: &Channel| {
        (
            channel.kind,
            channel.position,
            channel.parent_id,
            channel.nsfw,
            channel.archived,
        )
    };
    shown(one) == shown(other) && one.name == other.name && one.topic == other.topic
}

fn kind_name(number: u32) -> &'static str {
    match number {
        kind::ANNOUNCEMENT => "announcement",
        kind::FORUM | kind::MEDIA => "forum",
        kind::VOICE | kind::STAGE => "voice",
        number if kind::is_thread(number) => "thread",
        _ => "text",
    }
}
