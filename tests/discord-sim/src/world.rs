//! Everything the simulated Discord knows: users, guilds, channels, messages.
//! Each operation is a method that changes the world and leaves its events in the outbox, in order; nothing
//! here knows of sessions, sockets or HTTP, and nothing waits.

mod access;
pub(crate) mod channels;
pub(crate) mod files;
mod founding;
mod history;
pub(crate) mod members;
mod message_object;
mod messages;
mod overview;
mod pins;
pub(crate) mod reactions;
pub(crate) mod roles;
mod standing;
pub(crate) mod threads;
pub(crate) mod webhooks;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::channel::{Channel, Kind};
use crate::event::{Event, Intents};
use crate::guild::{Guild, Role, User};
use crate::message::Message;
use crate::object::set;
use crate::permission::Permissions;
use crate::refusal::Refusal;
use crate::snowflake::{Mint, Snowflake, unix_ms};

use self::files::Files;
use self::webhooks::Webhook;

pub(crate) use founding::BOT_ID;

/// How many messages a channel keeps; the oldest go first. Enough for any test's backfill, small enough to forget.
const MESSAGES_PER_CHANNEL_MAX: usize = 5_000;

/// How many people are offered to be: all who have a name of their own, and some more.
const PEOPLE_SHOWN_MAX: usize = 100;

/// The whole simulated Discord, apart from who is connected.
#[derive(Debug, Default)]
pub(crate) struct World {
    mint: Mint,
    users: BTreeMap<Snowflake, User>,
    guilds: BTreeMap<Snowflake, Guild>,
    channels: BTreeMap<Snowflake, Channel>,
    messages: HashMap<Snowflake, BTreeMap<Snowflake, Message>>,
    webhooks: BTreeMap<Snowflake, Webhook>,
    pub(crate) files: Files,
    outbox: Vec<Event>,
    posted: u64,
}

impl World {
    /// The events since the last call, in the order in which they happened.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.outbox)
    }

    /// How many messages were posted since the start; the founding history does not count.
    pub(crate) fn posted(&self) -> u64 {
        self.posted
    }

    /// The guilds that the bot is in.
    pub(crate) fn guild_ids(&self) -> Vec<Snowflake> {
        self.guilds_of(BOT_ID)
    }

    /// Everybody who is no bot and was not made up by number, in the order of their ids.
    pub(crate) fn people(&self) -> impl Iterator<Item = &User> {
        let people = self.users.values().filter(|user| !user.bot);
        people.take(PEOPLE_SHOWN_MAX)
    }

    pub(crate) fn user(&self, id: Snowflake) -> Result<&User, Refusal> {
        self.users.get(&id).ok_or(Refusal::UnknownUser)
    }

    pub(crate) fn guild(&self, id: Snowflake) -> Result<&Guild, Refusal> {
        self.guilds.get(&id).ok_or(Refusal::UnknownGuild)
    }

    pub(crate) fn channel(&self, id: Snowflake) -> Result<&Channel, Refusal> {
        self.channels.get(&id).ok_or(Refusal::UnknownChannel)
    }

    fn guild_mut(&mut self, id: Snowflake) -> Result<&mut Guild, Refusal> {
        self.guilds.get_mut(&id).ok_or(Refusal::UnknownGuild)
    }

    fn channel_mut(&mut self, id: Snowflake) -> Result<&mut Channel, Refusal> {
        self.channels.get_mut(&id).ok_or(Refusal::UnknownChannel)
    }

    /// Channels of a guild, threads left out.
    pub(crate) fn channels_of(&self, guild_id: Snowflake) -> impl Iterator<Item = &Channel> {
        self.channels
            .values()
            .filter(move |channel| channel.guild_id == guild_id && channel.thread.is_none())
    }

    /// Threads of a guild that are not archived.
    pub(crate) fn active_threads_of(&self, guild_id: Snowflake) -> impl Iterator<Item = &Channel> {
        self.channels.values().filter(move |channel| {
            channel.guild_id == guild_id
                && channel
                    .thread
                    .as_ref()
                    .is_some_and(|thread| !thread.archived)
        })
    }

    /// Every channel and active thread that messages can be in.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values().filter(|channel| {
            let is_over = channel
                .thread
                .as_ref()
                .is_some_and(|thread| thread.archived);
            channel.kind.holds_messages() && !is_over
        })
    }

    /// The people who may write in a channel.
    pub(crate) fn speakers(&self, channel_id: Snowflake) -> Vec<Snowflake> {
        let Some(channel) = self.channels.get(&channel_id) else {
            return Vec::new();
        };
        let needed = Permissions::VIEW_CHANNEL | Permissions::SEND_MESSAGES;
        let may_speak = |user: &&User| self.channel_permissions(channel, user.id).contains(needed);
        // Those made up by number are many and have nothing to say.
        let people = self.people().filter(|user| user.global_name.is_some());
        people.filter(may_speak).map(|user| user.id).collect()
    }

    /// Ids of a guild's members that are not bots.
    pub(crate) fn humans_of(&self, guild_id: Snowflake) -> Vec<Snowflake> {
        let Some(guild) = self.guilds.get(&guild_id) else {
            return Vec::new();
        };
        guild
            .members
            .keys()
            .filter(|id| self.users.get(id).is_some_and(|user| !user.bot))
            .copied()
            .collect()
    }

    /// The whole member object of a user.
    pub(crate) fn member_json(
        &self,
        guild_id: Snowflake,
        user_id: Snowflake,
    ) -> Result<Value, Refusal> {
        let member = self.guild(guild_id)?.members.get(&user_id);
        Ok(member
            .ok_or(Refusal::UnknownMember)?
            .to_json(self.user(user_id)?))
    }

    /// `GUILD_CREATE` as a session without the presence intent gets it: of the members only the bot.
    pub(crate) fn guild_create(&self, guild_id: Snowflake) -> Result<Event, Refusal> {
        let guild = self.guild(guild_id)?;
        let in_guild = Channel::to_json_in_guild;
        let mut body = guild.to_json();
        set(&mut body, "joined_at", json!(founding::bot_joined_at()));
        set(&mut body, "large", json!(guild.members.len() > 50));
        set(&mut body, "unavailable", json!(false));
        set(&mut body, "member_count", json!(guild.members.len()));
        set(
            &mut body,
            "members",
            json!([self.member_json(guild_id, BOT_ID)?]),
        );
        set(
            &mut body,
            "channels",
            self.channels_of(guild_id).map(in_guild).collect(),
        );
        // Threads, unlike channels, name their guild even here.
        set(
            &mut body,
            "threads",
            self.active_threads_of(guild_id)
                .filter(|thread| self.bot_sees(thread))
                .map(Channel::to_json)
                .collect(),
        );
        for empty in [
            "voice_states",
            "presences",
            "stage_instances",
            "guild_scheduled_events",
            "soundboard_sounds",
        ] {
            set(&mut body, empty, json!([]));
        }
        Ok(Event {
            name: "GUILD_CREATE",
            guild_id,
            intents: Intents::GUILDS,
            body,
        })
    }

    /// Renames a guild, changes its description or gives it to another member.
    pub(crate) fn patch_guild(
        &mut self,
        guild_id: Snowflake,
        name: Option<String>,
        description: Option<String>,
        owner_id: Option<Snowflake>,
    ) -> Result<Value, Refusal> {
        let guild = self.guild_mut(guild_id)?;
        if let Some(owner_id) = owner_id {
            if !guild.members.contains_key(&owner_id) {
                return Err(Refusal::UnknownMember);
            }
            guild.owner_id = owner_id;
        }
        if let Some(name) = name {
            guild.name = name;
        }
        if description.is_some() {
            guild.description = description;
        }
        let body = guild.to_json();
        self.emit("GUILD_UPDATE", guild_id, Intents::GUILDS, body.clone());
        Ok(body)
    }

    fn everyone_permissions(&self, guild_id: Snowflake) -> Permissions {
        let guild = self.guilds.get(&guild_id);
        let role: Option<&Role> = guild.and_then(|guild| guild.roles.get(&guild_id));
        role.map_or(Permissions::NONE, |role| role.permissions)
    }

    fn new_id(&mut self) -> Snowflake {
        self.mint.mint(unix_ms())
    }

    fn emit(&mut self, name: &'static str, guild_id: Snowflake, intents: Intents, body: Value) {
        if !self.bot_hears(guild_id, name, intents, &body) {
            return;
        }
        self.outbox.push(Event {
            name,
            guild_id,
            intents,
            body,
        });
    }

    /// The channel, if messages can be in it.
    fn messageable(&self, channel_id: Snowflake) -> Result<&Channel, Refusal> {
        let channel = self.channel(channel_id)?;
        if channel.kind.holds_messages() {
            return Ok(channel);
        }
        debug_assert!(channel.kind == Kind::CATEGORY || channel.kind.is_forum());
        Err(Refusal::WrongChannelType)
    }
}
