//! `Message`, the same for every viewer of its channel.

use std::collections::BTreeMap;

use proto::GuildId;
use proto::event::{Attachment, Embed, Message, Reaction, Reply, User};
use runtime::time::iso;
use serde::Serialize;

use super::Cdn;
use crate::access::{Directory, Holder};

/// A message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    pinned: bool,
    #[serde(skip_serializing_if = "is_false")]
    webhook: bool,
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AttachmentObject<'a> {
    id: String,
    filename: &'a str,
    url: &'a str,
    proxy_url: &'a str,
    size: u64,
    content_type: Option<&'a str>,
    width: Option<u32>,
    height: Option<u32>,
}

#[derive(Debug, Serialize)]
struct EmbedObject<'a> {
    title: Option<&'a str>,
    description: Option<&'a str>,
    url: Option<&'a str>,
    color: Option<u32>,
    thumbnail: Option<Image<'a>>,
    image: Option<Image<'a>>,
    author: Option<EmbedAuthor<'a>>,
    fields: Vec<EmbedFieldObject<'a>>,
}

#[derive(Debug, Serialize)]
struct Image<'a> {
    url: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EmbedAuthor<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon_url: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct EmbedFieldObject<'a> {
    name: &'a str,
    value: &'a str,
    inline: bool,
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

#[derive(Debug, Default, Serialize)]
struct Mentions<'a> {
    users: BTreeMap<String, &'a str>,
    roles: BTreeMap<String, &'a str>,
    channels: BTreeMap<String, &'a str>,
}

impl Mentions<'_> {
    fn is_empty(&self) -> bool {
        self.users.is_empty() && self.roles.is_empty() && self.channels.is_empty()
    }
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
        attachments: message.attachments.iter().map(attachment).collect(),
        embeds: message.embeds.iter().map(embed).collect(),
        reactions: reaction_objects(&message.reactions, cdn),
        edited: message.edited_timestamp_ms.is_some(),
        edited_timestamp: message.edited_timestamp_ms.map(iso),
        kind: message.kind,
        reply: message.reply.as_ref().map(|reply| reply_object(reply, cdn)),
        mentions: mentions(message, guild, directory),
        thread_id: message.thread_id.map(|id| id.to_string()),
        pinned: message.pinned,
        webhook: message.webhook_id.is_some(),
    }
}

impl MessageObject<'_> {
    /// It tells names of members who are mentioned.
    pub fn names_members(&self) -> bool {
        !self.mentions.users.is_empty()
    }

    /// The object as who holds such a token gets it.
    #[must_use]
    pub fn to(mut self, holder: Holder) -> Self {
        if holder == Holder::Embed {
            self.mentions.users.clear();
        }
        self
    }
}

/// A message always has an author; a frame without one shows as an empty name.
fn author<'a>(user: Option<&'a User>, nick: Option<&'a str>, cdn: &Cdn) -> AuthorObject<'a> {
    static NOBODY: User = User {
        id: 0,
        username: String::new(),
        display_name: None,
        avatar: None,
        bot: false,
    };
    let user = user.unwrap_or(&NOBODY);
    AuthorObject {
        id: user.id.to_string(),
        username: &user.username,
        display_name: nick
            .or(user.display_name.as_deref())
            .unwrap_or(&user.username),
        avatar: cdn.avatar(user),
        bot: user.bot,
    }
}

fn attachment(attachment: &Attachment) -> AttachmentObject<'_> {
    AttachmentObject {
        id: attachment.id.to_string(),
        filename: &attachment.filename,
        url: &attachment.url,
        proxy_url: &attachment.proxy_url,
        size: attachment.size,
        content_type: attachment.content_type.as_deref(),
        width: attachment.width,
        height: attachment.height,
    }
}

fn embed(embed: &Embed) -> EmbedObject<'_> {
    EmbedObject {
        title: embed.title.as_deref(),
        description: embed.description.as_deref(),
        url: embed.url.as_deref(),
        color: embed.color,
        thumbnail: embed.thumbnail_url.as_deref().map(|url| Image { url }),
        image: embed.image_url.as_deref().map(|url| Image { url }),
        author: embed.author_name.as_deref().map(|name| EmbedAuthor {
            name,
            icon_url: embed.author_icon_url.as_deref(),
        }),
        fields: embed.fields.iter().map(embed_field).collect(),
    }
}

fn embed_field(field: &proto::event::EmbedField) -> EmbedFieldObject<'_> {
    EmbedFieldObject {
        name: &field.name,
        value: &field.value,
        inline: field.inline,
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

fn mentions<'a>(message: &'a Message, guild: GuildId, directory: &'a Directory) -> Mentions<'a> {
    let named = |names: &'a BTreeMap<u64, String>| {
        names
            .iter()
            .map(|(id, name)| (id.to_string(), name.as_str()))
            .collect()
    };
    let roles = directory
        .role_names(guild, &message.mentioned_roles)
        .into_iter();
    Mentions {
        users: named(&message.mentioned_users),
        roles: roles.map(|(id, name)| (id.to_string(), name)).collect(),
        channels: named(&message.mentioned_channels),
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
