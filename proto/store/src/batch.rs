//! What an archive writes at once: a run of stored events, folded. Pure: no I/O, no clock.
//!
//! Messages are folded to one row a message, as the rows themselves would end: a deletion wins over all,
//! an update over what came before, a second creation over nothing. The directory's events are few and
//! act on many rows at once (a snapshot's end, a guild's removal), so they are kept in their order.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use prost::Message as _;
use proto::envelope::Opened;
use proto::event::{Event, Message};
use proto::id::{ChannelId, GuildId, MessageId};

use crate::position::Position;

/// A folded run of stored events, and the move of the position that goes with it.
///
/// A batch can't be halved, for the fold forgets: where one fails for good, make two new ones of the same
/// events, the second from where the first ends.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Where the archive believes the position to be.
    pub from: Position,
    /// Where it will be: the last sequence that was pushed or skipped.
    pub to: u64,
    events: usize,
    refused: usize,
    bytes: usize,
    pub(crate) messages: BTreeMap<MessageId, FoldedMessage>,
    pub(crate) directory: Vec<DirectoryChange>,
}

/// All that a run of events says about one message.
#[derive(Debug, Clone)]
pub(crate) struct FoldedMessage {
    /// The event that it comes from.
    pub(crate) sequence: u64,
    pub(crate) guild: GuildId,
    pub(crate) channel: ChannelId,
    /// The message's own time; of a deletion, when it was heard of.
    pub(crate) timestamp_ms: i64,
    pub(crate) change: MessageChange,
}

/// What becomes of the message's row.
#[derive(Debug, Clone)]
pub(crate) enum MessageChange {
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
    pub(crate) body: Vec<u8>,
}

/// One event of a guild's directory.
#[derive(Debug, Clone)]
pub(crate) struct DirectoryChange {
    pub(crate) sequence: u64,
    pub(crate) guild: GuildId,
    pub(crate) event: Event,
}

impl Batch {
    /// An empty batch on top of this position.
    pub fn new(from: Position) -> Self {
        Self {
            from,
            to: from.sequence,
            events: 0,
            refused: 0,
            bytes: 0,
            messages: BTreeMap::new(),
            directory: Vec::new(),
        }
    }

    /// Adds the stored event of this sequence. Sequences ascend; one that the batch has passed already is
    /// a repetition and changes nothing.
    pub fn push(&mut self, sequence: u64, opened: &Opened) {
        if !self.pass(sequence) {
            return;
        }
        self.events += 1;
        match &opened.event {
            Event::MessageCreated(message) => {
                self.push_message(sequence, opened, message, MessageChange::Created);
            }
            Event::MessageUpdated(message) => {
                self.push_message(sequence, opened, message, MessageChange::Updated);
            }
            Event::MessageDeleted(deleted) => {
                let at = opened.received_ms;
                self.fold(
                    sequence,
                    opened,
                    deleted.message_id,
                    at,
                    MessageChange::Deleted,
                );
            }
            event => {
                self.bytes += encoded_len(event);
                self.directory.push(DirectoryChange {
                    sequence,
                    guild: opened.guild,
                    event: event.clone(),
                });
            }
        }
    }

    /// Passes a sequence whose payload can't be decoded: the position still moves.
    pub fn skip(&mut self, sequence: u64) {
        self.pass(sequence);
    }

    /// How many events were pushed.
    pub fn events(&self) -> usize {
        self.events
    }

    /// How many of them were passed over: a message without an id or a channel is no row.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// At most this many bytes of rows are held: all that was pushed, before folding.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn pass(&mut self, sequence: u64) -> bool {
        let is_new = sequence > self.to;
        self.to = self.to.max(sequence);
        is_new
    }

    fn push_message(
        &mut self,
        sequence: u64,
        opened: &Opened,
        message: &Message,
        change: fn(Content) -> MessageChange,
    ) {
        let content = Content {
            author_id: message.author.as_ref().map_or(0, |author| author.id),
            edited_timestamp_ms: message.edited_timestamp_ms,
            body: message.encode_to_vec(),
        };
        self.bytes += content.body.len();
        self.fold(
            sequence,
            opened,
            message.id,
            message.timestamp_ms,
            change(content),
        );
    }

    fn fold(
        &mut self,
        sequence: u64,
        opened: &Opened,
        id: u64,
        timestamp_ms: i64,
        change: MessageChange,
    ) {
        let (Some(id), Some(channel)) = (MessageId::new(id), opened.channel) else {
            self.refused += 1;
            return;
        };
        let newer = FoldedMessage {
            sequence,
            guild: opened.guild,
            channel,
            timestamp_ms,
            change,
        };
        match self.messages.entry(id) {
            Entry::Vacant(place) => {
                place.insert(newer);
            }
            Entry::Occupied(mut known) => {
                if newer.replaces(known.get()) {
                    known.insert(newer);
                }
            }
        }
    }
}

impl FoldedMessage {
    fn replaces(&self, older: &Self) -> bool {
        !matches!(
            (&older.change, &self.change),
            (MessageChange::Deleted, _) | (_, MessageChange::Created(_))
        )
    }
}

/// The bytes of an event of the directory that grow with its guild; the others are small change.
fn encoded_len(event: &Event) -> usize {
    match event {
        Event::GuildSnapshotPart(part) => part.encoded_len(),
        Event::ChannelUpserted(channel) => channel.encoded_len(),
        Event::MemberUpserted(member) => member.encoded_len(),
        _ => size_of::<Event>(),
    }
}
