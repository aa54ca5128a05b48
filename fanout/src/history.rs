//! A channel's messages as a run, with its events applied: what pages and rooms show.
//!
//! Where they are read from is the [`Library`]'s; that files' links hold and that a channel has what was posted before
//! anybody listened, ingest is asked for.

use std::collections::{BTreeMap, BTreeSet};

use proto::MessageId;
use proto::event::{Event, Message, Reaction};

pub use fills::Fills;
pub use library::{Library, NoPage};
pub use links::{AHEAD_MS as LINKS_AHEAD_MS, Links};

mod fills;
mod library;
mod links;
pub mod preview;

/// A run of messages, oldest first by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Messages {
    by_id: BTreeMap<u64, Message>,
    deleted: BTreeSet<u64>,
    /// The message of another channel that this thread began at, once it is deleted. Kept apart: among those that are
    /// deleted here it would be the oldest, and the first that is forgotten.
    deleted_start: Option<u64>,
    /// The oldest message that was read, deleted or not: where an older page begins.
    oldest: Option<u64>,
    /// There are older ones.
    pub has_more: bool,
}

/// What an event did to a run of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Viewers are to be told.
    Told,
    /// A double, or an event of a message that was deleted before: nobody is told.
    Known,
}

/// A page and the sequence that it is complete to.
#[derive(Debug)]
pub struct History {
    /// The messages.
    pub messages: Messages,
    /// Everything up to here is in them.
    pub complete_to: u64,
    /// Discord has older ones that are being read.
    pub is_partial: bool,
    /// When the first of its links runs out, in milliseconds since 1970.
    pub links_until_ms: Option<i64>,
}

impl Messages {
    /// A run of messages.
    pub fn new(messages: Vec<Message>, has_more: bool) -> Self {
        let by_id: BTreeMap<_, _> = messages
            .into_iter()
            .map(|message| (message.id, message))
            .collect();
        Self {
            oldest: by_id.first_key_value().map(|(id, _)| *id),
            by_id,
            deleted: BTreeSet::new(),
            deleted_start: None,
            has_more,
        }
    }

    /// Where the page before the newest `limit` begins; none if there is nothing before them.
    pub fn cursor(&self, limit: usize) -> Option<u64> {
        if self.by_id.len() > limit {
            return self.newest(limit).next().map(|message| message.id);
        }
        self.oldest.filter(|_| self.has_more)
    }

    /// Each of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Message> {
        self.by_id.values_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The newest `limit`, oldest first.
    pub fn newest(&self, limit: usize) -> impl Iterator<Item = &Message> {
        let skipped = self.by_id.len().saturating_sub(limit);
        self.by_id.values().skip(skipped)
    }

    /// One of the messages.
    pub fn get(&self, id: u64) -> Option<&Message> {
        self.by_id.get(&id)
    }

    /// The message was deleted, as far as that is remembered.
    pub fn is_deleted(&self, id: u64) -> bool {
        self.deleted.contains(&id)
    }

    /// The reactions of one of the messages.
    pub fn reactions(&self, id: u64) -> &[Reaction] {
        self.get(id).map_or(&[], |message| &message.reactions)
    }

    /// A message tells the text of an original that is known to be deleted: its deletion came, or was known to
    /// whoever handed over the message as it is here.
    pub fn quotes_deleted(&self, message: &Message) -> bool {
        let blanked = self.get(message.id).and_then(preview::blanked);
        preview::quoted(message).is_some_and(|original| {
            let gone = [blanked, self.deleted_start];
            self.deleted.contains(&original) || gone.contains(&Some(original))
        })
    }

    /// The message of another channel that this thread began at was deleted: it is no longer quoted.
    pub fn on_start_deleted(&mut self, message: u64) {
        self.deleted_start = Some(message);
        for reply in self.by_id.values_mut() {
            preview::blank(reply, |original| original == message);
        }
    }

    /// Applies an event of the channel.
    pub fn apply(&mut self, event: &Event) -> Applied {
        match event {
            Event::MessageCreated(message) => {
                if self.deleted.contains(&message.id) || self.by_id.contains_key(&message.id) {
                    return Applied::Known;
                }
                // Below the oldest there may be others that are not here: it is theirs to be paged to.
                let oldest = self.by_id.first_key_value().map_or(0, |(id, _)| *id);
                if !self.has_more || message.id > oldest {
                    let quotes_deleted = self.quotes_deleted(message);
                    let mut message = message.clone();
                    preview::blank(&mut message, |_| quotes_deleted);
                    self.by_id.insert(message.id, message);
                }
            }
            Event::MessageUpdated(message) => {
                if self.deleted.contains(&message.id) {
                    return Applied::Known;
                }
                let quotes_deleted = self.quotes_deleted(message);
                if let Some(known) = self.by_id.get_mut(&message.id) {
                    // An update says nothing of reactions: those that are known stay.
                    let reactions = std::mem::take(&mut known.reactions);
                    known.clone_from(message);
                    known.reactions = reactions;
                    preview::blank(known, |_| quotes_deleted);
                }
            }
            Event::ReactionsChanged(changed) => {
                if self.deleted.contains(&changed.message_id) {
                    return Applied::Known;
                }
                // Of a message that is not here: somebody may have paged to it.
                if let Some(known) = self.by_id.get_mut(&changed.message_id) {
                    if known.reactions == changed.reactions {
                        return Applied::Known;
                    }
                    known.reactions.clone_from(&changed.reactions);
                }
            }
            Event::MessageDeleted(deleted) => {
                if !self.deleted.insert(deleted.message_id) {
                    return Applied::Known;
                }
                self.by_id.remove(&deleted.message_id);
                for reply in self.by_id.values_mut() {
                    preview::blank(reply, |original| original == deleted.message_id);
                }
            }
            _ => {}
        }
        Applied::Told
    }

    /// As [`Self::apply`], for a page that ends before a message.
    fn apply_before(&mut self, event: &Event, before: Option<MessageId>) {
        let ends = before.map_or(u64::MAX, MessageId::get);
        if !matches!(event, Event::MessageCreated(message) if message.id >= ends) {
            self.apply(event);
        }
    }

    /// Forgets the oldest beyond `most`, and the oldest tombstones beyond as many.
    pub fn trim(&mut self, most: usize) {
        while self.by_id.len() > most {
            self.by_id.pop_first();
            self.oldest = self.by_id.first_key_value().map(|(id, _)| *id);
            self.has_more = true;
        }
        while self.deleted.len() > most {
            self.deleted.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::event::{MessageDeleted, ReactionsChanged, Reply, User};

    fn message(id: u64, content: &str) -> Message {
        Message {
            id,
            content: content.into(),
            ..Message::default()
        }
    }

    fn contents(messages: &Messages, limit: usize) -> Vec<&str> {
        messages
            .newest(limit)
            .map(|message| message.content.as_str())
            .collect()
    }

    #[test]
    fn events_bring_a_page_up_to_date() {
        let mut messages = Messages::new(vec![message(1, "a"), message(2, "b")], false);
        let table = [
            (Event::MessageCreated(message(3, "c")), Applied::Told),
            (Event::MessageCreated(message(3, "again")), Applied::Known),
            (Event::MessageUpdated(message(1, "A")), Applied::Told),
            (
                Event::MessageDeleted(MessageDeleted { message_id: 2 }),
                Applied::Told,
            ),
            (
                Event::MessageDeleted(MessageDeleted { message_id: 2 }),
                Applied::Known,
            ),
            (Event::MessageUpdated(message(2, "late")), Applied::Known),
            (Event::MessageCreated(message(2, "late")), Applied::Known),
            (
                Event::MessageUpdated(message(9, "not of this page")),
                Applied::Told,
            ),
        ];
        for (event, applied) in table {
            assert_eq!(messages.apply(&event), applied, "{event:?}");
        }
        assert_eq!(contents(&messages, 10), ["A", "c"]);
        assert_eq!(contents(&messages, 1), ["c"]);
    }

    fn reactions(message_id: u64, count: u32) -> Event {
        let reaction = Reaction {
            emoji: "👍".into(),
            count,
            ..Reaction::default()
        };
        Event::ReactionsChanged(ReactionsChanged {
            message_id,
            reactions: (count > 0).then_some(reaction).into_iter().collect(),
            mark: None,
        })
    }

    #[test]
    fn reactions_are_totals_that_updates_leave_alone_and_deletions_end() {
        let mut messages = Messages::new(vec![message(1, "a"), message(2, "b")], true);
        let table = [
            (reactions(1, 2), Applied::Told, 2),
            (reactions(1, 2), Applied::Known, 2),
            (Event::MessageUpdated(message(1, "A")), Applied::Told, 2),
            (reactions(1, 1), Applied::Told, 1),
            (reactions(9, 7), Applied::Told, 1),
            (reactions(1, 0), Applied::Told, 0),
        ];
        for (event, applied, count) in table {
            assert_eq!(messages.apply(&event), applied, "{event:?}");
            let counted: u32 = messages.reactions(1).iter().map(|one| one.count).sum();
            assert_eq!(counted, count, "{event:?}");
        }
        assert_eq!(contents(&messages, 10), ["A", "b"]);
        messages.apply(&Event::MessageDeleted(MessageDeleted { message_id: 2 }));
        assert_eq!(messages.apply(&reactions(2, 1)), Applied::Known);
        assert!(messages.get(2).is_none());
    }

    fn reply(id: u64, original: u64) -> Message {
        Message {
            reply: Some(Reply {
                message_id: original,
                author: Some(User::default()),
                content: Some("quoted".into()),
            }),
            ..message(id, "a reply")
        }
    }

    /// The messages that tell what they answer.
    fn quoting(messages: &Messages) -> Vec<u64> {
        let all = messages.newest(usize::MAX);
        all.filter(|one| preview::quoted(one).is_some())
            .map(|one| one.id)
            .collect()
    }

    #[test]
    fn a_deletion_ends_what_replies_tell_whether_they_came_before_it_or_after() {
        let rows = vec![message(1, "a"), message(2, "b"), reply(3, 1), reply(4, 2)];
        let mut messages = Messages::new(rows, true);
        messages.apply(&Event::MessageCreated(reply(5, 1)));
        assert_eq!(quoting(&messages), [3, 4, 5]);
        messages.apply(&Event::MessageDeleted(MessageDeleted { message_id: 1 }));
        assert_eq!(quoting(&messages), [4]);
        messages.apply(&Event::MessageCreated(reply(6, 1)));
        messages.apply(&Event::MessageCreated(reply(7, 2)));
        messages.apply(&Event::MessageUpdated(reply(3, 1)));
        messages.apply(&Event::MessageUpdated(reply(4, 2)));
        assert_eq!(quoting(&messages), [4, 7]);
        assert!(messages.newest(9).all(|one| {
            let answers = one.reply.as_ref();
            answers.is_none_or(|reply| reply.author.is_some())
        }));
        // An original that no page here has, and a reply that is older than what is here.
        messages.apply(&Event::MessageDeleted(MessageDeleted { message_id: 77 }));
        assert!(messages.quotes_deleted(&reply(0, 77)) && !messages.quotes_deleted(&reply(0, 78)));
    }

    #[test]
    fn what_sql_has_blanked_no_update_tells_again() {
        let mut blanked = reply(3, 1);
        preview::blank(&mut blanked, |_| true);
        let mut unsent = reply(4, 1);
        unsent.reply = unsent.reply.map(|reply| Reply {
            author: None,
            content: None,
            ..reply
        });
        let mut messages = Messages::new(vec![blanked, unsent], false);
        messages.apply(&Event::MessageUpdated(reply(3, 1)));
        messages.apply(&Event::MessageUpdated(reply(4, 1)));
        assert_eq!(quoting(&messages), [4], "only what was blanked stays so");
    }

    #[test]
    fn what_is_trimmed_is_still_there_for_who_pages_back() {
        let mut messages = Messages::new((1..=5).map(|id| message(id, "x")).collect(), false);
        messages.trim(3);
        assert!(messages.has_more && messages.len() == 3);
    }

    #[test]
    fn who_pages_back_goes_on_even_where_all_of_a_page_was_deleted() {
        let mut messages = Messages::new(vec![message(3, "c"), message(4, "d")], true);
        assert_eq!((messages.cursor(1), messages.cursor(2)), (Some(4), Some(3)));
        for message_id in [3, 4] {
            messages.apply(&Event::MessageDeleted(MessageDeleted { message_id }));
        }
        assert_eq!(messages.cursor(2), Some(3));
        assert_eq!(Messages::new(vec![message(3, "c")], false).cursor(1), None);
    }

    #[test]
    fn a_page_before_a_message_takes_no_newer_ones() {
        let mut messages = Messages::new(vec![message(1, "a")], false);
        let before = MessageId::new(5);
        messages.apply_before(&Event::MessageCreated(message(5, "e")), before);
        messages.apply_before(&Event::MessageCreated(message(4, "d")), before);
        assert_eq!(contents(&messages, 10), ["a", "d"]);
    }
}
