//! A raw dispatch of the gateway → our events, or the reason why it makes none. Pure: no clock, no I/O.
//!
//! The envelopes of one dispatch, and their numbers, are a function of its frame alone, because a RESUME
//! repeats the frame and the stream knows the doubles by them. Only ids are required; any other field may be
//! missing, null or odd without costing the event, and what a message has beyond our model travels along as
//! raw JSON. Shapes: <https://docs.discord.com/developers/events/gateway-events>.

use proto::event::{
    ChannelDeleted, Event, GuildRemoved, MemberRemoved, MessageDeleted, RoleDeleted,
    ThreadMembersChanged,
};
use proto::identity::{Dispatch, Identity};
use proto::{ChannelId, Envelope, GuildId, MessageId, TraceParent};

use crate::outcome::{Outcome, Refusal, Skip};
use json::Object;

mod guild;
mod json;
mod message;
mod named;
mod snapshot;

pub(crate) use named::{guild_of_frame, ready_guilds};

/// Where a frame came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// Its name in the session.
    pub(crate) dispatch: Dispatch,
    /// The trace that begins with it.
    pub(crate) trace: Option<TraceParent>,
    /// When it was read, in milliseconds since 1970.
    pub(crate) received_ms: i64,
}

/// The guild of a channel, for frames that leave it out.
pub(crate) type GuildOf<'a> = &'a dyn Fn(ChannelId) -> Option<GuildId>;

/// Why a frame made no envelope: an outcome by itself.
type Decoded = Result<Vec<Envelope>, Outcome>;

const MALFORMED: Outcome = Outcome::Refused(Refusal::Malformed);

/// Message flag: only the user who caused it sees it (1 << 6).
const EPHEMERAL: u64 = 1 << 6;
/// Channel types of direct messages: one to one, and a group's.
const DIRECT: [u32; 2] = [1, 3];

/// Turns the dispatch of this kind into envelopes.
///
/// # Errors
/// The outcome of a frame that makes none.
pub(crate) fn decode(kind: &str, data: &str, origin: Origin, guild_of: GuildOf<'_>) -> Decoded {
    if let Some(skip) = not_mirrored(kind) {
        return Err(Outcome::Skipped(skip));
    }
    let object = Object::parse(data).ok_or(MALFORMED)?;
    let frame = Frame {
        object,
        origin,
        guild_of,
    };
    match kind {
        "MESSAGE_CREATE" => frame.message_create(),
        "MESSAGE_UPDATE" => frame.message_update(),
        "MESSAGE_DELETE" => frame.message_delete(),
        "MESSAGE_DELETE_BULK" => frame.message_delete_bulk(),
        "GUILD_CREATE" => frame.guild_create(),
        "GUILD_UPDATE" => frame.guild_update(),
        "GUILD_DELETE" => frame.guild_delete(),
        "CHANNEL_CREATE" | "CHANNEL_UPDATE" | "THREAD_CREATE" | "THREAD_UPDATE" => {
            frame.channel_upsert()
        }
        "CHANNEL_DELETE" | "THREAD_DELETE" => frame.channel_delete(),
        "THREAD_LIST_SYNC" => frame.thread_list_sync(),
        "THREAD_MEMBERS_UPDATE" => frame.thread_members_update(),
        "GUILD_ROLE_CREATE" | "GUILD_ROLE_UPDATE" => frame.role_upsert(),
        "GUILD_ROLE_DELETE" => frame.role_delete(),
        "GUILD_MEMBER_ADD" | "GUILD_MEMBER_UPDATE" => frame.member_upsert(),
        "GUILD_MEMBER_REMOVE" => frame.member_remove(),
        "GUILD_MEMBERS_CHUNK" => frame.members_chunk(),
        _ => Err(Outcome::Skipped(Skip::UnknownEvent)),
    }
}

/// The answer of `GET /guilds/{guild}/members/{user}` as a member.
pub(crate) fn decode_member(data: &str) -> Option<proto::event::Member> {
    guild::member(&Object::parse(data)?)
}

/// Kinds that make no event by themselves.
fn not_mirrored(kind: &str) -> Option<Skip> {
    const NOT_MIRRORED: &[&str] = &[
        "APPLICATION_COMMAND_PERMISSIONS_UPDATE",
        "CHANNEL_INFO",
        "CHANNEL_PINS_UPDATE",
        "PRESENCE_UPDATE",
        "PRESENCES_REPLACE",
        "RATE_LIMITED",
        "SESSIONS_REPLACE",
        // The bot's own membership of a thread.
        "THREAD_MEMBER_UPDATE",
        "TYPING_START",
        "USER_UPDATE",
        "VOICE_CHANNEL_EFFECT_SEND",
        "VOICE_CHANNEL_START_TIME_UPDATE",
        "VOICE_CHANNEL_STATUS_UPDATE",
        "VOICE_SERVER_UPDATE",
        "VOICE_STATE_UPDATE",
        "WEBHOOKS_UPDATE",
    ];
    const FAMILIES: &[&str] = &[
        "AUTO_MODERATION_",
        "ENTITLEMENT_",
        "GUILD_AUDIT_LOG_",
        "GUILD_BAN_",
        "GUILD_EMOJIS_",
        "GUILD_INTEGRATIONS_",
        "GUILD_SCHEDULED_EVENT_",
        "GUILD_SOUNDBOARD_",
        "GUILD_STICKERS_",
        "INTEGRATION_",
        "INTERACTION_",
        "INVITE_",
        "MESSAGE_POLL_VOTE_",
        "MESSAGE_REACTION_",
        "SOUNDBOARD_",
        "STAGE_INSTANCE_",
        "SUBSCRIPTION_",
    ];
    if matches!(kind, "READY" | "RESUMED") {
        return Some(Skip::Session);
    }
    let is_known =
        NOT_MIRRORED.contains(&kind) || FAMILIES.iter().any(|family| kind.starts_with(family));
    is_known.then_some(Skip::NotMirrored)
}

/// One dispatch with all that its envelopes are made from.
struct Frame<'a> {
    object: Object<'a>,
    origin: Origin,
    guild_of: GuildOf<'a>,
}

impl Frame<'_> {
    fn message_create(&self) -> Decoded {
        let (guild, channel) = self.message_place()?;
        let message = message::message(&self.object, guild, channel).ok_or(MALFORMED)?;
        let id = MessageId::new(message.id).ok_or(MALFORMED)?;
        let event = Event::MessageCreated(message);
        Ok(vec![self.in_channel(
            Identity::Create(id),
            guild,
            channel,
            event,
        )])
    }

    fn message_update(&self) -> Decoded {
        let (guild, channel) = self.message_place()?;
        // Old-style updates (a link preview) hold what changed alone. Without the text the message is not whole.
        if self.object.raw("content").is_none() {
            return Err(Outcome::Skipped(Skip::Partial));
        }
        let message = message::message(&self.object, guild, channel).ok_or(MALFORMED)?;
        let event = Event::MessageUpdated(message);
        Ok(vec![self.in_channel(
            self.numbered(0),
            guild,
            channel,
            event,
        )])
    }

    fn message_delete(&self) -> Decoded {
        let (guild, channel) = self.message_place()?;
        let id = self.object.id("id").ok_or(MALFORMED)?;
        Ok(self.deletions(guild, channel, &[id]))
    }

    fn message_delete_bulk(&self) -> Decoded {
        let (guild, channel) = self.message_place()?;
        let ids = self.object.ids("ids");
        if ids.is_empty() {
            return Err(Outcome::Skipped(Skip::Empty));
        }
        Ok(self.deletions(guild, channel, &ids))
    }

    /// One envelope per deleted message: each has an offset of its own.
    fn deletions(&self, guild: GuildId, channel: ChannelId, ids: &[u64]) -> Vec<Envelope> {
        let ids = ids.iter().filter_map(|id| MessageId::new(*id));
        let envelope = |id: MessageId| {
            let event = Event::MessageDeleted(MessageDeleted {
                message_id: id.get(),
            });
            self.in_channel(Identity::Delete(id), guild, channel, event)
        };
        ids.map(envelope).collect()
    }

    /// Where a message's frame belongs; direct and ephemeral messages belong nowhere.
    fn message_place(&self) -> Result<(GuildId, ChannelId), Outcome> {
        let flags: u64 = self.object.number("flags").unwrap_or(0);
        if flags & EPHEMERAL != 0 {
            return Err(Outcome::Skipped(Skip::Ephemeral));
        }
        let kind = self.object.number::<u32>("channel_type");
        if kind.is_some_and(|kind| DIRECT.contains(&kind)) {
            return Err(Outcome::Skipped(Skip::DirectMessage));
        }
        let channel = self.object.id("channel_id").and_then(ChannelId::new);
        let channel = channel.ok_or(MALFORMED)?;
        let guild = self.object.id("guild_id").and_then(GuildId::new);
        let guild = guild.or_else(|| (self.guild_of)(channel));
        Ok((guild.ok_or(Outcome::Skipped(Skip::Unplaced))?, channel))
    }

    fn guild_create(&self) -> Decoded {
        let guild = self.object.id("id").and_then(GuildId::new);
        let guild = guild.ok_or(MALFORMED)?;
        if self.object.flag("unavailable") {
            return Err(Outcome::Skipped(Skip::Outage));
        }
        let version = self.origin.dispatch.to_string();
        let events = snapshot::events(&self.object, &version);
        Ok(self.in_directory(guild, events))
    }

    fn guild_update(&self) -> Decoded {
        let guild = guild::guild(&self.object).ok_or(MALFORMED)?;
        let id = GuildId::new(guild.id).ok_or(MALFORMED)?;
        let roles = self.object.objects("roles");
        let roles = roles.iter().filter_map(guild::role);
        let events = std::iter::once(Event::GuildUpdated(guild));
        let events = events.chain(roles.map(Event::RoleUpserted)).collect();
        Ok(self.in_directory(id, events))
    }

    fn guild_delete(&self) -> Decoded {
        let guild = self.object.id("id").and_then(GuildId::new);
        let guild = guild.ok_or(MALFORMED)?;
        if self.object.flag("unavailable") {
            return Err(Outcome::Skipped(Skip::Outage));
        }
        Ok(self.in_directory(guild, vec![Event::GuildRemoved(GuildRemoved {})]))
    }

    fn channel_upsert(&self) -> Decoded {
        let guild = self.channel_guild()?;
        let channel = guild::channel(&self.object).ok_or(MALFORMED)?;
        Ok(self.in_directory(guild, vec![Event::ChannelUpserted(channel)]))
    }

    fn channel_delete(&self) -> Decoded {
        let guild = self.channel_guild()?;
        let channel_id = self.object.id("id").ok_or(MALFORMED)?;
        let event = Event::ChannelDeleted(ChannelDeleted { channel_id });
        Ok(self.in_directory(guild, vec![event]))
    }

    /// The guild of a frame that is a channel itself.
    fn channel_guild(&self) -> Result<GuildId, Outcome> {
        let kind = self.object.number::<u32>("type");
        if kind.is_some_and(|kind| DIRECT.contains(&kind)) {
            return Err(Outcome::Skipped(Skip::DirectMessage));
        }
        if let Some(guild) = self.object.id("guild_id").and_then(GuildId::new) {
            return Ok(guild);
        }
        let known = |name| {
            let channel = self.object.id(name).and_then(ChannelId::new)?;
            (self.guild_of)(channel)
        };
        let guild = known("id").or_else(|| known("parent_id"));
        guild.ok_or(Outcome::Skipped(Skip::Unplaced))
    }

    fn thread_list_sync(&self) -> Decoded {
        let guild = self.guild_id()?;
        let threads = self.object.objects("threads");
        let threads = threads.iter().filter_map(guild::channel);
        let events: Vec<_> = threads.map(Event::ChannelUpserted).collect();
        self.some_in_directory(guild, events)
    }

    fn thread_members_update(&self) -> Decoded {
        let thread_id = self.object.id("id").ok_or(MALFORMED)?;
        let guild = self.object.id("guild_id").and_then(GuildId::new);
        let guild = guild.or_else(|| (self.guild_of)(ChannelId::new(thread_id)?));
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

    fn role_upsert(&self) -> Decoded {
        let guild = self.guild_id()?;
        let role = self
            .object
            .object("role")
            .and_then(|role| guild::role(&role));
        let event = Event::RoleUpserted(role.ok_or(MALFORMED)?);
        Ok(self.in_directory(guild, vec![event]))
    }

    fn role_delete(&self) -> Decoded {
        let guild = self.guild_id()?;
        let role_id = self.object.id("role_id").ok_or(MALFORMED)?;
        let event = Event::RoleDeleted(RoleDeleted { role_id });
        Ok(self.in_directory(guild, vec![event]))
    }

    fn member_upsert(&self) -> Decoded {
        let guild = self.guild_id()?;
        let member = guild::member(&self.object).ok_or(MALFORMED)?;
        Ok(self.in_directory(guild, vec![Event::MemberUpserted(member)]))
    }

    fn member_remove(&self) -> Decoded {
        let guild = self.guild_id()?;
        let user = self.object.object("user").and_then(|user| user.id("id"));
        let event = Event::MemberRemoved(MemberRemoved {
            user_id: user.ok_or(MALFORMED)?,
        });
        Ok(self.in_directory(guild, vec![event]))
    }

    fn members_chunk(&self) -> Decoded {
        let guild = self.guild_id()?;
        let members = self.object.objects("members");
        let members = members.iter().filter_map(guild::member);
        let events: Vec<_> = members.map(Event::MemberUpserted).collect();
        self.some_in_directory(guild, events)
    }

    fn guild_id(&self) -> Result<GuildId, Outcome> {
        let guild = self.object.id("guild_id").and_then(GuildId::new);
        guild.ok_or(MALFORMED)
    }

    fn numbered(&self, n: u32) -> Identity {
        Identity::Dispatch(self.origin.dispatch, n)
    }

    fn in_channel(
        &self,
        identity: Identity,
        guild: GuildId,
        channel: ChannelId,
        event: Event,
    ) -> Envelope {
        Envelope {
            identity,
            trace: self.origin.trace,
            guild,
            channel: Some(channel),
            received_ms: self.origin.received_ms,
            event,
        }
    }

    fn some_in_directory(&self, guild: GuildId, events: Vec<Event>) -> Decoded {
        if events.is_empty() {
            return Err(Outcome::Skipped(Skip::Empty));
        }
        Ok(self.in_directory(guild, events))
    }

    fn in_directory(&self, guild: GuildId, events: Vec<Event>) -> Vec<Envelope> {
        let numbered = (0_u32..).zip(events);
        let envelope = |(n, event)| Envelope {
            identity: self.numbered(n),
            trace: self.origin.trace,
            guild,
            channel: None,
            received_ms: self.origin.received_ms,
            event,
        };
        numbered.map(envelope).collect()
    }
}

#[cfg(test)]
mod tests;
