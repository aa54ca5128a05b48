//! What has become of stored messages in Discord: edits, deletions, totals of reactions. Pure.
//!
//! A frame and REST tell the same message differently: a frame has the author's nickname, and a file's link is signed
//! anew at each reading. Compared is what an edit, a link preview or a pin changes, and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use prost::Message as _;
use proto::event::{Event, Message, MessageDeleted, Reaction, ReactionsChanged};
use proto::hash::fnv1a;
use proto::{Identity, MessageId, link};

use super::book::Found;

/// What Discord has of a run of messages.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// All of them, those that are not shown too.
    pub(super) ids: BTreeSet<u64>,
    /// Those that are shown.
    pub(super) messages: HashMap<u64, Message>,
    /// There is no other message from this one on.
    pub(super) from: u64,
}

/// What is to be published, and what it is.
#[derive(Debug, Default)]
pub(super) struct Differences {
    pub(super) events: Vec<(Identity, Event)>,
    pub(super) found: Found,
}

/// Compares what is stored with what Discord has, in the session of this epoch.
pub(super) fn differences(epoch: u64, stored: &[Message], present: &Present) -> Differences {
    let mut differences = Differences::default();
    for stored in stored {
        let Some(id) = MessageId::new(stored.id).filter(|id| id.get() >= present.from) else {
            continue;
        };
        match present.messages.get(&stored.id) {
            Some(read) => differences.compare(epoch, id, stored, read),
            None if present.ids.contains(&stored.id) => {}
            None => {
                let message_id = id.get();
                let event = Event::MessageDeleted(MessageDeleted { message_id });
                differences.events.push((Identity::Delete(id), event));
                differences.found.deletes += 1;
            }
        }
    }
    differences
}

impl Differences {
    fn compare(&mut self, epoch: u64, id: MessageId, stored: &Message, read: &Message) {
        let shape = shape(read);
        if shape != self::shape(stored) {
            let identity = Identity::Backfill(epoch, id, fnv1a(&shape.encode_to_vec()));
            let event = Event::MessageUpdated(updated(stored, read));
            self.events.push((identity, event));
            self.found.edits += 1;
        }
        if sorted(&read.reactions) != sorted(&stored.reactions) {
            let changed = ReactionsChanged {
                message_id: id.get(),
                reactions: read.reactions.clone(),
                mark: None,
            };
            let identity = Identity::Backfill(epoch, id, fnv1a(&changed.encode_to_vec()));
            self.events
                .push((identity, Event::ReactionsChanged(changed)));
            self.found.reactions += 1;
        }
    }
}

/// The message as Discord has it, with the names that only a frame tells.
fn updated(stored: &Message, read: &Message) -> Message {
    let mut updated = read.clone();
    // They are an event of their own: an edit never changes them.
    updated.reactions.clear();
    updated.nick = updated.nick.or_else(|| stored.nick.clone());
    for (id, name) in &mut updated.mentioned_users {
        if let Some(known) = stored.mentioned_users.get(id) {
            name.clone_from(known);
        }
    }
    updated
}

/// What an edit, a link preview or a pin changes.
fn shape(message: &Message) -> Message {
    let mut shape = Message {
        author: None,
        nick: None,
        reactions: Vec::new(),
        reply: None,
        mentioned_users: BTreeMap::new(),
        mentioned_channels: BTreeMap::new(),
        raw: Bytes::new(),
        ..message.clone()
    };
    link::each_mut(&mut shape, &mut |url| {
        if link::path(url).is_some()
            && let Some((place, _)) = url.split_once('?')
        {
            *url = place.to_owned();
        }
    });
    // Votes come and go without a word; the end of a poll is an edit.
    if let Some(poll) = &mut shape.poll
        && !poll.finalized
    {
        for answer in &mut poll.answers {
            answer.votes = None;
        }
    }
    shape
}

/// Totals in an order of their own: Discord's may differ. A custom emoji may have been renamed.
fn sorted(reactions: &[Reaction]) -> Vec<(Option<u64>, &str, u32)> {
    let reactions = reactions.iter().map(|reaction| {
        let name = match reaction.emoji_id {
            Some(_) => "",
            None => reaction.emoji.as_str(),
        };
        (reaction.emoji_id, name, reaction.count)
    });
    let mut sorted: Vec<_> = reactions.collect();
    sorted.sort_unstable();
    sorted
}

#[cfg(test)]
mod tests {
    use proto::event::Attachment;

    use super::*;

    fn message(id: u64, content: &str) -> Message {
        Message {
            id,
            content: content.into(),
            ..Message::default()
        }
    }

    fn present(messages: Vec<Message>, from: u64) -> Present {
        Present {
            ids: messages.iter().map(|message| message.id).collect(),
            messages: messages
                .into_iter()
                .map(|message| (message.id, message))
                .collect(),
            from,
        }
    }

    fn reacted(id: u64, counts: &[(&str, u32)]) -> Message {
        let reaction = |(emoji, count): &(&str, u32)| Reaction {
            emoji: (*emoji).into(),
            count: *count,
            ..Reaction::default()
        };
        Message {
            reactions: counts.iter().map(reaction).collect(),
            ..message(id, "x")
        }
    }

    fn identities(stored: &[Message], present: &Present) -> Vec<String> {
        let found = differences(1, stored, present);
        let identities = found.events.iter();
        identities
            .map(|(identity, _)| {
                let identity = identity.to_string();
                let parts: Vec<_> = identity.split('-').collect();
                match parts.as_slice() {
                    ["b", _, id, _] => format!("b-{id}"),
                    _ => identity,
                }
            })
            .collect()
    }

    #[test]
    fn what_was_edited_deleted_or_reacted_to_is_found_and_nothing_else() {
        let stored = [
            message(1, "below what was read"),
            message(2, "same"),
            message(3, "old"),
            message(4, "gone"),
            message(5, "not shown"),
            reacted(6, &[("a", 1), ("b", 2)]),
            reacted(7, &[("a", 1)]),
        ];
        let mut read = present(
            vec![
                message(2, "same"),
                message(3, "new"),
                reacted(6, &[("b", 2), ("a", 1)]),
                reacted(7, &[]),
                message(8, "unknown here"),
            ],
            2,
        );
        read.ids.insert(5);
        assert_eq!(identities(&stored, &read), ["b-3", "delete-4", "b-7"]);
        let found = differences(1, &stored, &read).found;
        assert_eq!((found.edits, found.deletes, found.reactions), (1, 1, 1));
    }

    #[test]
    fn what_only_a_frame_tells_is_no_edit_and_stays_when_there_is_one() {
        let mut stored = message(1, "x");
        stored.nick = Some("Nick".into());
        stored.mentioned_users.insert(7, "Seven's nick".into());
        stored.attachments.push(Attachment {
            url: "https://cdn.example/attachments/1/2/a.png?ex=5&is=4&hm=0".into(),
            ..Attachment::default()
        });
        let mut read = message(1, "x");
        read.mentioned_users.insert(7, "seven".into());
        read.attachments.push(Attachment {
            url: "https://cdn.example/attachments/1/2/a.png?ex=9&is=8&hm=1".into(),
            ..Attachment::default()
        });
        let stored = [stored];
        assert_eq!(
            identities(&stored, &present(vec![read.clone()], 0)),
            [""; 0]
        );
        read.pinned = true;
        let found = differences(1, &stored, &present(vec![read], 0));
        let Event::MessageUpdated(updated) = &found.events[0].1 else {
            panic!("an edit");
        };
        assert_eq!(updated.nick.as_deref(), Some("Nick"));
        assert_eq!(updated.mentioned_users[&7], "Seven's nick");
        assert!(updated.pinned && updated.attachments[0].url.contains("ex=9"));
    }

    #[test]
    fn the_same_state_has_the_same_identity_and_another_state_another() {
        let of = |content: &str| {
            let read = present(vec![message(1, content)], 0);
            let found = differences(1, &[message(1, "old")], &read);
            found.events[0].0.clone()
        };
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
    }
}
