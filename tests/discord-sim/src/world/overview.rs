//! The world as `GET /sim/world` shows it: what a test needs to know to drive it.

use serde_json::{Value, json};

use super::World;
use crate::guild::Guild;
use crate::snowflake::Snowflake;
use crate::{CLIENT_ID, CLIENT_SECRET, TOKEN};

impl World {
    pub(crate) fn overview(&self) -> Value {
        json!({
            "token": TOKEN,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "guilds": self.guilds.values().map(|guild| self.guild_overview(guild)).collect::<Vec<_>>(),
        })
    }

    fn guild_overview(&self, guild: &Guild) -> Value {
        let base = self.everyone_permissions(guild.id);
        let roles = guild
            .roles
            .values()
            .map(|role| json!({ "id": role.id, "name": role.name }));
        let channels = self
            .channels
            .values()
            .filter(|channel| channel.guild_id == guild.id);
        let channels = channels.map(|channel| {
            json!({
                "id": channel.id,
                "name": channel.name,
                "type": channel.kind,
                "private": !self.is_public(channel.id, base),
            })
        });
        let members = guild.members.iter().filter_map(|(id, member)| {
            let user = self.users.get(id)?;
            Some(json!({ "id": id, "username": user.username, "bot": user.bot, "roles": member.roles }))
        });
        json!({
            "id": guild.id,
            "name": guild.name,
            "owner_id": guild.owner_id,
            "roles": roles.collect::<Vec<_>>(),
            "channels": channels.collect::<Vec<_>>(),
            "members": members.collect::<Vec<_>>(),
        })
    }

    /// Whether everyone can see a channel; a thread is seen with its parent.
    fn is_public(&self, id: Snowflake, base: crate::permission::Permissions) -> bool {
        let Some(channel) = self.channels.get(&id) else {
            return false;
        };
        let parent = channel.parent_id.filter(|_| channel.thread.is_some());
        channel.is_public(base) && parent.is_none_or(|parent| self.is_public(parent, base))
    }
}
