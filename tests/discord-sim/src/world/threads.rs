//! Threads: begun from a message, in a channel, or as a post of a forum; joined and left.
//! A thread begun from a message has that message's id, and a post has its first message's. <https://discord.com/developers/docs/topics/threads>.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{BOT_ID, World};
use crate::channel::{Channel, Kind, Thread};
use crate::event::Intents;
use crate::message::{Draft, Upload};
use crate::object::set;
use crate::refusal::Refusal;
use crate::snowflake::{Snowflake, unix_ms};

/// The body of a request that starts a thread. `owner_id` is the simulator's own: it lets a member begin.
#[derive(Debug, Deserialize)]
pub(crate) struct ThreadDraft {
    name: String,
    #[serde(rename = "type")]
    kind: Option<Kind>,
    auto_archive_duration: Option<u64>,
    owner_id: Option<Snowflake>,
    /// The first message; required in a forum.
    message: Option<Draft>,
}

impl ThreadDraft {
    /// A thread on a message.
    pub(crate) fn named(name: &str, owner_id: Option<Snowflake>) -> Self {
        Self {
            name: name.to_owned(),
            kind: None,
            auto_archive_duration: None,
            owner_id,
            message: None,
        }
    }

    /// Gives the first message its files.
    pub(crate) fn attach(&mut self, uploads: Vec<Upload>) {
        if let Some(first) = &mut self.message {
            first.uploads = uploads;
        }
    }
}

impl World {
    /// Starts a thread; `message_id` names the message that it hangs on.
    pub(crate) fn start_thread(
        &mut self,
        parent_id: Snowflake,
        message_id: Option<Snowflake>,
        draft: ThreadDraft,
    ) -> Result<Value, Refusal> {
        let parent = self.channel(parent_id)?;
        let (guild_id, parent_kind) = (parent.guild_id, parent.kind);
        let kind = thread_kind(parent_kind, message_id, draft.kind)?;
        if parent_kind.is_forum() != draft.message.is_some() {
            return Err(Refusal::Form(
                "message: belongs to a forum's posts, and only there".to_owned(),
            ));
        }
        if let Some(message_id) = message_id {
            self.find(parent_id, message_id)
                .ok_or(Refusal::UnknownMessage)?;
            if self.channels.contains_key(&message_id) {
                return Err(Refusal::Form(
                    "a thread has already been created for this message".to_owned(),
                ));
            }
        }
        let opening = draft.message.as_ref();
        let owner_id = draft
            .owner_id
            .or(opening.and_then(|first| first.author_id))
            .unwrap_or(BOT_ID);
        self.user(owner_id)?;
        let id = message_id.unwrap_or_else(|| self.new_id());
        let mut channel = Channel::new(id, guild_id, kind, &draft.name);
        channel.parent_id = Some(parent_id);
        channel.thread = Some(Thread {
            owner_id,
            archived: false,
            locked: false,
            archive_changed_ms: unix_ms(),
            auto_archive_minutes: draft.auto_archive_duration.unwrap_or(4_320),
            message_count: 0,
            member_ids: BTreeSet::from([owner_id]),
        });
        self.announce_thread(channel);
        if let Some(mut first) = draft.message {
            // A post and its first message have one id.
            first.id = Some(id);
            self.post(id, first)?;
        }
        self.channel(id).map(Channel::to_json)
    }

    fn announce_thread(&mut self, channel: Channel) {
        let (id, guild_id, parent_id) = (channel.id, channel.guild_id, channel.parent_id);
        let mut body = channel.to_json();
        set(&mut body, "newly_created", json!(true));
        self.channels.insert(id, channel);
        if let Some(parent) = parent_id.and_then(|parent| self.channels.get_mut(&parent))
            && parent.kind.is_forum()
        {
            parent.last_message_id = Some(id);
        }
        self.emit("THREAD_CREATE", guild_id, Intents::GUILDS, body);
    }

    /// Adds somebody to a thread or takes somebody out.
    pub(crate) fn set_thread_member(
        &mut self,
        thread_id: Snowflake,
        user_id: Snowflake,
        is_member: bool,
    ) -> Result<(), Refusal> {
        let channel = self.channel(thread_id)?;
        let (guild_id, was_seen) = (channel.guild_id, self.bot_sees(channel));
        let member = self.member_json(guild_id, user_id)?;
        let thread = self.channel_mut(thread_id)?.thread.as_mut();
        let thread = thread.ok_or(Refusal::WrongChannelType)?;
        let changed = if is_member {
            thread.member_ids.insert(user_id)
        } else {
            thread.member_ids.remove(&user_id)
        };
        if !changed {
            return Ok(());
        }
        let mut body = json!({
            "id": thread_id,
            "guild_id": guild_id,
            "member_count": thread.member_ids.len().min(50),
        });
        if is_member {
            let mut added = thread_member_json(thread_id, user_id);
            set(&mut added, "member", member);
            set(&mut body, "added_members", json!([added]));
        } else {
            set(&mut body, "removed_member_ids", json!([user_id]));
        }
        // Whoever is let into a private thread hears of it as of a new one.
        let channel = self.channel(thread_id)?;
        if !was_seen && self.bot_sees(channel) {
            let created = channel.to_json();
            self.emit("THREAD_CREATE", guild_id, Intents::GUILDS, created);
        }
        // Without the members intent a session hears of the bot alone.
        let intents = if user_id == BOT_ID {
            Intents::GUILDS
        } else {
            Intents::MEMBERS
        };
        self.emit("THREAD_MEMBERS_UPDATE", guild_id, intents, body);
        Ok(())
    }

    /// Opens an archived thread again, as a message in it does.
    pub(super) fn unarchive(&mut self, thread_id: Snowflake) -> Result<(), Refusal> {
        let thread = self.channel_mut(thread_id)?.thread.as_mut();
        let thread = thread.ok_or(Refusal::WrongChannelType)?;
        thread.archived = false;
        thread.archive_changed_ms = unix_ms();
        self.announce_channel(thread_id);
        Ok(())
    }

    /// A channel's archived threads, the last archived first: public ones, or private ones that the bot is let into.
    pub(crate) fn archived_threads(
        &self,
        parent_id: Snowflake,
        is_private: bool,
    ) -> Result<Value, Refusal> {
        self.seen_channel(parent_id)?;
        let archived = |channel: &&Channel| {
            let thread = channel.thread.as_ref();
            channel.parent_id == Some(parent_id)
                && thread.is_some_and(|thread| thread.archived)
                && (channel.kind == Kind::PRIVATE_THREAD) == is_private
                && self.bot_sees(channel)
        };
        let mut threads: Vec<_> = self.channels.values().filter(archived).collect();
        let changed = |channel: &Channel| {
            channel
                .thread
                .as_ref()
                .map(|thread| thread.archive_changed_ms)
        };
        threads.sort_by_key(|thread| std::cmp::Reverse(changed(thread)));
        let threads: Vec<_> = threads.into_iter().map(Channel::to_json).collect();
        Ok(json!({ "threads": threads, "members": [], "has_more": false }))
    }

    pub(crate) fn thread_members(&self, thread_id: Snowflake) -> Result<Value, Refusal> {
        let thread = self.seen_channel(thread_id)?.thread.as_ref();
        let ids = &thread.ok_or(Refusal::WrongChannelType)?.member_ids;
        Ok(ids
            .iter()
            .map(|user_id| thread_member_json(thread_id, *user_id))
            .collect())
    }

    /// `GET /guilds/{id}/threads/active`.
    pub(crate) fn active_threads(&self, guild_id: Snowflake) -> Result<Value, Refusal> {
        self.guild(guild_id)?;
        let threads: Vec<_> = self
            .active_threads_of(guild_id)
            .filter(|thread| self.bot_sees(thread))
            .map(Channel::to_json)
            .collect();
        Ok(json!({ "threads": threads, "members": [] }))
    }
}

fn thread_kind(
    parent: Kind,
    message_id: Option<Snowflake>,
    wanted: Option<Kind>,
) -> Result<Kind, Refusal> {
    match parent {
        Kind::ANNOUNCEMENT => Ok(Kind::ANNOUNCEMENT_THREAD),
        Kind::TEXT if message_id.is_none() => match wanted.unwrap_or(Kind::PRIVATE_THREAD) {
            kind @ (Kind::PUBLIC_THREAD | Kind::PRIVATE_THREAD) => Ok(kind),
            _ => Err(Refusal::Form(
                "type: not a thread of a text channel".to_owned(),
            )),
        },
        Kind::TEXT => Ok(Kind::PUBLIC_THREAD),
        parent if parent.is_forum() && message_id.is_none() => Ok(Kind::PUBLIC_THREAD),
        _ => Err(Refusal::WrongChannelType),
    }
}

fn thread_member_json(thread_id: Snowflake, user_id: Snowflake) -> Value {
    json!({
        "id": thread_id,
        "user_id": user_id,
        "join_timestamp": crate::snowflake::iso8601(thread_id.unix_ms()),
        "flags": 0,
    })
}
