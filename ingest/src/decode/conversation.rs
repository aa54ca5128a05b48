//! The frames of a conversation: messages, their reactions, and who types.

use proto::event::{Event, MessageDeleted, Typing};
use proto::{ChannelId, Envelope, GuildId, Identity, MessageId};

use super::json::Object;
use super::message::Read;
use super::{DIRECT, Decoded, EPHEMERAL, Frame, MALFORMED, guild, message};
use crate::exclusions::Exclusions;
use crate::outcome::{Outcome, Skip};
use crate::reactions::{Change, Emoji, Reacted};

/// Somebody who began to type longer ago than this has sent it, or stopped: Discord shows it for 10 s
/// (<https://docs.discord.com/developers/resources/channel#trigger-typing-indicator>).
const TYPING_MS: i64 = 10_000;

/// Whether a message's author is left out, whatever the author's roles.
pub(super) fn is_by_excluded_user(message: &Object<'_>, exclusions: &Exclusions) -> bool {
    let author = message.object("author").unwrap_or_default();
    let id = author.id("id").unwrap_or_default();
    let is_webhook = message.id("webhook_id").is_some();
    exclusions.leaves_out_user(id, is_webhook || author.flag("bot"))
        || (!is_webhook && exclusions.has_erased(id))
}

impl Frame<'_> {
    pub(super) fn message_create(&self) -> super::Result {
        let (guild, channel) = self.message_place()?;
        let Read {
            message,
            placeholders,
        } = self.message(guild, channel)?;
        let id = MessageId::new(message.id).ok_or(MALFORMED)?;
        let event = Event::MessageCreated(message);
        let envelope = self.in_channel(Identity::Create(id), guild, channel, event);
        Ok(Decoded::Message(Box::new(envelope), placeholders))
    }

    pub(super) fn message_update(&self) -> super::Result {
        let (guild, channel) = self.message_place()?;
        // Old-style updates (a link preview) hold what changed alone. Without the text the message is not whole.
        if self.object.raw("content").is_none() {
            return Err(Outcome::Skipped(Skip::Partial));
        }
        let Read {
            mut message,
            placeholders,
        } = self.message(guild, channel)?;
        // They are an event of their own: an edit never changes them.
        message.reactions.clear();
        let event = Event::MessageUpdated(message);
        let envelope = self.in_channel(self.numbered(0), guild, channel, event);
        Ok(Decoded::Message(Box::new(envelope), placeholders))
    }

    pub(super) fn message_delete(&self) -> super::Result<Vec<Envelope>> {
        let (guild, channel) = self.message_place()?;
        let id = self.object.id("id").ok_or(MALFORMED)?;
        Ok(self.deletions(guild, channel, &[id]))
    }

    pub(super) fn message_delete_bulk(&self) -> super::Result<Vec<Envelope>> {
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

    /// The message, unless its author is left out.
    pub(super) fn message(&self, guild: GuildId, channel: ChannelId) -> super::Result<Read> {
        let exclusions = self.known.exclusions;
        // A webhook has no roles.
        let roles = match self.object.object("member") {
            Some(member) => Some(member.ids("roles")),
            None => self.object.id("webhook_id").map(|_| Vec::new()),
        };
        if is_by_excluded_user(&self.object, exclusions)
            || exclusions.leaves_out_roles(roles.as_deref())
        {
            return Err(Outcome::Skipped(Skip::Excluded));
        }
        let mut read = message::message(&self.object, guild, channel).ok_or(MALFORMED)?;
        // Discord names no roles of an original's author; a webhook has none.
        let original = self.object.object("referenced_message");
        let roles = original.and_then(|original| original.id("webhook_id").map(|_| Vec::new()));
        if let Some(reply) = &mut read.message.reply
            && let Some(author) = &reply.author
            && (exclusions.leaves_out_user(author.id, author.bot)
                || (roles.is_none() && exclusions.has_erased(author.id))
                || exclusions.leaves_out_roles(roles.as_deref()))
        {
            (reply.author, reply.content) = (None, None);
        }
        Ok(read)
    }

    pub(super) fn reaction(&self, kind: &str) -> super::Result {
        let (guild, channel) = self.message_place()?;
        let message = self.object.id("message_id").and_then(MessageId::new);
        let emoji = || {
            let emoji = self.object.object("emoji").ok_or(MALFORMED)?;
            Ok(Emoji {
                name: emoji.text("name").unwrap_or_default(),
                id: emoji.id("id"),
                animated: emoji.flag("animated"),
            })
        };
        let change = match kind {
            "MESSAGE_REACTION_ADD" => Change::Added(emoji()?),
            "MESSAGE_REACTION_REMOVE" => Change::Removed(emoji()?),
            "MESSAGE_REACTION_REMOVE_EMOJI" => Change::EmojiCleared(emoji()?),
            _ => Change::Cleared,
        };
        Ok(Decoded::Reaction(Reacted {
            guild,
            key: (channel, message.ok_or(MALFORMED)?),
            change,
        }))
    }

    pub(super) fn typing(&self) -> super::Result {
        let (guild, channel) = self.message_place()?;
        let began_ms: Option<i64> = self.object.number("timestamp");
        let began_ms = began_ms.map(|seconds| seconds.saturating_mul(1_000));
        let is_over = |ms: i64| self.origin.received_ms.saturating_sub(ms) > TYPING_MS;
        if began_ms.is_some_and(is_over) {
            return Err(Outcome::Skipped(Skip::Stale));
        }
        // Without the member nobody could be named.
        let member = self.object.object("member");
        let member = member.as_ref().and_then(guild::member);
        let member = member.ok_or(Outcome::Skipped(Skip::Empty))?;
        let user = member.user.ok_or(Outcome::Skipped(Skip::Empty))?;
        let exclusions = self.known.exclusions;
        if exclusions.leaves_out_user(user.id, user.bot)
            || exclusions.has_erased(user.id)
            || exclusions.leaves_out_roles(Some(&member.roles))
        {
            return Err(Outcome::Skipped(Skip::Excluded));
        }
        Ok(Decoded::Typing(Typing {
            guild_id: guild.get(),
            channel_id: channel.get(),
            user: Some(user),
            nick: member.nick,
        }))
    }

    /// Where a message's frame belongs; direct and ephemeral messages belong nowhere.
    fn message_place(&self) -> super::Result<(GuildId, ChannelId)> {
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
        if self.known.exclusions.hides(channel.get()) {
            return Err(Outcome::Skipped(Skip::Excluded));
        }
        let guild = self.object.id("guild_id").and_then(GuildId::new);
        let guild = guild.or_else(|| (self.known.guild_of)(channel));
        Ok((guild.ok_or(Outcome::Skipped(Skip::Unplaced))?, channel))
    }
}
