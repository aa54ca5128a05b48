//! Members: added, changed, kicked, banned, listed and searched.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{BOT_ID, World};
use crate::event::Intents;
use crate::guild::{Guild, Member, User};
use crate::object::{Patch, set};
use crate::refusal::Refusal;
use crate::snowflake::{Snowflake, unix_ms};

/// How many accounts the world may hold, so that no test fills the memory by adding members.
const USERS_MAX: usize = 200_000;

/// How far back a ban may purge: Discord's seven days.
const PURGED_SECONDS_MAX: u64 = 604_800;

/// The body of a request that changes a member; what is absent stays.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MemberPatch {
    roles: Option<Vec<Snowflake>>,
    nick: Patch<String>,
    deaf: Option<bool>,
    mute: Option<bool>,
    communication_disabled_until: Patch<String>,
}

/// The body of a request that adds a member. `username` is the simulator's own: it names an account not seen before.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MemberDraft {
    username: Option<String>,
    #[serde(flatten)]
    rest: MemberPatch,
}

impl World {
    /// Changes a member's roles, nick or restrictions.
    pub(crate) fn patch_member(
        &mut self,
        guild_id: Snowflake,
        user_id: Snowflake,
        patch: MemberPatch,
    ) -> Result<Value, Refusal> {
        let guild = self.guild_mut(guild_id)?;
        check_roles(guild, &patch)?;
        let member = guild
            .members
            .get_mut(&user_id)
            .ok_or(Refusal::UnknownMember)?;
        apply(member, patch);
        let member = self.member_json(guild_id, user_id)?;
        // The bot hears of itself with or without the members intent.
        let intents = if user_id == BOT_ID {
            Intents::NONE
        } else {
            Intents::MEMBERS
        };
        let body = with_guild(&member, guild_id);
        self.emit("GUILD_MEMBER_UPDATE", guild_id, intents, body);
        Ok(member)
    }

    /// Adds a member, making the account where it is new; `None` for somebody who is one already.
    pub(crate) fn add_member(
        &mut self,
        guild_id: Snowflake,
        user_id: Snowflake,
        draft: MemberDraft,
    ) -> Result<Option<Value>, Refusal> {
        let guild = self.guild(guild_id)?;
        check_roles(guild, &draft.rest)?;
        if guild.members.contains_key(&user_id) {
            return Ok(None);
        }
        if guild.bans.contains_key(&user_id) {
            return Err(Refusal::MissingPermissions);
        }
        if !self.users.contains_key(&user_id) {
            if self.users.len() >= USERS_MAX {
                return Err(Refusal::Form("the world has its most users".to_owned()));
            }
            let username = draft.username.unwrap_or_else(|| format!("user{user_id}"));
            self.users
                .insert(user_id, User::human(user_id, &username, None));
        }
        let mut member = Member::new(unix_ms(), Vec::new());
        apply(&mut member, draft.rest);
        self.guild_mut(guild_id)?.members.insert(user_id, member);
        let member = self.member_json(guild_id, user_id)?;
        let body = with_guild(&member, guild_id);
        self.emit("GUILD_MEMBER_ADD", guild_id, Intents::MEMBERS, body);
        Ok(Some(member))
    }

    /// Removes a member (a kick). Nobody removes the owner or the bot itself.
    pub(crate) fn remove_member(
        &mut self,
        guild_id: Snowflake,
        user_id: Snowflake,
    ) -> Result<(), Refusal> {
        let guild = self.guild_mut(guild_id)?;
        if user_id == guild.owner_id || user_id == BOT_ID {
            return Err(Refusal::MissingPermissions);
        }
        guild
            .members
            .remove(&user_id)
            .ok_or(Refusal::UnknownMember)?;
        let body = json!({ "guild_id": guild_id, "user": self.user(user_id)? });
        self.emit("GUILD_MEMBER_REMOVE", guild_id, Intents::MEMBERS, body);
        Ok(())
    }

    /// Gives a member one role, or takes it.
    pub(crate) fn set_role(
        &mut self,
        guild_id: Snowflake,
        user_id: Snowflake,
        role_id: Snowflake,
        has_role: bool,
    ) -> Result<(), Refusal> {
        let member = self.guild(guild_id)?.members.get(&user_id);
        let mut roles = member.ok_or(Refusal::UnknownMember)?.roles.clone();
        roles.retain(|id| *id != role_id);
        if has_role {
            roles.push(role_id);
        }
        let patch = MemberPatch {
            roles: Some(roles),
            ..MemberPatch::default()
        };
        self.patch_member(guild_id, user_id, patch).map(drop)
    }

    /// Bans somebody; a member is removed first, and what they wrote in the last seconds goes in bulk.
    pub(crate) fn ban(
        &mut self,
        guild_id: Snowflake,
        user_id: Snowflake,
        reason: Option<String>,
        purged_seconds: u64,
    ) -> Result<(), Refusal> {
        if purged_seconds > PURGED_SECONDS_MAX {
            return Err(Refusal::Form(
                "delete_message_seconds: at most 604800".to_owned(),
            ));
        }
        let user = json!(self.user(user_id)?);
        match self.remove_member(guild_id, user_id) {
            Ok(()) | Err(Refusal::UnknownMember) => {}
            Err(refusal) => return Err(refusal),
        }
        let bans = &mut self.guild_mut(guild_id)?.bans;
        if bans.insert(user_id, reason).is_none() {
            let body = json!({ "guild_id": guild_id, "user": user });
            self.emit("GUILD_BAN_ADD", guild_id, Intents::MODERATION, body);
        }
        self.purge(guild_id, user_id, unix_ms() - purged_seconds * 1_000)
    }

    pub(crate) fn unban(&mut self, guild_id: Snowflake, user_id: Snowflake) -> Result<(), Refusal> {
        let banned = self.guild_mut(guild_id)?.bans.remove(&user_id);
        banned.ok_or(Refusal::UnknownBan)?;
        let body = json!({ "guild_id": guild_id, "user": self.user(user_id)? });
        self.emit("GUILD_BAN_REMOVE", guild_id, Intents::MODERATION, body);
        Ok(())
    }

    /// Members in the order of their ids, from after the given one.
    pub(crate) fn members(
        &self,
        guild_id: Snowflake,
        after: Option<Snowflake>,
        limit: usize,
    ) -> Result<Vec<Value>, Refusal> {
        let members = self.guild(guild_id)?.members.iter();
        let wanted = members.filter(|(id, _)| after.is_none_or(|after| **id > after));
        wanted
            .take(limit)
            .map(|(id, member)| Ok(member.to_json(self.user(*id)?)))
            .collect()
    }

    /// Members whose username or nick begins with the text, capitals or not.
    pub(crate) fn search_members(
        &self,
        guild_id: Snowflake,
        text: &str,
        limit: usize,
    ) -> Result<Vec<Value>, Refusal> {
        let text = text.to_lowercase();
        let begins = |name: &str| name.to_lowercase().starts_with(&text);
        let members = self.guild(guild_id)?.members.iter();
        let found = members.filter_map(|(id, member)| {
            let user = self.users.get(id)?;
            let fits = begins(&user.username) || member.nick.as_deref().is_some_and(begins);
            fits.then(|| member.to_json(user))
        });
        Ok(found.take(limit).collect())
    }
}

fn check_roles(guild: &Guild, patch: &MemberPatch) -> Result<(), Refusal> {
    let mut wanted = patch.roles.iter().flatten();
    if wanted.all(|role| guild.roles.contains_key(role)) {
        return Ok(());
    }
    Err(Refusal::UnknownRole)
}

fn apply(member: &mut Member, patch: MemberPatch) {
    if let Some(mut roles) = patch.roles {
        roles.sort_unstable();
        roles.dedup();
        member.roles = roles;
    }
    patch.nick.apply(&mut member.nick);
    // An empty nick is none.
    member.nick.take_if(|nick| nick.is_empty());
    patch
        .communication_disabled_until
        .apply(&mut member.timed_out_until);
    member.deaf = patch.deaf.unwrap_or(member.deaf);
    member.mute = patch.mute.unwrap_or(member.mute);
}

fn with_guild(member: &Value, guild_id: Snowflake) -> Value {
    let mut body = member.clone();
    set(&mut body, "guild_id", json!(guild_id));
    body
}
