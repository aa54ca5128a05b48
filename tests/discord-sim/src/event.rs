//! A dispatch before it has a sequence number: its name, its guild, the intents that it needs, its body.
//! It knows Discord's table of intents and nothing of sessions.
//! <https://discord.com/developers/docs/events/gateway#list-of-intents>.

use serde_json::Value;

use crate::snowflake::Snowflake;

/// A set of gateway intents, as a client names it in IDENTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intents(pub(crate) u64);

impl Intents {
    /// Needed by what every session gets.
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const GUILDS: Self = Self(1);
    pub(crate) const MEMBERS: Self = Self(1 << 1);
    pub(crate) const MODERATION: Self = Self(1 << 2);
    pub(crate) const WEBHOOKS: Self = Self(1 << 5);
    pub(crate) const PRESENCES: Self = Self(1 << 8);
    pub(crate) const MESSAGES: Self = Self(1 << 9);
    pub(crate) const REACTIONS: Self = Self(1 << 10);
    pub(crate) const TYPING: Self = Self(1 << 11);
    pub(crate) const MESSAGE_CONTENT: Self = Self(1 << 15);

    pub(crate) const fn contains(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

/// Something that happened, to be dispatched to every session that may hear of it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: &'static str,
    pub(crate) guild_id: Snowflake,
    pub(crate) intents: Intents,
    pub(crate) body: Value,
}

impl Event {
    /// The body for a session without `MESSAGE_CONTENT`, or `None` where that intent changes nothing.
    pub(crate) fn without_content(&self, bot_id: Snowflake) -> Option<Value> {
        if self.intents != Intents::MESSAGES || self.body.get("content").is_none() {
            return None;
        }
        let mut body = self.body.clone();
        withhold(&mut body, bot_id);
        Some(body)
    }
}

/// Blanks what `MESSAGE_CONTENT` guards, in a message and in the one that it answers. The bot's own messages and those
/// that mention it keep their content.
pub(crate) fn withhold(message: &mut Value, bot_id: Snowflake) {
    if let Some(answered) = message.get_mut("referenced_message")
        && answered.is_object()
    {
        withhold(answered, bot_id);
    }
    if concerns(message, bot_id) {
        return;
    }
    blank(message);
    let snapshots = message.get_mut("message_snapshots");
    for snapshot in snapshots
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(copy) = snapshot.get_mut("message") {
            blank(copy);
        }
    }
}

fn concerns(message: &Value, bot_id: Snowflake) -> bool {
    let bot = Value::String(bot_id.to_string());
    let is_bot = |user: &Value| user.get("id") == Some(&bot);
    let mentions = message.get("mentions").and_then(Value::as_array);
    message.get("author").is_some_and(is_bot)
        || mentions.is_some_and(|users| users.iter().any(is_bot))
}

fn blank(message: &mut Value) {
    let Some(fields) = message.as_object_mut() else {
        return;
    };
    fields.insert("content".to_owned(), Value::String(String::new()));
    for list in ["embeds", "attachments", "components"] {
        fields.insert(list.to_owned(), Value::Array(Vec::new()));
    }
    fields.remove("poll");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn posted(author: &str, mentions: &Value) -> Event {
        Event {
            name: "MESSAGE_CREATE",
            guild_id: Snowflake::at(0, 1),
            intents: Intents::MESSAGES,
            body: json!({ "content": "hello", "author": { "id": author }, "mentions": mentions, "embeds": [{}] }),
        }
    }

    #[test]
    fn content_is_blank_without_the_intent_save_for_the_bot_itself() {
        let bot = Snowflake::at(0, 9);
        let bare = |event: Event| event.without_content(bot).unwrap();
        let blank = bare(posted("1", &json!([])));
        assert_eq!(blank["content"], "");
        assert_eq!(blank["embeds"], json!([]));
        assert_eq!(bare(posted("9", &json!([])))["content"], "hello");
        assert_eq!(
            bare(posted("1", &json!([{ "id": "9" }])))["content"],
            "hello"
        );
    }

    #[test]
    fn an_answered_message_and_a_forwarded_copy_are_blanked_as_well() {
        let bot = Snowflake::at(0, 9);
        let mut reply = json!({
            "content": "mine", "author": { "id": "9" },
            "referenced_message": { "content": "theirs", "author": { "id": "1" }, "poll": {} },
        });
        withhold(&mut reply, bot);
        assert_eq!(reply["content"], "mine");
        assert_eq!(reply["referenced_message"]["content"], "");
        assert!(reply["referenced_message"].get("poll").is_none());
        let mut forward = json!({
            "content": "", "author": { "id": "1" },
            "message_snapshots": [{ "message": { "content": "far away" } }],
        });
        withhold(&mut forward, bot);
        assert_eq!(forward["message_snapshots"][0]["message"]["content"], "");
    }
}
