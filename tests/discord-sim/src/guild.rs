//! A guild with its roles and members, and a user: what they are and how Discord writes them.
//! Shapes: <https://discord.com/developers/docs/resources/guild>, `/resources/user`, `/topics/permissions`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::object::set;
use crate::permission::Permissions;
use crate::snowflake::{Snowflake, iso8601};

/// An account, as everybody sees it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct User {
    pub(crate) id: Snowflake,
    pub(crate) username: String,
    pub(crate) discriminator: &'static str,
    pub(crate) global_name: Option<String>,
    pub(crate) avatar: Option<String>,
    pub(crate) bot: bool,
    pub(crate) public_flags: u64,
}

impl User {
    pub(crate) fn human(id: Snowflake, username: &str, global_name: Option<&str>) -> Self {
        Self {
            id,
            username: username.to_owned(),
            discriminator: "0",
            global_name: global_name.map(str::to_owned),
            avatar: Some(picture_hash(id)),
            bot: false,
            public_flags: 0,
        }
    }
}

/// The hash that names a picture of somebody or something; it is the same from start to start.
pub(crate) fn picture_hash(id: Snowflake) -> String {
    let name = id.to_string();
    let words = [17_u64, 31].map(|factor| {
        let digits = name.bytes().map(u64::from);
        digits.fold(factor, |hash, digit| {
            (hash.rotate_left(9) ^ digit).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
    });
    words.map(|word| format!("{word:016x}")).concat()
}

/// A picture that a guild has made an emoji.
#[derive(Clone, Debug)]
pub(crate) struct GuildEmoji {
    pub(crate) id: Snowflake,
    pub(crate) name: String,
}

impl GuildEmoji {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "roles": [],
            "require_colons": true,
            "managed": false,
            "animated": false,
            "available": true,
        })
    }
}

/// How the bot stands to a guild.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    Available,
    /// An outage: the guild is there, and nothing is heard of it.
    Unavailable,
    /// The bot was removed.
    Left,
}

/// A role of one guild. The role whose id is the guild's is `@everyone`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Role {
    pub(crate) id: Snowflake,
    pub(crate) name: String,
    pub(crate) color: u32,
    pub(crate) colors: Colors,
    pub(crate) hoist: bool,
    pub(crate) icon: Option<String>,
    pub(crate) unicode_emoji: Option<String>,
    pub(crate) position: i64,
    pub(crate) permissions: Permissions,
    pub(crate) managed: bool,
    pub(crate) mentionable: bool,
    pub(crate) flags: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<Value>,
}

/// A role's colours; the first equals the older `color`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Colors {
    #[serde(rename = "primary_color")]
    primary: u32,
    #[serde(rename = "secondary_color")]
    secondary: Option<u32>,
    #[serde(rename = "tertiary_color")]
    tertiary: Option<u32>,
}

impl Role {
    pub(crate) fn new(id: Snowflake, name: &str, position: i64, permissions: Permissions) -> Self {
        Self {
            id,
            name: name.to_owned(),
            color: 0,
            colors: Colors {
                primary: 0,
                secondary: None,
                tertiary: None,
            },
            hoist: false,
            icon: None,
            unicode_emoji: None,
            position,
            permissions,
            managed: false,
            mentionable: false,
            flags: 0,
            tags: None,
        }
    }

    pub(crate) fn set_color(&mut self, color: u32) {
        self.color = color;
        self.colors.primary = color;
    }
}

/// What a guild knows of one user; the user is kept apart.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) nick: Option<String>,
    pub(crate) roles: Vec<Snowflake>,
    pub(crate) joined_ms: u64,
    pub(crate) deaf: bool,
    pub(crate) mute: bool,
    /// ISO 8601, as the client gave it.
    pub(crate) timed_out_until: Option<String>,
}

impl Member {
    pub(crate) fn new(joined_ms: u64, roles: Vec<Snowflake>) -> Self {
        Self {
            nick: None,
            roles,
            joined_ms,
            deaf: false,
            mute: false,
            timed_out_until: None,
        }
    }

    /// The member object without its user, as messages carry it.
    pub(crate) fn to_partial_json(&self) -> Value {
        json!({
            "nick": self.nick,
            "avatar": null,
            "banner": null,
            "roles": self.roles,
            "joined_at": iso8601(self.joined_ms),
            "premium_since": null,
            "deaf": self.deaf,
            "mute": self.mute,
            "flags": 0,
            "pending": false,
            "communication_disabled_until": self.timed_out_until,
        })
    }

    /// The whole member object.
    pub(crate) fn to_json(&self, user: &User) -> Value {
        let mut member = self.to_partial_json();
        set(&mut member, "user", json!(user));
        member
    }
}

/// A guild, without its channels.
#[derive(Debug)]
pub(crate) struct Guild {
    pub(crate) id: Snowflake,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) owner_id: Snowflake,
    pub(crate) icon: Option<String>,
    pub(crate) emojis: Vec<GuildEmoji>,
    pub(crate) standing: Standing,
    pub(crate) roles: BTreeMap<Snowflake, Role>,
    pub(crate) members: BTreeMap<Snowflake, Member>,
    /// Who is banned, and the reason given.
    pub(crate) bans: BTreeMap<Snowflake, Option<String>>,
}

impl Guild {
    /// The guild object of `GET /guilds/{id}` and `GUILD_UPDATE`.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "owner_id": self.owner_id,
            "icon": self.icon,
            "splash": null,
            "discovery_splash": null,
            "banner": null,
            "afk_channel_id": null,
            "afk_timeout": 300,
            "application_id": null,
            "default_message_notifications": 1,
            "explicit_content_filter": 0,
            "verification_level": 1,
            "mfa_level": 0,
            "nsfw_level": 0,
            "nsfw": false,
            "features": ["COMMUNITY", "NEWS"],
            "emojis": self.emojis.iter().map(GuildEmoji::to_json).collect::<Vec<_>>(),
            "stickers": [],
            "roles": self.roles.values().collect::<Vec<_>>(),
            "preferred_locale": "en-US",
            "premium_tier": 0,
            "premium_subscription_count": 0,
            "premium_progress_bar_enabled": false,
            "max_members": 500_000,
            "max_presences": null,
            "max_video_channel_users": 25,
            "max_stage_video_channel_users": 50,
            "public_updates_channel_id": null,
            "rules_channel_id": null,
            "safety_alerts_channel_id": null,
            "system_channel_flags": 0,
            "system_channel_id": null,
            "vanity_url_code": null,
            "widget_enabled": false,
            "widget_channel_id": null,
        })
    }
}
