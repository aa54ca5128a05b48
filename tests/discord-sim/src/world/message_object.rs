//! Messages as JSON: what REST answers, what events carry, what a forward shows.

use serde_json::{Value, json};

use super::{BOT_ID, World};
use crate::message::{Message, Reaction, ReferenceDraft, mentioned_roles, mentioned_users};
use crate::object::set;
use crate::snowflake::{Snowflake, iso8601};

/// Types of messages (<https://discord.com/developers/docs/resources/message#message-object-message-types>).
const DEFAULT: u8 = 0;
const REPLY: u8 = 19;
/// What a thread that began at a message shows first: that message.
const THREAD_STARTER: u8 = 21;

impl World {
    /// A message with the message that it answers, one level deep, as REST writes it.
    pub(super) fn message_json(&self, message: &Message) -> Value {
        let mut body = self.plain_json(message);
        let Some(reference) = message.reference else {
            return body;
        };
        set(
            &mut body,
            "message_reference",
            json!({
                "type": u8::from(reference.is_forward),
                "message_id": reference.message_id,
                "channel_id": reference.channel_id,
                "guild_id": message.guild_id,
            }),
        );
        if reference.is_forward {
            set(
                &mut body,
                "message_snapshots",
                json!([{ "message": message.snapshot }]),
            );
        } else {
            let original = self.find(reference.channel_id, reference.message_id);
            set(
                &mut body,
                "referenced_message",
                json!(original.map(|original| self.plain_json(original))),
            );
        }
        body
    }

    fn plain_json(&self, message: &Message) -> Value {
        let author = message.webhook.as_ref();
        let author = author.or_else(|| self.users.get(&message.author_id));
        let attachments = message.attachments.iter();
        let attachments = attachments.map(|file| self.files.to_json(message.channel_id, file));
        let answered = message.reference.filter(|reference| !reference.is_forward);
        let kind = match answered {
            // A thread has the id of the message that it began at.
            Some(reference) if reference.message_id == message.channel_id => THREAD_STARTER,
            Some(_) => REPLY,
            None => DEFAULT,
        };
        let mut body = json!({
            "id": message.id,
            "channel_id": message.channel_id,
            "type": kind,
            "author": author,
            "content": message.content,
            "timestamp": iso8601(message.id.unix_ms()),
            "edited_timestamp": message.edited_ms.map(iso8601),
            "tts": false,
            "pinned": message.pinned_ms.is_some(),
            "flags": message.flags,
            "mention_everyone": message.content.contains("@everyone") || message.content.contains("@here"),
            "mentions": mentioned_users(&message.content).iter().filter_map(|id| self.users.get(id)).collect::<Vec<_>>(),
            "mention_roles": mentioned_roles(&message.content),
            "attachments": attachments.collect::<Vec<_>>(),
            "embeds": message.embeds,
            "components": [],
        });
        if message.webhook.is_some() {
            set(&mut body, "webhook_id", json!(message.author_id));
        }
        if !message.reactions.is_empty() {
            set(
                &mut body,
                "reactions",
                message.reactions.iter().map(reaction_json).collect(),
            );
        }
        for (name, value) in &message.extras {
            set(&mut body, name, value.clone());
        }
        if let Some(thread) = self.channels.get(&message.id) {
            set(&mut body, "thread", thread.to_json());
        }
        body
    }

    /// What a forward shows of the original: no author, no ids.
    pub(super) fn snapshot(&self, channel_id: Snowflake, wanted: ReferenceDraft) -> Option<Value> {
        let original = self.find(wanted.channel_id.unwrap_or(channel_id), wanted.message_id)?;
        let mut snapshot = self.plain_json(original);
        let fields = snapshot.as_object_mut()?;
        for hidden in [
            "id",
            "channel_id",
            "author",
            "pinned",
            "reactions",
            "tts",
            "mention_everyone",
            "thread",
        ] {
            fields.remove(hidden);
        }
        Some(snapshot)
    }
}

fn reaction_json(reaction: &Reaction) -> Value {
    let count = reaction.user_ids.len();
    json!({
        "emoji": reaction.emoji,
        "count": count,
        "count_details": { "burst": 0, "normal": count },
        "burst_colors": [],
        "me": reaction.user_ids.contains(&BOT_ID),
        "me_burst": false,
    })
}
