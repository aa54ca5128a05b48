//! Discord's message object as ours (<https://docs.discord.com/developers/resources/message#message-object>).
//!
//! What the model has no field for (components, polls, snapshots, stickers, …) is kept as raw JSON, so that
//! nothing is lost between here and whoever learns to show it.

use std::collections::BTreeMap;

use proto::event::{Attachment, Embed, EmbedField, Message, Reaction, Reply, User};
use proto::{ChannelId, GuildId, MessageId};

use super::json::{Object, without_nul};

/// Message types that answer another message: a reply, and the first message of a thread.
const ANSWERS: [u32; 2] = [19, THREAD_STARTER];
const THREAD_STARTER: u32 = 21;

/// Fields of a message that the model holds, or that say nothing to a viewer.
const MODELLED: &[&str] = &[
    "attachments",
    "author",
    "channel_id",
    "channel_type",
    "content",
    "edited_timestamp",
    "embeds",
    "flags",
    "guild_id",
    "id",
    "member",
    "mention_channels",
    "mention_roles",
    "mentions",
    "nonce",
    "pinned",
    "reactions",
    "thread",
    "timestamp",
    "type",
    "webhook_id",
];

/// Fields of an attachment that the model holds, or that show nothing; any other makes its list raw JSON too.
const ATTACHMENT: &[&str] = &[
    "content_scan_version",
    "content_type",
    "filename",
    "flags",
    "height",
    "id",
    "placeholder",
    "placeholder_version",
    "proxy_url",
    "size",
    "url",
    "width",
];

/// The same for an embed.
const EMBED: &[&str] = &[
    "author",
    "color",
    "content_scan_version",
    "description",
    "fields",
    "flags",
    "id",
    "image",
    "thumbnail",
    "title",
    "type",
    "url",
];

/// Reads a message; none without an id.
pub(super) fn message(object: &Object<'_>, guild: GuildId, channel: ChannelId) -> Option<Message> {
    let id = MessageId::new(object.id("id")?)?;
    let member = object.object("member");
    let reply = reply(object);
    let created_ms = i64::try_from(id.created_ms()).unwrap_or_default();
    Some(Message {
        id: id.get(),
        channel_id: channel.get(),
        guild_id: guild.get(),
        author: object.object("author").as_ref().and_then(user),
        nick: member.and_then(|member| member.text("nick")),
        content: object.text("content").unwrap_or_default(),
        timestamp_ms: object.time_ms("timestamp").unwrap_or(created_ms),
        edited_timestamp_ms: object.time_ms("edited_timestamp"),
        kind: object.number("type").unwrap_or_default(),
        flags: object.number("flags").unwrap_or_default(),
        attachments: each(object, "attachments", attachment),
        embeds: each(object, "embeds", embed),
        reactions: reactions(object),
        mentioned_users: mentioned_users(object),
        mentioned_roles: object.ids("mention_roles"),
        mentioned_channels: mentioned_channels(object),
        pinned: object.flag("pinned"),
        webhook_id: object.id("webhook_id"),
        thread_id: object.object("thread").and_then(|thread| thread.id("id")),
        raw: raw(object, reply.is_some()).into(),
        reply,
    })
}

/// The reactions of a message.
pub(super) fn reactions(object: &Object<'_>) -> Vec<Reaction> {
    each(object, "reactions", reaction)
}

/// Reads a user; none without an id.
pub(super) fn user(object: &Object<'_>) -> Option<User> {
    Some(User {
        id: object.id("id")?,
        username: object.text("username").unwrap_or_default(),
        display_name: object.text("global_name"),
        avatar: object.text("avatar"),
        bot: object.flag("bot"),
    })
}

fn each<T>(object: &Object<'_>, name: &str, read: fn(&Object<'_>) -> Option<T>) -> Vec<T> {
    object.objects(name).iter().filter_map(read).collect()
}

fn attachment(object: &Object<'_>) -> Option<Attachment> {
    Some(Attachment {
        id: object.id("id")?,
        filename: object.text("filename").unwrap_or_default(),
        url: object.text("url").unwrap_or_default(),
        proxy_url: object.text("proxy_url").unwrap_or_default(),
        size: object.number("size").unwrap_or_default(),
        content_type: object.text("content_type"),
        width: object.number("width"),
        height: object.number("height"),
        flags: object.number("flags").unwrap_or_default(),
    })
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "each() takes readers that may find nothing"
)]
fn embed(object: &Object<'_>) -> Option<Embed> {
    let url_of = |name| object.object(name).and_then(|media| media.text("url"));
    let author = object.object("author").unwrap_or_default();
    Some(Embed {
        title: object.text("title"),
        description: object.text("description"),
        url: object.text("url"),
        color: object.number("color"),
        thumbnail_url: url_of("thumbnail"),
        image_url: url_of("image"),
        author_name: author.text("name"),
        author_icon_url: author.text("icon_url"),
        fields: each(object, "fields", embed_field),
    })
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "each() takes readers that may find nothing"
)]
fn embed_field(object: &Object<'_>) -> Option<EmbedField> {
    Some(EmbedField {
        name: object.text("name").unwrap_or_default(),
        value: object.text("value").unwrap_or_default(),
        inline: object.flag("inline"),
    })
}

fn reaction(object: &Object<'_>) -> Option<Reaction> {
    let emoji = object.object("emoji")?;
    Some(Reaction {
        emoji: emoji.text("name").unwrap_or_default(),
        emoji_id: emoji.id("id"),
        animated: emoji.flag("animated"),
        count: object.number("count").unwrap_or_default(),
    })
}

/// What a message answers. Forwards, pins and crossposts refer to a message too and answer nothing.
fn reply(object: &Object<'_>) -> Option<Reply> {
    let reference = object.object("message_reference")?;
    let kind: u32 = object.number("type").unwrap_or_default();
    let original = object.object("referenced_message");
    if !ANSWERS.contains(&kind) && original.is_none() {
        return None;
    }
    // What stands in another channel is another channel's to show, but where a thread shows what it began at.
    let referred = reference.id("channel_id");
    let elsewhere = referred.is_some() && referred != object.id("channel_id");
    let original = original
        .filter(|_| !elsewhere || kind == THREAD_STARTER)
        .unwrap_or_default();
    Some(Reply {
        message_id: reference.id("message_id")?,
        author: original.object("author").as_ref().and_then(user),
        content: original.text("content"),
    })
}

/// The mentioned users by the name that this guild shows: nickname, display name, username.
fn mentioned_users(object: &Object<'_>) -> BTreeMap<u64, String> {
    let named = |mention: &Object<'_>| {
        let nick = mention
            .object("member")
            .and_then(|member| member.text("nick"));
        let name = nick.or_else(|| mention.text("global_name"));
        let name = name.or_else(|| mention.text("username"));
        Some((mention.id("id")?, name.unwrap_or_default()))
    };
    object
        .objects("mentions")
        .iter()
        .filter_map(named)
        .collect()
}

fn mentioned_channels(object: &Object<'_>) -> BTreeMap<u64, String> {
    let channels = object.objects("mention_channels");
    let named = channels.iter();
    named
        .filter_map(|channel| Some((channel.id("id")?, channel.text("name").unwrap_or_default())))
        .collect()
}

/// What the model has no field for, as one JSON object; empty where there is nothing.
fn raw(object: &Object<'_>, is_reply: bool) -> Vec<u8> {
    let mut json = String::new();
    for (name, value) in object.fields() {
        let is_kept = match name {
            "attachments" => has_more(object, name, ATTACHMENT),
            "embeds" => has_more(object, name, EMBED),
            "message_reference" | "referenced_message" => !is_reply,
            _ => !MODELLED.contains(&name),
        };
        if !is_kept || is_empty(value.get()) {
            continue;
        }
        json.push(if json.is_empty() { '{' } else { ',' });
        json.push_str(&serde_json::Value::from(name).to_string());
        json.push(':');
        json.push_str(value.get());
    }
    if json.is_empty() {
        return Vec::new();
    }
    json.push('}');
    without_nul(&json).into_owned().into_bytes()
}

/// Whether an object of this list has a field beyond the known ones.
fn has_more(object: &Object<'_>, name: &str, known: &[&str]) -> bool {
    let objects = object.objects(name);
    let mut fields = objects.iter().flat_map(Object::fields);
    fields.any(|(name, value)| !known.contains(&name) && !is_empty(value.get()))
}

/// Values that say nothing.
fn is_empty(json: &str) -> bool {
    matches!(json, "null" | "false" | "\"\"" | "[]" | "{}")
}
