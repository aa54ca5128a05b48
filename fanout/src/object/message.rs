//! `Message`, the same for every viewer of its channel.

use proto::GuildId;
use proto::event::{Message, Reaction, Reply, User};
use runtime::time::iso;
use serde::Serialize;

use super::Cdn;
use crate::access::{Directory, Holder};
use components::{ComponentObject, component_objects};
use forward::{ForwardObject, forward_object};
use media::{AttachmentObject, EmbedObject, StickerObject};
use mentions::Mentions;
use poll::{PollObject, poll_object};

mod components;
mod forward;
mod media;
mod mentions;
mod poll;

/// Message flag: it came from a channel that this one follows (1 << 1).
const IS_CROSSPOST: u64 = 1 << 1;

/// Somebody whom Discord does not name.
const UNNAMED: &str = "Somebody";

/// A message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the contract's object, field by field"
)]
pub struct MessageObject<'a> {
    id: String,
    content: &'a str,
    author: AuthorObject<'a>,
    timestamp: String,
    channel_id: String,
    server_id: String,
    attachments: Vec<AttachmentObject<'a>>,
    embeds: Vec<EmbedObject<'a>>,
    reactions: Vec<ReactionObject>,
    edited: bool,
    edited_timestamp: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "is_zero")]
    kind: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<ReplyObject<'a>>,
    #[serde(skip_serializing_if = "Mentions::is_empty")]
    mentions: Mentions<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stickers: Vec<StickerObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll: Option<PollObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded: Option<ForwardObject<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<ComponentObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    pinned: bool,
    #[serde(skip_serializing_if = "is_false")]
    webhook: bool,
    #[serde(skip_serializing_if = "is_false")]
    crosspost: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthorObject<'a> {
    id: String,
    username: &'a str,
    display_name: &'a str,
    avatar: String,
    bot: bool,
}

/// One emoji of a message, and how many reacted with it.
#[derive(Debug, Serialize)]
pub struct ReactionObject {
    emoji: String,
    count: u32,
    users: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplyObject<'a> {
    message_id: String,
    author: Option<AuthorObject<'a>>,
    content: Option<&'a str>,
}

/// The object of a message; the directory knows the names of the roles that it mentions, and where images are.
pub fn message_object<'a>(
    message: &'a Message,
    guild: GuildId,
    directory: &'a Directory,
) -> MessageObject<'a> {
    let cdn = directory.cdn();
    MessageObject {
        id: message.id.to_string(),
        content: &message.content,
        author: author(message.author.as_ref(), message.nick.as_deref(), cdn),
        timestamp: iso(message.timestamp_ms),
        channel_id: message.channel_id.to_string(),
        server_id: guild.to_string(),
        attachments: media::attachments(&message.attachments),
        embeds: media::embeds(&message.embeds),
        reactions: reaction_objects(&message.reactions, cdn),
        edited: message.edited_timestamp_ms.is_some(),
        edited_timestamp: message.edited_timestamp_ms.map(iso),
        kind: message.kind,
        reply: message.reply.as_ref().map(|reply| reply_object(reply, cdn)),
        mentions: mentions::of(message, guild, directory),
        stickers: media::stickers(&message.stickers, cdn),
        poll: message.poll.as_ref().map(|poll| poll_object(poll, cdn)),
        forwarded: message.forward.as_ref().map(|one| forward_object(one, cdn)),
        components: component_objects(&message.components, cdn),
        thread_id: message.thread_id.map(|id| id.to_string()),
        pinned: message.pinned,
        webhook: message.webhook_id.is_some(),
        crosspost: message.flags & IS_CROSSPOST != 0,
    }
}

impl MessageObject<'_> {
    /// It tells names of members who are mentioned.
    pub fn names_members(&self) -> bool {
        let forwarded = self.forwarded.as_ref();
        self.mentions.has_users() || forwarded.is_some_and(|one| one.mentions.has_users())
    }

    /// The object as who holds such a token gets it.
    #[must_use]
    pub fn to(mut self, holder: Holder) -> Self {
        if holder == Holder::Embed {
            self.mentions.clear_users();
            if let Some(forwarded) = &mut self.forwarded {
                forwarded.mentions.clear_users();
            }
        }
        self
    }
}

/// A message always has an author; one whom Discord does not name has no name of their own.
fn author<'a>(user: Option<&'a User>, nick: Option<&'a str>, cdn: &Cdn) -> AuthorObject<'a> {
    static NOBODY: User = User {
        id: 0,
        username: String::new(),
        display_name: None,
        avatar: None,
        bot: false,
    };
    let user = user.unwrap_or(&NOBODY);
    let names = [nick, user.display_name.as_deref(), Some(&*user.username)];
    let mut names = names.into_iter().flatten();
    AuthorObject {
        id: user.id.to_string(),
        username: &user.username,
        display_name: names.find(|name| !name.is_empty()).unwrap_or(UNNAMED),
        avatar: cdn.avatar(user),
        bot: user.bot,
    }
}

/// A message's reactions.
pub fn reaction_objects(reactions: &[Reaction], cdn: &Cdn) -> Vec<ReactionObject> {
    let objects = reactions.iter().map(|one| reaction(one, cdn));
    objects.collect()
}

fn reaction(reaction: &Reaction, cdn: &Cdn) -> ReactionObject {
    let custom = reaction.emoji_id;
    ReactionObject {
        emoji: match custom {
            Some(id) => format!("{}:{id}", reaction.emoji),
            None => reaction.emoji.clone(),
        },
        count: reaction.count,
        users: [],
        url: custom.map(|id| cdn.emoji(id, reaction.animated)),
    }
}

fn reply_object<'a>(reply: &'a Reply, cdn: &Cdn) -> ReplyObject<'a> {
    let user = reply.author.as_ref();
    ReplyObject {
        message_id: reply.message_id.to_string(),
        author: user.map(|user| author(Some(user), None, cdn)),
        content: reply.content.as_deref(),
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_false(fact: &bool) -> bool {
    !fact
}
