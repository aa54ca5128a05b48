//! Roles: created, changed, deleted.

use serde::Deserialize;
use serde_json::{Value, json};

use super::World;
use crate::event::Intents;
use crate::guild::Role;
use crate::permission::Permissions;
use crate::refusal::Refusal;
use crate::snowflake::Snowflake;

/// How many roles a guild may have; Discord's own limit.
const ROLES_PER_GUILD_MAX: usize = 250;

/// The body of a request that creates or changes a role; what is absent stays.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RolePatch {
    name: Option<String>,
    permissions: Option<Permissions>,
    color: Option<u32>,
    hoist: Option<bool>,
    mentionable: Option<bool>,
    position: Option<i64>,
}

impl World {
    pub(crate) fn create_role(
        &mut self,
        guild_id: Snowflake,
        patch: RolePatch,
    ) -> Result<Value, Refusal> {
        let base = self.everyone_permissions(guild_id);
        if self.guild(guild_id)?.roles.len() >= ROLES_PER_GUILD_MAX {
            return Err(Refusal::Form("the guild has its most roles".to_owned()));
        }
        let id = self.new_id();
        let mut role = Role::new(id, "new role", 1, base);
        apply(&mut role, patch);
        self.guild_mut(guild_id)?.roles.insert(id, role.clone());
        Ok(self.announce_role("GUILD_ROLE_CREATE", guild_id, &role))
    }

    pub(crate) fn patch_role(
        &mut self,
        guild_id: Snowflake,
        id: Snowflake,
        patch: RolePatch,
    ) -> Result<Value, Refusal> {
        let role = self
            .guild_mut(guild_id)?
            .roles
            .get_mut(&id)
            .ok_or(Refusal::UnknownRole)?;
        apply(role, patch);
        let role = role.clone();
        Ok(self.announce_role("GUILD_ROLE_UPDATE", guild_id, &role))
    }

    /// Gives roles new positions; each that moves is told.
    pub(crate) fn order_roles(
        &mut self,
        guild_id: Snowflake,
        places: &[(Snowflake, i64)],
    ) -> Result<(), Refusal> {
        for (id, position) in places {
            let roles = &mut self.guild_mut(guild_id)?.roles;
            let role = roles.get_mut(id).ok_or(Refusal::UnknownRole)?;
            if std::mem::replace(&mut role.position, *position) != *position {
                let role = role.clone();
                self.announce_role("GUILD_ROLE_UPDATE", guild_id, &role);
            }
        }
        Ok(())
    }

    /// Deletes a role. Members and overwrites lose it without events of their own, as in Discord's documentation.
    pub(crate) fn delete_role(
        &mut self,
        guild_id: Snowflake,
        id: Snowflake,
    ) -> Result<(), Refusal> {
        let guild = self.guild_mut(guild_id)?;
        let role = guild.roles.get(&id).ok_or(Refusal::UnknownRole)?;
        if id == guild_id || role.managed {
            return Err(Refusal::MissingPermissions);
        }
        guild.roles.remove(&id);
        for member in guild.members.values_mut() {
            member.roles.retain(|role| *role != id);
        }
        for channel in self.channels.values_mut() {
            channel.overwrites.retain(|overwrite| overwrite.id != id);
        }
        let body = json!({ "guild_id": guild_id, "role_id": id });
        self.emit("GUILD_ROLE_DELETE", guild_id, Intents::GUILDS, body);
        Ok(())
    }

    fn announce_role(&mut self, name: &'static str, guild_id: Snowflake, role: &Role) -> Value {
        let body = json!({ "guild_id": guild_id, "role": role });
        self.emit(name, guild_id, Intents::GUILDS, body);
        json!(role)
    }
}

fn apply(role: &mut Role, patch: RolePatch) {
    if let Some(name) = patch.name {
        role.name = name;
    }
    if let Some(color) = patch.color {
        role.set_color(color);
    }
    role.permissions = patch.permissions.unwrap_or(role.permissions);
    role.hoist = patch.hoist.unwrap_or(role.hoist);
    role.mentionable = patch.mentionable.unwrap_or(role.mentionable);
    role.position = patch.position.unwrap_or(role.position);
}
