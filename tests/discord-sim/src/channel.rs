//! A channel or a thread, and how Discord writes it.
//! It refuses to know who may see it, save for the one question whether everyone may.
//! Shape: <https://discord.com/developers/docs/resources/channel#channel-object>.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::object::set;
use crate::permission::Permissions;
use crate::snowflake::{Snowflake, iso8601};

/// Discord's number for what a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Kind(pub(crate) u8);

impl Kind {
    pub(crate) const TEXT: Self = Self(0);
    pub(crate) const VOICE: Self = Self(2);
    pub(crate) const CATEGORY: Self = Self(4);
    pub(crate) const ANNOUNCEMENT: Self = Self(5);
    pub(crate) const ANNOUNCEMENT_THREAD: Self = Self(10);
    pub(crate) const PUBLIC_THREAD: Self = Self(11);
    pub(crate) const PRIVATE_THREAD: Self = Self(12);
    pub(crate) const STAGE: Self = Self(13);
    pub(crate) const FORUM: Self = Self(15);
    pub(crate) const MEDIA: Self = Self(16);

    /// Whether messages can be posted there directly.
    pub(crate) fn holds_messages(self) -> bool {
        self.is_thread()
            || [Self::TEXT, Self::VOICE, Self::ANNOUNCEMENT, Self::STAGE].contains(&self)
    }

    pub(crate) fn is_thread(self) -> bool {
        [
            Self::ANNOUNCEMENT_THREAD,
            Self::PUBLIC_THREAD,
            Self::PRIVATE_THREAD,
        ]
        .contains(&self)
    }

    pub(crate) fn is_forum(self) -> bool {
        [Self::FORUM, Self::MEDIA].contains(&self)
    }

    /// Whether a guild may be asked to create one.
    pub(crate) fn can_be_created(self) -> bool {
        [Self::CATEGORY, Self::FORUM, Self::MEDIA].contains(&self)
            || (self.holds_messages() && !self.is_thread())
    }
}

/// An exception to a role's or a member's permissions in one channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Overwrite {
    pub(crate) id: Snowflake,
    /// 0 for a role, 1 for a member.
    #[serde(rename = "type", default)]
    pub(crate) kind: u8,
    #[serde(default)]
    pub(crate) allow: Permissions,
    #[serde(default)]
    pub(crate) deny: Permissions,
}

/// What a thread has and a channel has not.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) owner_id: Snowflake,
    pub(crate) archived: bool,
    pub(crate) locked: bool,
    pub(crate) archive_changed_ms: u64,
    pub(crate) auto_archive_minutes: u64,
    pub(crate) message_count: u32,
    pub(crate) member_ids: BTreeSet<Snowflake>,
}

/// A channel of a guild; a thread is one with `thread`.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) id: Snowflake,
    pub(crate) guild_id: Snowflake,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) position: i64,
    pub(crate) parent_id: Option<Snowflake>,
    pub(crate) topic: Option<String>,
    pub(crate) nsfw: bool,
    pub(crate) slowmode_seconds: u64,
    pub(crate) overwrites: Vec<Overwrite>,
    pub(crate) last_message_id: Option<Snowflake>,
    pub(crate) thread: Option<Thread>,
}

impl Channel {
    pub(crate) fn new(id: Snowflake, guild_id: Snowflake, kind: Kind, name: &str) -> Self {
        Self {
            id,
            guild_id,
            kind,
            name: name.to_owned(),
            position: 0,
            parent_id: None,
            topic: None,
            nsfw: false,
            slowmode_seconds: 0,
            overwrites: Vec::new(),
            last_message_id: None,
            thread: None,
        }
    }

    /// The object as REST answers it and channel events carry it.
    pub(crate) fn to_json(&self) -> Value {
        let mut channel = self.to_json_in_guild();
        set(&mut channel, "guild_id", json!(self.guild_id));
        channel
    }

    /// The object as `GUILD_CREATE` carries it: there the guild's id goes without saying.
    pub(crate) fn to_json_in_guild(&self) -> Value {
        match &self.thread {
            Some(thread) => self.thread_json(thread),
            None => self.channel_json(),
        }
    }

    fn channel_json(&self) -> Value {
        let mut channel = json!({
            "id": self.id,
            "type": self.kind,
            "name": self.name,
            "position": self.position,
            "parent_id": self.parent_id,
            "permission_overwrites": self.overwrites,
            "flags": 0,
        });
        if self.kind == Kind::CATEGORY {
            return channel;
        }
        set(&mut channel, "nsfw", json!(self.nsfw));
        set(&mut channel, "topic", json!(self.topic));
        set(&mut channel, "last_message_id", json!(self.last_message_id));
        set(
            &mut channel,
            "rate_limit_per_user",
            json!(self.slowmode_seconds),
        );
        if self.kind == Kind::VOICE || self.kind == Kind::STAGE {
            set(&mut channel, "bitrate", json!(64_000));
            set(&mut channel, "user_limit", json!(0));
            set(&mut channel, "rtc_region", Value::Null);
        }
        if self.kind.is_forum() {
            set(&mut channel, "available_tags", json!([]));
            set(&mut channel, "default_reaction_emoji", Value::Null);
            set(&mut channel, "default_sort_order", Value::Null);
            set(&mut channel, "default_forum_layout", json!(0));
        }
        channel
    }

    fn thread_json(&self, thread: &Thread) -> Value {
        json!({
            "id": self.id,
            "type": self.kind,
            "name": self.name,
            "parent_id": self.parent_id,
            "owner_id": thread.owner_id,
            "last_message_id": self.last_message_id,
            "message_count": thread.message_count,
            "total_message_sent": thread.message_count,
            "member_count": thread.member_ids.len().min(50),
            "rate_limit_per_user": self.slowmode_seconds,
            "flags": 0,
            "thread_metadata": {
                "archived": thread.archived,
                "locked": thread.locked,
                "archive_timestamp": iso8601(thread.archive_changed_ms),
                "auto_archive_duration": thread.auto_archive_minutes,
                "create_timestamp": iso8601(self.id.unix_ms()),
                "invitable": true,
            },
        })
    }

    /// Whether `@everyone`, whose role grants `base` in the guild, can see this channel.
    pub(crate) fn is_public(&self, base: Permissions) -> bool {
        let everyone = self
            .overwrites
            .iter()
            .find(|overwrite| overwrite.id == self.guild_id);
        let seen = everyone.map_or(base, |overwrite| {
            base.overwritten(overwrite.allow, overwrite.deny)
        });
        self.kind != Kind::PRIVATE_THREAD && seen.contains(Permissions::VIEW_CHANNEL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_denies_everyone_the_view_is_not_public() {
        let guild_id = Snowflake::at(0, 1);
        let mut channel = Channel::new(Snowflake::at(0, 2), guild_id, Kind::TEXT, "crew");
        assert!(channel.is_public(Permissions::VIEW_CHANNEL));
        channel.overwrites.push(Overwrite {
            id: guild_id,
            kind: 0,
            allow: Permissions::NONE,
            deny: Permissions::VIEW_CHANNEL,
        });
        assert!(!channel.is_public(Permissions::VIEW_CHANNEL));
    }

    #[test]
    fn only_the_form_outside_guild_create_names_the_guild() {
        let channel = Channel::new(
            Snowflake::at(0, 2),
            Snowflake::at(0, 1),
            Kind::TEXT,
            "general",
        );
        assert!(channel.to_json().get("guild_id").is_some());
        assert!(channel.to_json_in_guild().get("guild_id").is_none());
    }
}
