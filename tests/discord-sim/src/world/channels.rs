//! Channels: created, changed, deleted, and their permission overwrites.

use serde::Deserialize;
use serde_json::Value;

use super::World;
use crate::channel::{Channel, Kind, Overwrite};
use crate::event::Intents;
use crate::object::Patch;
use crate::permission::Permissions;
use crate::refusal::Refusal;
use crate::snowflake::{Snowflake, unix_ms};

/// How many channels a guild may have; Discord's own limit.
const CHANNELS_PER_GUILD_MAX: usize = 500;

/// The body of a request that creates a channel.
#[derive(Debug, Deserialize)]
pub(crate) struct ChannelDraft {
    name: String,
    #[serde(default = "text_channel", rename = "type")]
    kind: Kind,
    #[serde(flatten)]
    rest: ChannelPatch,
}

fn text_channel() -> Kind {
    Kind::TEXT
}

/// The body of a request that changes a channel or thread; what is absent stays, what is null is cleared.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ChannelPatch {
    name: Option<String>,
    topic: Patch<String>,
    position: Option<i64>,
    parent_id: Patch<Snowflake>,
    nsfw: Option<bool>,
    rate_limit_per_user: Option<u64>,
    permission_overwrites: Option<Vec<Overwrite>>,
    archived: Option<bool>,
    locked: Option<bool>,
}

impl ChannelPatch {
    /// A change of place alone.
    pub(crate) fn moved(position: Option<i64>, parent_id: Patch<Snowflake>) -> Self {
        Self {
            position,
            parent_id,
            ..Self::default()
        }
    }
}

/// The body of a request that sets one overwrite.
#[derive(Debug, Deserialize)]
pub(crate) struct OverwriteDraft {
    #[serde(rename = "type", default)]
    kind: u8,
    #[serde(default)]
    allow: Permissions,
    #[serde(default)]
    deny: Permissions,
}

impl World {
    pub(crate) fn create_channel(
        &mut self,
        guild_id: Snowflake,
        draft: ChannelDraft,
    ) -> Result<Value, Refusal> {
        self.guild(guild_id)?;
        check_name(&draft.name)?;
        if !draft.kind.can_be_created() {
            return Err(Refusal::Form(
                "type: not a channel that can be created".to_owned(),
            ));
        }
        if self.channels_of(guild_id).count() >= CHANNELS_PER_GUILD_MAX {
            return Err(Refusal::Form("the guild has its most channels".to_owned()));
        }
        self.check_parent(guild_id, draft.rest.parent_id.value().copied())?;
        let id = self.new_id();
        let mut channel = Channel::new(id, guild_id, draft.kind, &draft.name);
        let last = self.channels_of(guild_id).map(|other| other.position).max();
        channel.position = last.map_or(0, |last| last + 1);
        apply(&mut channel, draft.rest);
        let body = channel.to_json();
        self.channels.insert(id, channel);
        self.emit("CHANNEL_CREATE", guild_id, Intents::GUILDS, body.clone());
        Ok(body)
    }

    /// Changes a channel or a thread.
    pub(crate) fn patch_channel(
        &mut self,
        id: Snowflake,
        patch: ChannelPatch,
    ) -> Result<Value, Refusal> {
        let channel = self.channel(id)?;
        if let Some(name) = &patch.name {
            check_name(name)?;
        }
        if channel.thread.is_some() && patch.parent_id != Patch::Absent {
            return Err(Refusal::Form(
                "parent_id: a thread stays where it is".to_owned(),
            ));
        }
        self.check_parent(channel.guild_id, patch.parent_id.value().copied())?;
        let channel = self.channel_mut(id)?;
        apply(channel, patch);
        Ok(self.announce_channel(id))
    }

    /// Deletes a channel with its threads, or a thread. A deleted category lets its channels go free.
    pub(crate) fn delete_channel(&mut self, id: Snowflake) -> Result<Value, Refusal> {
        let channel = self.channels.remove(&id).ok_or(Refusal::UnknownChannel)?;
        self.messages.remove(&id);
        let children: Vec<_> = self
            .channels
            .values()
            .filter(|child| child.parent_id == Some(id))
            .cloned()
            .collect();
        for child in &children {
            if child.thread.is_some() {
                self.channels.remove(&child.id);
                self.messages.remove(&child.id);
            } else if let Some(freed) = self.channels.get_mut(&child.id) {
                freed.parent_id = None;
                self.announce_channel(child.id);
            }
        }
        let body = channel.to_json();
        if channel.thread.is_some() {
            let gone = serde_json::json!({
                "id": id, "guild_id": channel.guild_id, "parent_id": channel.parent_id, "type": channel.kind,
            });
            self.emit("THREAD_DELETE", channel.guild_id, Intents::GUILDS, gone);
        } else {
            self.emit(
                "CHANNEL_DELETE",
                channel.guild_id,
                Intents::GUILDS,
                body.clone(),
            );
        }
        Ok(body)
    }

    pub(crate) fn put_overwrite(
        &mut self,
        channel_id: Snowflake,
        id: Snowflake,
        draft: &OverwriteDraft,
    ) -> Result<(), Refusal> {
        let guild = self.guild(self.channel(channel_id)?.guild_id)?;
        let known = match draft.kind {
            0 => guild.roles.contains_key(&id),
            // Discord takes an overwrite for a user who has left, or who has not come yet.
            1 => self.users.contains_key(&id),
            _ => return Err(Refusal::Form("type: 0 (role) or 1 (member)".to_owned())),
        };
        if !known {
            return Err(if draft.kind == 0 {
                Refusal::UnknownRole
            } else {
                Refusal::UnknownUser
            });
        }
        let channel = self.channel_mut(channel_id)?;
        if channel.thread.is_some() {
            return Err(Refusal::WrongChannelType);
        }
        channel.overwrites.retain(|overwrite| overwrite.id != id);
        let (kind, allow, deny) = (draft.kind, draft.allow, draft.deny);
        channel.overwrites.push(Overwrite {
            id,
            kind,
            allow,
            deny,
        });
        self.announce_channel(channel_id);
        Ok(())
    }

    pub(crate) fn delete_overwrite(
        &mut self,
        channel_id: Snowflake,
        id: Snowflake,
    ) -> Result<(), Refusal> {
        let channel = self.channel_mut(channel_id)?;
        let before = channel.overwrites.len();
        channel.overwrites.retain(|overwrite| overwrite.id != id);
        if channel.overwrites.len() == before {
            return Err(Refusal::UnknownOverwrite);
        }
        self.announce_channel(channel_id);
        Ok(())
    }

    /// Says how a channel or thread is now.
    pub(super) fn announce_channel(&mut self, id: Snowflake) -> Value {
        let Some(channel) = self.channels.get(&id) else {
            return Value::Null;
        };
        let (guild_id, body) = (channel.guild_id, channel.to_json());
        let name = if channel.thread.is_some() {
            "THREAD_UPDATE"
        } else {
            "CHANNEL_UPDATE"
        };
        self.emit(name, guild_id, Intents::GUILDS, body.clone());
        body
    }

    fn check_parent(
        &self,
        guild_id: Snowflake,
        parent_id: Option<Snowflake>,
    ) -> Result<(), Refusal> {
        let Some(parent_id) = parent_id else {
            return Ok(());
        };
        let parent = self.channels.get(&parent_id);
        if parent.is_some_and(|parent| parent.guild_id == guild_id && parent.kind == Kind::CATEGORY)
        {
            return Ok(());
        }
        Err(Refusal::Form(
            "parent_id: not a category of this guild".to_owned(),
        ))
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if (1..=100).contains(&name.chars().count()) {
        return Ok(());
    }
    Err(Refusal::Form(
        "name: must be between 1 and 100 in length".to_owned(),
    ))
}

fn apply(channel: &mut Channel, patch: ChannelPatch) {
    if let Some(name) = patch.name {
        channel.name = name;
    }
    channel.slowmode_seconds = patch
        .rate_limit_per_user
        .unwrap_or(channel.slowmode_seconds);
    if let Some(thread) = &mut channel.thread {
        if patch
            .archived
            .is_some_and(|archived| archived != thread.archived)
        {
            thread.archived = !thread.archived;
            thread.archive_changed_ms = unix_ms();
        }
        thread.locked = patch.locked.unwrap_or(thread.locked);
        return;
    }
    patch.topic.apply(&mut channel.topic);
    patch.parent_id.apply(&mut channel.parent_id);
    if let Some(overwrites) = patch.permission_overwrites {
        channel.overwrites = overwrites;
    }
    channel.position = patch.position.unwrap_or(channel.position);
    channel.nsfw = patch.nsfw.unwrap_or(channel.nsfw);
}
