//! A raw dispatch of the gateway → our events, or the reason why it makes none. Pure: no clock, no I/O.
//!
//! The envelopes of one dispatch, and their numbers, are a function of its frame alone, because a RESUME
//! repeats the frame and the stream knows the doubles by them. Only ids are required; any other field may be
//! missing, null or odd without costing the event, and what a message has beyond our model travels along as
//! raw JSON. Shapes: <https://docs.discord.com/developers/events/gateway-events>.

use proto::event::{Channel, Event, Guild, Member, Reaction, Role, Typing};
use proto::identity::{Dispatch, Identity};
use proto::{ChannelId, Envelope, GuildId, TraceParent};

use crate::exclusions::Exclusions;
use crate::outcome::{Outcome, Refusal, Skip};
use crate::reactions::Reacted;
use json::Object;

mod conversation;
mod directory;
mod guild;
mod history;
mod json;
mod message;
mod named;
mod snapshot;

pub(crate) use history::{HistoryPage, decode_history, decode_linked};
pub(crate) use message::placeholder::{Placeholder, Placeholders};
pub(crate) use named::{guild_of_frame, members_limited, ready_guilds};

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

impl Origin {
    /// Of what no gateway sent.
    const NOWHERE: Self = Self {
        dispatch: Dispatch {
            epoch: 0,
            shard: 0,
            sequence: 0,
        },
        trace: None,
        received_ms: 0,
    };
}

/// What a frame is read against.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The guild of a channel, for frames that leave it out.
    pub(crate) guild_of: &'a dyn Fn(ChannelId) -> Option<GuildId>,
    /// What is left out.
    pub(crate) exclusions: &'a Exclusions,
}

/// What a dispatch says.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// Events of the stream.
    Events(Vec<Envelope>),
    /// A message, and what can't be shown of it.
    Message(Box<Envelope>, Placeholders),
    /// Events of channels, of which something is learned beside.
    Channels(Vec<Envelope>, Channels),
    /// A change of reactions: what is published is their total.
    Reaction(Reacted),
    /// Somebody types.
    Typing(Typing),
    /// Members that were asked for, and the same as events for the case that nobody here did.
    Members(Chunk, Vec<Envelope>),
}

impl Decoded {
    /// The events that are published as they are.
    pub(crate) fn envelopes_mut(&mut self) -> &mut [Envelope] {
        match self {
            Self::Message(envelope, _) => std::slice::from_mut(envelope),
            Self::Events(envelopes)
            | Self::Channels(envelopes, _)
            | Self::Members(_, envelopes) => envelopes,
            Self::Reaction(_) | Self::Typing(_) => &mut [],
        }
    }
}

/// What a frame tells of channels beside its events.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Channels {
    /// Channels that it describes, and whether they are hidden by an exclusion.
    pub(crate) seen: Vec<(u64, bool)>,
    /// Channels that a snapshot leaves out, because nobody can tell who may see them.
    pub(crate) unreadable: usize,
    /// It is a snapshot, and says of threads nothing at all.
    pub(crate) is_threadless: bool,
}

/// An answer to a question about members (op 8).
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) nonce: Option<String>,
    pub(crate) members: Vec<Member>,
    /// Users of the question who are no members.
    pub(crate) not_found: Vec<u64>,
    /// Whether no further chunk belongs to the answer.
    pub(crate) is_last: bool,
}

/// What a frame says, or why it says nothing: an outcome by itself.
type Result<T = Decoded> = std::result::Result<T, Outcome>;

const MALFORMED: Outcome = Outcome::Refused(Refusal::Malformed);

/// Message flag: only the user who caused it sees it (1 << 6).
const EPHEMERAL: u64 = 1 << 6;
/// Channel types of direct messages: one to one, and a group's.
const DIRECT: [u32; 2] = [1, 3];

/// Turns the dispatch of this kind into envelopes.
///
/// # Errors
/// The outcome of a frame that makes none.
pub(crate) fn decode(kind: &str, data: &str, origin: Origin, known: Known<'_>) -> Result {
    if let Some(skip) = not_mirrored(kind) {
        return Err(Outcome::Skipped(skip));
    }
    let object = Object::parse(data).ok_or(MALFORMED)?;
    let frame = Frame {
        object,
        origin,
        known,
    };
    let events = match kind {
        "MESSAGE_CREATE" => return frame.message_create(),
        "MESSAGE_UPDATE" => return frame.message_update(),
        "MESSAGE_DELETE" => frame.message_delete(),
        "MESSAGE_DELETE_BULK" => frame.message_delete_bulk(),
        "GUILD_CREATE" => return frame.guild_create(),
        "GUILD_UPDATE" => frame.guild_update(),
        "GUILD_DELETE" => frame.guild_delete(),
        "CHANNEL_CREATE" | "CHANNEL_UPDATE" | "THREAD_CREATE" | "THREAD_UPDATE" => {
            return frame.channel_upsert();
        }
        "CHANNEL_DELETE" | "THREAD_DELETE" => frame.channel_delete(),
        "THREAD_LIST_SYNC" => return frame.thread_list_sync(),
        "THREAD_MEMBERS_UPDATE" => frame.thread_members_update(),
        "GUILD_ROLE_CREATE" | "GUILD_ROLE_UPDATE" => frame.role_upsert(),
        "GUILD_ROLE_DELETE" => frame.role_delete(),
        "GUILD_MEMBER_ADD" | "GUILD_MEMBER_UPDATE" => frame.member_upsert(),
        "GUILD_MEMBER_REMOVE" => frame.member_remove(),
        "GUILD_MEMBERS_CHUNK" => return frame.members_chunk(),
        "MESSAGE_REACTION_ADD"
        | "MESSAGE_REACTION_REMOVE"
        | "MESSAGE_REACTION_REMOVE_ALL"
        | "MESSAGE_REACTION_REMOVE_EMOJI" => return frame.reaction(kind),
        "TYPING_START" => return frame.typing(),
        _ => Err(Outcome::Skipped(Skip::UnknownEvent)),
    };
    events.map(Decoded::Events)
}

/// A message as it is published, and what of it can't be shown.
#[derive(Debug)]
pub struct Reading {
    /// The message.
    pub message: proto::event::Message,
    /// The kinds of its placeholders, as the counter `discord_stream_placeholders_total` names them.
    pub placeholders: Vec<&'static str>,
}

/// Reads a frame of a message (`MESSAGE_CREATE` or `MESSAGE_UPDATE`, its `d`) that names its guild, with nothing left
/// out by the operator.
///
/// # Errors
/// The outcome of a frame that makes no message and its reason, as `discord_stream_outcomes_total` names them.
pub fn read_message(kind: &str, data: &str) -> std::result::Result<Reading, [&'static str; 2]> {
    let known = Known {
        guild_of: &|_| None,
        exclusions: &Exclusions::default(),
    };
    let decoded = decode(kind, data, Origin::NOWHERE, known).map_err(Outcome::words)?;
    let none = Outcome::Skipped(Skip::NotMirrored).words();
    let Decoded::Message(envelope, placeholders) = decoded else {
        return Err(none);
    };
    let (Event::MessageCreated(message) | Event::MessageUpdated(message)) = envelope.event else {
        return Err(none);
    };
    Ok(Reading {
        message,
        placeholders: placeholders.iter().map(Placeholder::word).collect(),
    })
}

/// The answer of `GET /guilds/{guild}/members/{user}` as a member.
pub(crate) fn decode_member(data: &str) -> Option<Member> {
    guild::member(&Object::parse(data)?)
}

/// The answer of `GET /guilds/{guild}` as a guild and its roles.
pub(crate) fn decode_guild(data: &str) -> Option<(Guild, Vec<Role>)> {
    let object = Object::parse(data)?;
    let roles = object.objects("roles");
    Some((
        guild::guild(&object)?,
        roles.iter().filter_map(guild::role).collect(),
    ))
}

/// The answer of `GET /guilds/{guild}/channels`, without those that can't be read.
pub(crate) fn decode_channels(data: &str) -> Option<Vec<Channel>> {
    let channels: Vec<Object<'_>> = serde_json::from_str(data).ok()?;
    Some(channels.iter().filter_map(guild::channel).collect())
}

/// The answer of `GET /guilds/{guild}/threads/active`: the threads that are shown.
pub(crate) fn decode_threads(data: &str, exclusions: &Exclusions) -> Option<Vec<Channel>> {
    let threads = Object::parse(data)?.objects("threads");
    let threads = threads.iter().filter_map(guild::channel);
    let is_shown = |thread: &Channel| {
        !exclusions.hides(thread.id) && !exclusions.hides_below(thread.id, thread.parent_id)
    };
    Some(threads.filter(is_shown).collect())
}

/// A message's reactions, as the API shows it.
#[derive(Debug, PartialEq)]
pub(crate) struct Reacting {
    pub(crate) totals: Vec<Reaction>,
    /// Its author is left out, and with it the message.
    pub(crate) is_excluded: bool,
}

/// The answer of `GET /channels/{channel}/messages/{message}` as the message's reactions.
pub(crate) fn decode_reactions(data: &str, exclusions: &Exclusions) -> Option<Reacting> {
    let object = Object::parse(data)?;
    object.id("id")?;
    Some(Reacting {
        totals: message::reactions(&object),
        is_excluded: conversation::is_by_excluded_user(&object, exclusions),
    })
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
    known: Known<'a>,
}

impl Frame<'_> {
    fn guild_id(&self) -> Result<GuildId> {
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
