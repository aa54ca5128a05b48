//! What a message tells of somebody, and the message without it. Pure: it knows one user and the messages whose text is
//! theirs.

use std::collections::HashSet;

use proto::event::{Forward, Message};
use proto::id::{MessageId, UserId};

/// What stands in place of a copy.
const ERASED: &str = "[Erased]";

/// A user, and what is known to be theirs.
#[derive(Debug, Clone)]
pub struct Trail {
    user: UserId,
    /// Messages whose text is theirs: their own, and others' copies of those. 8 bytes each.
    messages: HashSet<u64>,
    /// The user's id as Discord's JSON has it.
    quoted: String,
}

/// What a message told of the user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Who was answered, or with which text.
    pub reply: bool,
    /// A copy of one of their messages.
    pub forward: bool,
    /// Their name, in a mention or in what is not modelled.
    pub name: bool,
}

impl Found {
    /// It told something.
    pub fn is_something(self) -> bool {
        self != Self::default()
    }

    /// It told what the user has written, and not their name alone.
    pub fn is_text(self) -> bool {
        self.reply || self.forward
    }
}

impl Trail {
    /// Of this user nothing is known yet.
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            messages: HashSet::new(),
            quoted: format!("\"{user}\""),
        }
    }

    /// Whose it is.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// A message is theirs.
    pub fn add(&mut self, message: MessageId) {
        self.messages.insert(message.get());
    }

    /// Whether they wrote this. A webhook's id is no user.
    pub fn is_theirs(&self, message: &Message) -> bool {
        let author = message.author.as_ref().map(|author| author.id);
        message.webhook_id.is_none() && author == Some(self.user.get())
    }

    /// Takes out what somebody else's message tells of the user. Of copies the trail learns, so that what quotes them
    /// is found too: show it messages in the order of their ids.
    pub fn forget(&mut self, message: &mut Message) -> Found {
        let mut found = Found {
            reply: self.forget_reply(message),
            forward: self.forget_forward(message),
            name: false,
        };
        let forwarded = message.forward.as_mut();
        let mentions = forwarded.map(|forward| &mut forward.mentioned_users);
        for names in mentions.into_iter().chain([&mut message.mentioned_users]) {
            found.name |= names.remove(&self.user.get()).is_some();
        }
        let raw = String::from_utf8_lossy(&message.raw);
        if raw.contains(&self.quoted) {
            message.raw.clear();
            found.name = true;
        }
        found
    }

    fn forget_reply(&self, message: &mut Message) -> bool {
        let Some(reply) = &mut message.reply else {
            return false;
        };
        let author = reply.author.as_ref().map(|author| author.id);
        let is_theirs =
            author == Some(self.user.get()) || self.messages.contains(&reply.message_id);
        let told = (reply.author.is_some() || reply.content.is_some()) && is_theirs;
        if told {
            (reply.author, reply.content) = (None, None);
        }
        told
    }

    fn forget_forward(&mut self, message: &mut Message) -> bool {
        let Some(forward) = &mut message.forward else {
            return false;
        };
        let original = forward.message_id.unwrap_or_default();
        if !self.messages.contains(&original) {
            return false;
        }
        self.messages.insert(message.id);
        let erased = Forward {
            message_id: forward.message_id,
            content: ERASED.to_owned(),
            timestamp_ms: forward.timestamp_ms,
            ..Forward::default()
        };
        std::mem::replace(forward, erased.clone()) != erased
    }
}

#[cfg(test)]
mod tests {
    use proto::event::{Attachment, Reply, User};

    use super::*;

    const USER: u64 = 3;

    fn trail() -> Trail {
        let mut trail = Trail::new(UserId::new(USER).unwrap());
        trail.add(MessageId::new(10).unwrap());
        trail
    }

    fn by(id: u64, author: u64) -> Message {
        Message {
            id,
            author: Some(User {
                id: author,
                ..User::default()
            }),
            content: "own words".into(),
            ..Message::default()
        }
    }

    fn reply(id: u64, original: u64, author: Option<u64>) -> Message {
        let author = author.map(|id| User {
            id,
            ..User::default()
        });
        Message {
            reply: Some(Reply {
                message_id: original,
                author,
                content: Some("theirs".into()),
            }),
            ..by(id, 4)
        }
    }

    fn forward(id: u64, original: Option<u64>) -> Message {
        Message {
            forward: Some(Forward {
                message_id: original,
                content: "theirs".into(),
                timestamp_ms: 7,
                attachments: vec![Attachment::default()],
                mentioned_users: [(9, "somebody".into())].into(),
                ..Forward::default()
            }),
            ..by(id, 4)
        }
    }

    #[test]
    fn a_webhook_that_has_the_users_id_is_not_the_user() {
        let mut message = by(1, USER);
        assert!(trail().is_theirs(&message) && !trail().is_theirs(&by(1, 4)));
        message.webhook_id = Some(USER);
        assert!(!trail().is_theirs(&message));
        message.author = None;
        assert!(!trail().is_theirs(&message));
    }

    #[test]
    fn replies_lose_whom_and_what_they_answer_and_keep_the_rest() {
        let table = [
            (reply(20, 11, Some(USER)), true),
            (reply(20, 10, None), true),
            (reply(20, 10, Some(4)), true),
            (reply(20, 11, Some(4)), false),
            (by(20, 4), false),
        ];
        for (mut message, is_found) in table {
            let before = message.clone();
            let found = trail().forget(&mut message);
            assert_eq!((found.reply, found.is_text()), (is_found, is_found));
            assert_eq!(message.content, "own words");
            if is_found {
                let left = message.reply.clone().unwrap();
                assert_eq!((left.author, left.content), (None, None));
            } else {
                assert_eq!(message, before);
            }
            assert!(!trail().forget(&mut message).is_something(), "twice");
        }
    }

    #[test]
    fn copies_become_a_label_and_what_quotes_a_copy_is_found() {
        let mut trail = trail();
        let mut copy = forward(20, Some(10));
        assert!(trail.forget(&mut copy).forward);
        let left = copy.forward.clone().unwrap();
        assert_eq!((left.content.as_str(), left.timestamp_ms), ("[Erased]", 7));
        assert!(left.attachments.is_empty() && left.mentioned_users.is_empty());
        assert!(trail.forget(&mut reply(21, 20, Some(4))).reply);
        assert!(trail.forget(&mut forward(22, Some(20))).forward);
        for original in [None, Some(11)] {
            let mut other = forward(23, original);
            assert!(!trail.forget(&mut other).is_something());
        }
        assert!(!trail.forget(&mut copy).is_something(), "twice");
        assert!(trail.forget(&mut reply(24, 20, None)).reply);
    }

    #[test]
    fn names_go_from_mentions_and_from_what_is_not_modelled() {
        let mut message = forward(20, Some(11));
        message.mentioned_users = [(USER, "ada".into()), (9, "bob".into())].into();
        message.raw = br#"{"interaction":{"user":{"id":"3","username":"ada"}}}"#
            .to_vec()
            .into();
        let found = trail().forget(&mut message);
        assert!(found.name && !found.is_text());
        assert_eq!(message.mentioned_users.len(), 1);
        assert!(message.raw.is_empty());
        let mut other = by(21, 4);
        other.raw = br#"{"id":"33"}"#.to_vec().into();
        assert!(!trail().forget(&mut other).is_something());
    }
}
