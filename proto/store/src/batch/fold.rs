//! The fold of one message: all that a run of events says about it, as if each had been written alone.
//!
//! A deletion wins over all, an update over what came before, a second creation over nothing. Reactions are a
//! total beside the row: an update leaves them as they are, a deletion takes them along, and of a message that is
//! not known yet they are ignored.

use prost::Message as _;
use proto::event::{Message, ReactionsChanged};
use proto::id::{ChannelId, GuildId};

/// All that a run of events says about one message.
#[derive(Debug, Clone, Default)]
pub(crate) struct FoldedMessage {
    /// What becomes of its row.
    pub(crate) row: Option<Row>,
    /// Its last reactions.
    pub(crate) reactions: Option<Reactions>,
}

/// What the events of the message itself say.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The first event that speaks of the row.
    pub(crate) first_sequence: u64,
    /// The event that it ends as.
    pub(crate) sequence: u64,
    pub(crate) guild: GuildId,
    pub(crate) channel: ChannelId,
    /// The message's own time; of a deletion, when it was heard of.
    pub(crate) timestamp_ms: i64,
    /// The reactions that the first event brought along, a whole total: they count if the row is new.
    pub(crate) base: Option<Vec<u8>>,
    pub(crate) change: Change,
}

/// What becomes of the message's row.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Made, unless it is known.
    Created(Content),
    /// Made or replaced, unless it was deleted.
    Updated(Content),
    /// A tombstone, whatever it was.
    Deleted,
}

/// A message's columns.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) author_id: u64,
    pub(crate) edited_timestamp_ms: Option<i64>,
    /// Without its reactions.
    pub(crate) body: Vec<u8>,
}

/// A total of reactions.
#[derive(Debug, Clone)]
pub(crate) struct Reactions {
    /// The event that it comes from.
    pub(crate) sequence: u64,
    pub(crate) total: Vec<u8>,
}

impl FoldedMessage {
    /// Adds what a later event says of the row.
    pub(crate) fn push(&mut self, newer: Row) {
        match &mut self.row {
            None => self.row = Some(newer),
            Some(known) if newer.change.replaces(&known.change) => {
                let first_sequence = known.first_sequence;
                let base = known.base.take();
                *known = Row {
                    first_sequence,
                    base,
                    ..newer
                };
            }
            Some(_) => {}
        }
    }

    /// Reactions that were counted before anything else was said: they find the row as it was before the batch.
    pub(crate) fn early_reactions(&self) -> Option<&Reactions> {
        self.reactions.as_ref().filter(|last| !self.is_late(last))
    }

    /// Reactions that were counted after the row was spoken of: they find it.
    pub(crate) fn late_reactions(&self) -> Option<&Reactions> {
        self.reactions.as_ref().filter(|last| self.is_late(last))
    }

    fn is_late(&self, reactions: &Reactions) -> bool {
        let row = self.row.as_ref();
        row.is_some_and(|row| row.first_sequence < reactions.sequence)
    }
}

impl Row {
    /// Its bytes, as far as they grow with the message.
    pub(crate) fn bytes(&self) -> usize {
        let body = match &self.change {
            Change::Created(content) | Change::Updated(content) => content.body.len(),
            Change::Deleted => 0,
        };
        body + self.base.as_ref().map_or(0, Vec::len)
    }
}

impl Change {
    fn replaces(&self, older: &Self) -> bool {
        !matches!((older, self), (Self::Deleted, _) | (_, Self::Created(_)))
    }
}

/// A message's columns, and the reactions that it brings along.
pub(crate) fn split(message: &Message) -> (Content, Option<Vec<u8>>) {
    let author_id = message.author.as_ref().map_or(0, |author| author.id);
    let (body, base) = if message.reactions.is_empty() {
        (message.encode_to_vec(), None)
    } else {
        let mut bare = message.clone();
        let total = ReactionsChanged {
            message_id: message.id,
            reactions: std::mem::take(&mut bare.reactions),
            mark: None,
        };
        (bare.encode_to_vec(), Some(total.encode_to_vec()))
    };
    let content = Content {
        author_id,
        edited_timestamp_ms: message.edited_timestamp_ms,
        body,
    };
    (content, base)
}
