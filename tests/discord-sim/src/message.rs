//! A message as it is kept, and what a client may send to make or change one.
//! It knows the syntax of mentions; who is mentioned, and how it all looks as JSON, the world knows.
//! Shape: <https://discord.com/developers/docs/resources/message>.

use actix_web::web::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::guild::User;
use crate::snowflake::Snowflake;

/// A message of one channel.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: Snowflake,
    pub(crate) channel_id: Snowflake,
    pub(crate) guild_id: Snowflake,
    pub(crate) author_id: Snowflake,
    pub(crate) content: String,
    pub(crate) edited_ms: Option<u64>,
    pub(crate) embeds: Vec<Value>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) reactions: Vec<Reaction>,
    pub(crate) reference: Option<Reference>,
    /// The copy that a forward carries.
    pub(crate) snapshot: Option<Value>,
    /// Since when it is pinned.
    pub(crate) pinned_ms: Option<u64>,
    pub(crate) flags: u64,
    /// Whose name and face it has when it came through a webhook; `author_id` is the webhook's id then.
    pub(crate) webhook: Option<User>,
    /// Fields that are stored and given back as they came: components, poll, stickers.
    pub(crate) extras: Map<String, Value>,
}

impl Message {
    /// Whether there is nothing to see in it.
    pub(crate) fn is_blank(&self) -> bool {
        self.content.trim().is_empty()
            && self.extras.is_empty()
            && self.embeds.is_empty()
            && self.attachments.is_empty()
            && self.snapshot.is_none()
    }
}

/// What a message answers or forwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    pub(crate) channel_id: Snowflake,
    pub(crate) message_id: Snowflake,
    pub(crate) is_forward: bool,
}

/// One emoji under a message, and who put it there.
#[derive(Clone, Debug)]
pub(crate) struct Reaction {
    pub(crate) emoji: Emoji,
    pub(crate) user_ids: Vec<Snowflake>,
}

/// A character, or a guild's own picture with an id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Emoji {
    pub(crate) id: Option<Snowflake>,
    pub(crate) name: String,
}

impl Emoji {
    /// Reads the form of a URL: the character itself, or `name:id`.
    pub(crate) fn parse(text: &str) -> Self {
        let custom = text
            .rsplit_once(':')
            .and_then(|(name, id)| Some((name, id.parse().ok()?)));
        match custom {
            Some((name, id)) => Self {
                id: Some(id),
                name: name.to_owned(),
            },
            None => Self {
                id: None,
                name: text.to_owned(),
            },
        }
    }
}

/// The body of a request that posts a message. `author_id` is the simulator's own: it lets a member speak.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Draft {
    pub(crate) content: Option<String>,
    pub(crate) author_id: Option<Snowflake>,
    pub(crate) embeds: Vec<Map<String, Value>>,
    pub(crate) attachments: Vec<AttachmentDraft>,
    pub(crate) message_reference: Option<ReferenceDraft>,
    pub(crate) nonce: Option<Value>,
    pub(crate) flags: u64,
    pub(crate) components: Option<Value>,
    pub(crate) poll: Option<Value>,
    pub(crate) sticker_items: Option<Value>,
    /// The id that it must have; none: a new one.
    #[serde(skip)]
    pub(crate) id: Option<Snowflake>,
    #[serde(skip)]
    pub(crate) uploads: Vec<Upload>,
    #[serde(skip)]
    pub(crate) webhook: Option<User>,
}

/// What is said of a file: beside its upload, which `id` names by its number, or instead of one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AttachmentDraft {
    #[serde(deserialize_with = "number_or_text")]
    pub(crate) id: Option<u64>,
    pub(crate) filename: String,
    pub(crate) size: u64,
    pub(crate) content_type: Option<String>,
    pub(crate) width: Option<u64>,
    pub(crate) height: Option<u64>,
    pub(crate) url: Option<String>,
    pub(crate) description: Option<String>,
}

/// A file that came with a request, under the number of its form field.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) number: u64,
    pub(crate) filename: String,
    pub(crate) content_type: Option<String>,
    pub(crate) bytes: Bytes,
}

/// A file of a message. Its link is made anew whenever the message is written, as Discord does.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    pub(crate) id: Snowflake,
    pub(crate) about: AttachmentDraft,
}

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wire {
        Number(u64),
        Text(String),
    }
    Ok(match Wire::deserialize(deserializer)? {
        Wire::Number(number) => Some(number),
        Wire::Text(text) => text.parse().ok(),
    })
}

/// What a new message answers (type 0) or forwards (type 1).
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct ReferenceDraft {
    pub(crate) message_id: Snowflake,
    pub(crate) channel_id: Option<Snowflake>,
    #[serde(default, rename = "type")]
    pub(crate) kind: u8,
}

/// The body of a request that changes a message; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Edit {
    pub(crate) content: Option<String>,
    pub(crate) embeds: Option<Vec<Map<String, Value>>>,
    pub(crate) flags: Option<u64>,
    pub(crate) components: Option<Value>,
    /// Which attachments stay.
    pub(crate) attachments: Option<Vec<Kept>>,
    /// The simulator's own: sets the pin without counting as an edit.
    pub(crate) pinned: Option<bool>,
}

/// An attachment that an edit keeps.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Kept {
    pub(crate) id: Snowflake,
}

/// Which page of a channel's messages is wanted: at most one anchor.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Page {
    pub(crate) limit: Option<u64>,
    pub(crate) before: Option<Snowflake>,
    pub(crate) after: Option<Snowflake>,
    pub(crate) around: Option<Snowflake>,
}

/// Ids mentioned as `<@id>` or `<@!id>` (users) in the order of their first mention.
pub(crate) fn mentioned_users(content: &str) -> Vec<Snowflake> {
    mentioned(content, |inner| inner.strip_prefix('!').unwrap_or(inner))
}

/// Ids mentioned as `<@&id>` (roles) in the order of their first mention.
pub(crate) fn mentioned_roles(content: &str) -> Vec<Snowflake> {
    mentioned(content, |inner| inner.strip_prefix('&').unwrap_or("-"))
}

fn mentioned(content: &str, digits: fn(&str) -> &str) -> Vec<Snowflake> {
    let mut ids = Vec::new();
    for opened in content.split("<@").skip(1) {
        let id = opened
            .split_once('>')
            .and_then(|(inner, _)| digits(inner).parse().ok());
        if let Some(id) = id
            && !ids.contains(&id)
        {
            ids.push(id);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[&str]) -> Vec<Snowflake> {
        numbers
            .iter()
            .map(|number| number.parse().unwrap())
            .collect()
    }

    #[test]
    fn mentions_are_read_once_each_and_kinds_are_not_mixed() {
        let content = "hi <@12> and <@!13>, <@12> again, <@&14> too, <@x> <@15";
        assert_eq!(mentioned_users(content), ids(&["12", "13"]));
        assert_eq!(mentioned_roles(content), ids(&["14"]));
    }

    #[test]
    fn an_emoji_is_a_character_or_a_name_with_an_id() {
        assert_eq!(
            Emoji::parse("🎉"),
            Emoji {
                id: None,
                name: "🎉".to_owned()
            }
        );
        assert_eq!(
            Emoji::parse("wave:77"),
            Emoji {
                id: "77".parse().ok(),
                name: "wave".to_owned()
            }
        );
    }
}
