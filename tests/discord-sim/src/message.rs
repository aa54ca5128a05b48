//! A message as it is kept, and what a client may send to make or change one.
//! It knows the syntax of mentions; who is mentioned, and how it all looks as JSON, the world knows.
//! Shape: <https://discord.com/developers/docs/resources/message>.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    pub(crate) attachments: Vec<Value>,
    pub(crate) reactions: Vec<Reaction>,
    pub(crate) reference: Option<Reference>,
    /// The copy that a forward carries.
    pub(crate) snapshot: Option<Value>,
    pub(crate) pinned: bool,
    pub(crate) flags: u64,
    /// Fields that are stored and given back as they came: components, poll, stickers.
    pub(crate) extras: Map<String, Value>,
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
}

/// What is said of a file instead of uploading it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AttachmentDraft {
    pub(crate) filename: String,
    #[serde(default)]
    pub(crate) size: u64,
    pub(crate) content_type: Option<String>,
    pub(crate) width: Option<u64>,
    pub(crate) height: Option<u64>,
    pub(crate) url: Option<String>,
    pub(crate) description: Option<String>,
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
    /// The simulator's own: sets the pin without counting as an edit.
    pub(crate) pinned: Option<bool>,
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
