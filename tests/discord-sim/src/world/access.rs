//! Who may do what: Discord's algorithm of roles and overwrites, and what the bot itself gets to see.
//! The bot is an ordinary member: of a channel hidden from it, it reads nothing and hears no message.
//! <https://discord.com/developers/docs/topics/permissions#permission-overwrites>.

use serde_json::Value;

use super::{BOT_ID, World};
use crate::channel::{Channel, Kind};
use crate::event::Intents;
use crate::guild::Standing;
use crate::permission::Permissions;
use crate::refusal::Refusal;
use crate::snowflake::Snowflake;

impl World {
    /// What a member may do in a guild, before any channel's overwrites.
    pub(crate) fn guild_permissions(&self, guild_id: Snowflake, user_id: Snowflake) -> Permissions {
        let Some(guild) = self.guilds.get(&guild_id) else {
            return Permissions::NONE;
        };
        if guild.owner_id == user_id {
            return Permissions::ALL;
        }
        let Some(member) = guild.members.get(&user_id) else {
            return Permissions::NONE;
        };
        let of = |id: &Snowflake| guild.roles.get(id).map(|role| role.permissions);
        let base = std::iter::once(&guild_id)
            .chain(&member.roles)
            .filter_map(of)
            .fold(Permissions::NONE, |sum, role| sum | role);
        if base.contains(Permissions::ADMINISTRATOR) {
            return Permissions::ALL;
        }
        base
    }

    /// What a member may do in a channel; a thread has its parent's overwrites.
    pub(crate) fn channel_permissions(&self, channel: &Channel, user_id: Snowflake) -> Permissions {
        let base = self.guild_permissions(channel.guild_id, user_id);
        if base == Permissions::ALL || base == Permissions::NONE {
            return base;
        }
        let parent = channel.parent_id.filter(|_| channel.thread.is_some());
        let place = parent.and_then(|id| self.channels.get(&id));
        let overwrites = &place.unwrap_or(channel).overwrites;
        let guild = self.guilds.get(&channel.guild_id);
        let roles = guild
            .and_then(|guild| guild.members.get(&user_id))
            .map_or(&[] as &[Snowflake], |member| member.roles.as_slice());
        let none = (Permissions::NONE, Permissions::NONE);
        let sum = |wanted: &dyn Fn(Snowflake) -> bool| {
            overwrites
                .iter()
                .filter(|overwrite| wanted(overwrite.id))
                .fold(none, |(allow, deny), overwrite| {
                    (allow | overwrite.allow, deny | overwrite.deny)
                })
        };
        let steps = [
            sum(&|id| id == channel.guild_id),
            sum(&|id| roles.contains(&id)),
            sum(&|id| id == user_id),
        ];
        steps
            .iter()
            .fold(base, |bits, (allow, deny)| bits.overwritten(*allow, *deny))
    }

    /// Whether the bot sees a channel. A private thread it sees as a member of it, or as one who manages threads.
    pub(crate) fn bot_sees(&self, channel: &Channel) -> bool {
        let permissions = self.channel_permissions(channel, BOT_ID);
        let is_let_in = channel.kind != Kind::PRIVATE_THREAD
            || permissions.contains(Permissions::MANAGE_THREADS)
            || (channel.thread.as_ref()).is_some_and(|thread| thread.member_ids.contains(&BOT_ID));
        let is_voice = [Kind::VOICE, Kind::STAGE].contains(&channel.kind);
        permissions.contains(Permissions::VIEW_CHANNEL)
            && (!is_voice || permissions.contains(Permissions::CONNECT))
            && is_let_in
    }

    /// A channel, if the bot may read of it.
    pub(crate) fn seen_channel(&self, id: Snowflake) -> Result<&Channel, Refusal> {
        let channel = self.channel(id)?;
        if self.bot_sees(channel) {
            return Ok(channel);
        }
        Err(Refusal::MissingAccess)
    }

    /// Whether the bot may read what was said in a channel before.
    pub(crate) fn bot_reads_history(&self, channel: &Channel) -> bool {
        self.channel_permissions(channel, BOT_ID)
            .contains(Permissions::READ_MESSAGE_HISTORY)
    }

    /// Whether the bot is no member of the guild that a request is about any more.
    pub(crate) fn has_left(&self, resource: &str) -> bool {
        let Ok(id) = resource.parse::<Snowflake>() else {
            return false;
        };
        let guild_id = self
            .channels
            .get(&id)
            .map_or(id, |channel| channel.guild_id);
        let guild = self.guilds.get(&guild_id);
        guild.is_some_and(|guild| guild.standing == Standing::Left)
    }

    /// Whether an event reaches the bot: its guild is there, and the channel that it is of is seen.
    pub(super) fn bot_hears(
        &self,
        guild_id: Snowflake,
        name: &str,
        intents: Intents,
        body: &Value,
    ) -> bool {
        let guild = self.guilds.get(&guild_id);
        if guild.is_some_and(|guild| guild.standing != Standing::Available) {
            return false;
        }
        let of_messages = [Intents::MESSAGES, Intents::REACTIONS, Intents::TYPING];
        let field = if of_messages.contains(&intents) {
            "channel_id"
        } else if name.starts_with("THREAD_") {
            "id"
        } else {
            return true;
        };
        let channel = |field: &str| {
            let id = body.get(field)?.as_str()?.parse().ok()?;
            self.channels.get(&id)
        };
        // A deleted thread is gone already; whoever saw its parent saw it.
        let channel = channel(field).or_else(|| channel("parent_id"));
        channel.is_none_or(|channel| self.bot_sees(channel))
    }
}
