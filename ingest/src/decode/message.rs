//! Discord's message object as ours (<https://docs.discord.com/developers/resources/message#message-object>).
//!
//! What the model has no field for is kept as raw JSON, so that nothing is lost between here and whoever learns to
//! show it. A message is never blank: the system's have their text, and what can't be shown has a label.

use std::collections::BTreeMap;

use proto::event::{Message, Reaction, Reply, User};
use proto::{ChannelId, GuildId, MessageId};

use super::json::{Object, without_nul};
use components::components;
use forward::forward;
use media::{attachments, embeds, stickers};
use placeholder::{Placeholder, Placeholders, is_blank_embed};
use poll::poll;
use system::System;

mod components;
mod forward;
mod media;
pub(super) mod placeholder;
mod poll;
mod system;

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
    "message_snapshots",
    "nonce",
    "pinned",
    "poll",
    "reactions",
    "sticker_items",
    "thread",
    "timestamp",
    "type",
    "webhook_id",
];

/// Fields of an attachment that the model holds, or that show nothing; any other makes its list raw JSON too.
const ATTACHMENT: &[&str] = &[
    "content_scan_version",
    "content_type",
    "description",
    "duration_secs",
    "filename",
    "flags",
    "height",
    "id",
    "placeholder",
    "placeholder_version",
    "proxy_url",
    "size",
    "title",
    "url",
    "waveform",
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
    "footer",
    "id",
    "image",
    "provider",
    "thumbnail",
    "timestamp",
    "title",
    "type",
    "url",
    "video",
];

/// A message, and what stands in it for what can't be shown.
pub(super) struct Read {
    pub(super) message: Message,
    pub(super) placeholders: Placeholders,
}

/// Reads a message; none without an id.
pub(super) fn message(object: &Object<'_>, guild: GuildId, channel: ChannelId) -> Option<Read> {
    let id = MessageId::new(object.id("id")?)?;
    let reply = reply(object);
    let created_ms = i64::try_from(id.created_ms()).unwrap_or_default();
    let Read {
        message,
        placeholders,
    } = shown(object, id);
    let mut dropped = Vec::new();
    if reply.is_some() {
        dropped.extend(["message_reference", "referenced_message"]);
    }
    if !placeholders.has(Placeholder::Component) {
        dropped.push("components");
    }
    let message = Message {
        id: id.get(),
        channel_id: channel.get(),
        guild_id: guild.get(),
        timestamp_ms: object.time_ms("timestamp").unwrap_or(created_ms),
        edited_timestamp_ms: object.time_ms("edited_timestamp"),
        reactions: reactions(object),
        mentioned_users: mentioned_users(object),
        mentioned_roles: object.ids("mention_roles"),
        mentioned_channels: mentioned_channels(object),
        pinned: object.flag("pinned"),
        webhook_id: object.id("webhook_id"),
        thread_id: object.object("thread").and_then(|thread| thread.id("id")),
        raw: raw(object, &dropped).into(),
        reply,
        ..message
    };
    Some(Read {
        message,
        placeholders,
    })
}

/// What there is to see in a message, never nothing. It does not look at what the message answers, so that no
/// depth of quotations is ever followed.
fn shown(object: &Object<'_>, id: MessageId) -> Read {
    let member = object.object("member");
    let mut placeholders = Placeholders::default();
    let message = Message {
        author: object.object("author").as_ref().and_then(user),
        nick: member.and_then(|member| member.text("nick")),
        content: object.text("content").unwrap_or_default(),
        kind: object.number("type").unwrap_or_default(),
        flags: object.number("flags").unwrap_or_default(),
        attachments: attachments(object),
        embeds: embeds(object, &mut placeholders),
        stickers: stickers(object, &mut placeholders),
        poll: poll(object, &mut placeholders),
        forward: forward(object, &mut placeholders),
        components: components(object, &mut placeholders),
        ..Message::default()
    };
    readable(message, object, id, placeholders)
}

/// The message with a text of its own if it is the system's, or a label if there is nothing to show.
fn readable(
    mut message: Message,
    object: &Object<'_>,
    id: MessageId,
    mut placeholders: Placeholders,
) -> Read {
    let system = System {
        kind: message.kind,
        id,
        name: shown_name(&message),
        content: &message.content,
        object,
    };
    let text = system.text();
    let is_known = text.is_some() || system::is_ordinary(message.kind);
    if let Some(text) = text {
        message.content = text;
    }
    if system::is_for_the_client(message.kind) {
        message
            .embeds
            .iter_mut()
            .for_each(|embed| embed.fields.clear());
        message.embeds.retain(|embed| !is_blank_embed(embed));
    }
    if let Some((placeholder, label)) = placeholder::of_blank(&message, is_known) {
        placeholders.add(placeholder);
        message.content = label;
    }
    Read {
        message,
        placeholders,
    }
}

/// The author's name as the guild shows it.
fn shown_name(message: &Message) -> &str {
    let author = message.author.as_ref();
    let shown = message.nick.as_deref();
    let shown = shown.or_else(|| author.and_then(|author| author.display_name.as_deref()));
    let shown = shown.or_else(|| author.map(|author| author.username.as_str()));
    shown.filter(|name| !name.is_empty()).unwrap_or("Somebody")
}

/// The reactions of a message.
pub(super) fn reactions(object: &Object<'_>) -> Vec<Reaction> {
    let reactions = object.objects("reactions");
    reactions.iter().filter_map(reaction).collect()
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
    let original = original.filter(|_| !elsewhere || kind == THREAD_STARTER);
    Some(Reply {
        message_id: reference.id("message_id")?,
        author: original
            .as_ref()
            .and_then(|original| original.object("author"))
            .as_ref()
            .and_then(user),
        content: original.as_ref().and_then(preview),
    })
}

/// What a reply quotes: the original's text, or what it has instead of one.
fn preview(original: &Object<'_>) -> Option<String> {
    // An original of which Discord says nothing but its id is not one without text.
    original.raw("content")?;
    let message = shown(original, MessageId::new(original.id("id")?)?).message;
    if !message.content.trim().is_empty() {
        return Some(message.content);
    }
    let label = if let Some(poll) = &message.poll {
        format!("[Poll: {}]", poll.question)
    } else if let Some(sticker) = message.stickers.first() {
        format!("[Sticker: {}]", sticker.name)
    } else if let Some(forward) = &message.forward {
        let content = forward.content.trim();
        if content.is_empty() {
            "[Forwarded message]".to_owned()
        } else {
            content.to_owned()
        }
    } else if let Some(attachment) = message.attachments.first() {
        format!("[Attachment: {}]", attachment.filename)
    } else if message.components.is_empty() {
        "[Embed]".to_owned()
    } else {
        "[Components]".to_owned()
    };
    Some(label)
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

/// What the model has no field for, as one JSON object, without fields that it holds whole of this message; empty where
/// there is nothing.
fn raw(object: &Object<'_>, dropped: &[&str]) -> Vec<u8> {
    let mut json = String::new();
    for (name, value) in object.fields() {
        let is_kept = match name {
            "attachments" => has_more(object, name, ATTACHMENT),
            "embeds" => has_more(object, name, EMBED),
            _ => !MODELLED.contains(&name) && !dropped.contains(&name),
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
