//! The frames of a directory: guilds, channels and threads, roles, members.

use proto::event::{
    Channel, ChannelDeleted, Event, GuildRemoved, MemberRemoved, RoleDeleted, ThreadMembersChanged,
};
use proto::{ChannelId, Envelope, GuildId};

use super::{Channels, Chunk, DIRECT, Decoded, Frame, MALFORMED, guild, snapshot};
use crate::outcome::{Outcome, Skip};

impl Frame<'_> {
    pub(super) fn guild_create(&self) -> super::Result {
        let guild = self.object.id("id").and_then(GuildId::new);
        let guild = guild.ok_or(MALFORMED)?;
        if self.object.flag("unavailable") {
            return Err(Outcome::Skipped(Skip::Outage));
        }
        let version = self.origin.dispatch.to_string();
        let exclusions = self.known.exclusions;
        let (events, channels) = snapshot::events(&self.object, &version, exclusions);
        Ok(Decoded::Channels(
            self.in_directory(guild, events),
            channels,
        ))
    }

    pub(super) fn guild_update(&self) -> super::Result<Vec<Envelope>> {
        let guild = guild::guild(&self.object).ok_or(MALFORMED)?;
        let id = GuildId::new(guild.id).ok_or(MALFORMED)?;
        let roles = self.object.objects("roles");
        let roles = roles.iter().filter_map(guild::role);
        let events = std::iter::once(Event::GuildUpdated(guild));
        let events = events.chain(roles.map(Event::RoleUpserted)).collect();
        Ok(self.in_directory(id, events))
    }

    pub(super) fn guild_delete(&self) -> super::Result<Vec<Envelope>> {
        let guild = self.object.id("id").and_then(GuildId::new);
        let guild = guild.ok_or(MALFORMED)?;
        if self.object.flag("unavailable") {
            return Err(Outcome::Skipped(Skip::Outage));
        }
        Ok(self.in_directory(guild, vec![Event::GuildRemoved(GuildRemoved {})]))
    }

    pub(super) fn channel_upsert(&self) -> super::Result {
        let guild = self.channel_guild()?;
        let id = self.object.id("id").ok_or(MALFORMED)?;
        let parent = self.object.id("parent_id");
        let is_hidden = self.known.exclusions.hides_below(id, parent);
        let event = match guild::channel(&self.object) {
            _ if is_hidden => ChannelId::new(id).and_then(self.known.guild_of).map(|_| {
                // It was shown until now.
                Event::ChannelDeleted(ChannelDeleted { channel_id: id })
            }),
            Some(channel) => Some(Event::ChannelUpserted(channel)),
            None => Some(Event::ChannelUpserted(guild::closed(
                &self.object,
                guild,
                id,
            ))),
        };
        let channels = Channels {
            seen: vec![(id, is_hidden)],
            ..Channels::default()
        };
        let events = event.into_iter().collect();
        Ok(Decoded::Channels(
            self.in_directory(guild, events),
            channels,
        ))
    }

    pub(super) fn channel_delete(&self) -> super::Result<Vec<Envelope>> {
        let guild = self.channel_guild()?;
        let channel_id = self.object.id("id").ok_or(MALFORMED)?;
        let event = Event::ChannelDeleted(ChannelDeleted { channel_id });
        Ok(self.in_directory(guild, vec![event]))
    }

    /// The guild of a frame that is a channel itself.
    fn channel_guild(&self) -> super::Result<GuildId> {
        let kind = self.object.number::<u32>("type");
        if kind.is_some_and(|kind| DIRECT.contains(&kind)) {
            return Err(Outcome::Skipped(Skip::DirectMessage));
        }
        if let Some(guild) = self.object.id("guild_id").and_then(GuildId::new) {
            return Ok(guild);
        }
        let known = |name| {
            let channel = self.object.id(name).and_then(ChannelId::new)?;
            (self.known.guild_of)(channel)
        };
        let guild = known("id").or_else(|| known("parent_id"));
        guild.ok_or(Outcome::Skipped(Skip::Unplaced))
    }

    pub(super) fn thread_list_sync(&self) -> super::Result {
        let guild = self.guild_id()?;
        let threads = self.object.objects("threads");
        let threads: Vec<_> = threads.iter().filter_map(guild::channel).collect();
        if threads.is_empty() {
            return Err(Outcome::Skipped(Skip::Empty));
        }
        let exclusions = self.known.exclusions;
        let seen = |thread: &Channel| {
            (
                thread.id,
                exclusions.hides_below(thread.id, thread.parent_id),
            )
        };
        let channels = Channels {
            seen: threads.iter().map(seen).collect(),
            ..Channels::default()
        };
        let shown = threads.into_iter().filter(|thread| !seen(thread).1);
        let events = shown.map(Event::ChannelUpserted).collect();
        Ok(Decoded::Channels(
            self.in_directory(guild, events),
            channels,
        ))
    }

    pub(super) fn thread_members_update(&self) -> super::Result<Vec<Envelope>> {
        let thread_id = self.object.id("id").ok_or(MALFORMED)?;
        let guild = self.object.id("guild_id").and_then(GuildId::new);
        let guild = guild.or_else(|| (self.known.guild_of)(ChannelId::new(thread_id)?));
        let guild = guild.ok_or(Outcome::Skipped(Skip::Unplaced))?;
        let added = self.object.objects("added_members");
        let event = Event::ThreadMembersChanged(ThreadMembersChanged {
            thread_id,
            added: added
                .iter()
                .filter_map(|member| member.id("user_id"))
                .collect(),
            removed: self.object.ids("removed_member_ids"),
        });
        Ok(self.in_directory(guild, vec![event]))
    }

    pub(super) fn role_upsert(&self) -> super::Result<Vec<Envelope>> {
        let guild = self.guild_id()?;
        let role = self
            .object
            .object("role")
            .and_then(|role| guild::role(&role));
        let event = Event::RoleUpserted(role.ok_or(MALFORMED)?);
        Ok(self.in_directory(guild, vec![event]))
    }

    pub(super) fn role_delete(&self) -> super::Result<Vec<Envelope>> {
        let guild = self.guild_id()?;
        let role_id = self.object.id("role_id").ok_or(MALFORMED)?;
        let event = Event::RoleDeleted(RoleDeleted { role_id });
        Ok(self.in_directory(guild, vec![event]))
    }

    pub(super) fn member_upsert(&self) -> super::Result<Vec<Envelope>> {
        let guild = self.guild_id()?;
        let member = guild::member(&self.object).ok_or(MALFORMED)?;
        Ok(self.in_directory(guild, vec![Event::MemberUpserted(member)]))
    }

    pub(super) fn member_remove(&self) -> super::Result<Vec<Envelope>> {
        let guild = self.guild_id()?;
        let user = self.object.object("user").and_then(|user| user.id("id"));
        let event = Event::MemberRemoved(MemberRemoved {
            user_id: user.ok_or(MALFORMED)?,
        });
        Ok(self.in_directory(guild, vec![event]))
    }

    pub(super) fn members_chunk(&self) -> super::Result {
        let guild = self.guild_id()?;
        let members = self.object.objects("members");
        let members: Vec<_> = members.iter().filter_map(guild::member).collect();
        let index: u64 = self.object.number("chunk_index").unwrap_or(0);
        let count: u64 = self.object.number("chunk_count").unwrap_or(1);
        let events = members.iter().cloned().map(Event::MemberUpserted).collect();
        let chunk = Chunk {
            nonce: self.object.text("nonce"),
            members,
            not_found: self.object.ids("not_found"),
            is_last: index.saturating_add(1) >= count,
        };
        Ok(Decoded::Members(chunk, self.in_directory(guild, events)))
    }
}
