//! What an archive writes at once: a run of stored events, folded. Pure: no I/O, no clock.
//!
//! Messages are folded to one row a message (`fold.rs`). The directory's events are few and act on many rows at
//! once (a snapshot's end, a guild's removal), so they are kept in their order.

mod fold;

use std::collections::BTreeMap;

use prost::Message as _;
use proto::envelope::Opened;
use proto::event::{Event, Message, ReactionsChanged};
use proto::id::{ChannelId, GuildId, MessageId};

pub(crate) use self::fold::{Change, Content, FoldedMessage, Reactions, Row, split};
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
                self.push_message(sequence, opened, message, Change::Created);
            }
            Event::MessageUpdated(message) => {
                self.push_message(sequence, opened, message, Change::Updated);
            }
            Event::MessageDeleted(deleted) => {
                if let Some((id, channel)) = self.key(deleted.message_id, opened) {
                    self.messages.entry(id).or_default().push(Row {
                        first_sequence: sequence,
                        sequence,
                        guild: opened.guild,
                        channel,
                        timestamp_ms: opened.received_ms,
                        base: None,
                        change: Change::Deleted,
                    });
                }
            }
            Event::ReactionsChanged(total) => self.push_reactions(sequence, opened, total),
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

    /// The message that an event is about; an event that names none is refused.
    fn key(&mut self, id: u64, opened: &Opened) -> Option<(MessageId, ChannelId)> {
        let key = MessageId::new(id).zip(opened.channel);
        self.refused += usize::from(key.is_none());
        key
    }

    fn push_message(
        &mut self,
        sequence: u64,
        opened: &Opened,
        message: &Message,
        change: fn(Content) -> Change,
    ) {
        let Some((id, channel)) = self.key(message.id, opened) else {
            return;
        };
        let (content, base) = fold::split(message);
        self.bytes += content.body.len() + base.as_ref().map_or(0, Vec::len);
        self.messages.entry(id).or_default().push(Row {
            first_sequence: sequence,
            sequence,
            guild: opened.guild,
            channel,
            timestamp_ms: message.timestamp_ms,
            base,
            change: change(content),
        });
    }

    fn push_reactions(&mut self, sequence: u64, opened: &Opened, total: &ReactionsChanged) {
        let Some((id, _)) = self.key(total.message_id, opened) else {
            return;
        };
        let total = total.encode_to_vec();
        self.bytes += total.len();
        let message = self.messages.entry(id).or_default();
        message.reactions = Some(Reactions { sequence, total });
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
