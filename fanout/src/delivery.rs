//! An event on its way from the feed to the rooms: decoded once, and encoded once for all sockets of all workers.

use std::sync::OnceLock;

use proto::event::{Event, Message, Reaction};
use proto::{ChannelId, GuildId};
use serde::Serialize;

use crate::access::{Directory, Holder};
use crate::frames::{Frames, json};
use crate::history::{Messages, preview};
use crate::object::{Cdn, ReactionObject, message_object, reaction_objects};
use crate::offset::Offset;
use step::Step;

pub(crate) mod step;

/// An event of a channel, at its place in the stream.
#[derive(Debug)]
pub struct Delivery {
    /// Where it stands in the stream.
    pub offset: Offset,
    /// The guild that it happened in.
    pub guild: GuildId,
    /// The channel that it happened in.
    pub channel: ChannelId,
    /// What happened.
    pub event: Event,
    /// When ingest read it, in milliseconds since 1970.
    pub received_ms: i64,
    frames: OnceLock<Option<Frames>>,
    step: Step,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deleted {
    message_id: String,
    channel_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReactionUpdate {
    message_id: String,
    channel_id: String,
    reactions: Vec<ReactionObject>,
}

/// `reaction_update`: a message's reactions as they are now. State, hence without an offset.
pub fn reaction_update(
    channel: ChannelId,
    message_id: u64,
    reactions: &[Reaction],
    cdn: &Cdn,
) -> Option<Frames> {
    let update = ReactionUpdate {
        message_id: message_id.to_string(),
        channel_id: channel.to_string(),
        reactions: reaction_objects(reactions, cdn),
    };
    Some(Frames::event("reaction_update", json(&update)?))
}

impl Delivery {
    /// An opened envelope; none for one without a channel.
    pub fn new(offset: Offset, opened: proto::envelope::Opened) -> Option<Self> {
        Some(Self {
            offset,
            guild: opened.guild,
            channel: opened.channel?,
            event: opened.event,
            received_ms: opened.received_ms,
            frames: OnceLock::new(),
            step: Step::default(),
        })
    }

    /// The same, without the text that it quotes.
    pub(crate) fn unquoting(&self) -> Self {
        let mut event = self.event.clone();
        if let Event::MessageCreated(message) | Event::MessageUpdated(message) = &mut event {
            preview::blank(message, |_| true);
        }
        Self {
            offset: self.offset,
            guild: self.guild,
            channel: self.channel,
            event,
            received_ms: self.received_ms,
            frames: OnceLock::new(),
            step: Step::default(),
        }
    }

    /// The same, as a step of its trace.
    pub(crate) fn traced(self, step: Step) -> Self {
        Self { step, ..self }
    }

    /// A worker told so many members.
    pub(crate) fn on_told(&self, members: usize) {
        self.step.on_told(members);
    }

    /// A worker is done with it.
    pub(crate) fn on_handled(&self) {
        self.step.on_handled(self.received_ms);
    }

    /// What sockets get: made by the first worker that asks, shared by all. None for what viewers do not see.
    pub fn frames(&self, directory: &Directory) -> Option<&Frames> {
        self.frames.get_or_init(|| self.encode(directory)).as_ref()
    }

    /// As [`Self::frames`], by what a room knows: the reactions of the message that was updated, of which the event
    /// says nothing while every `Message` has them, and that the original of a reply is gone.
    pub fn frames_in(&self, known: &Messages, directory: &Directory) -> Option<Frames> {
        let (name, message, reactions) = match &self.event {
            Event::MessageCreated(message) => ("message", message, &[][..]),
            Event::MessageUpdated(message) => {
                ("message_update", message, known.reactions(message.id))
            }
            _ => return self.frames(directory).cloned(),
        };
        let quotes_deleted = known.quotes_deleted(message);
        if reactions.is_empty() && !quotes_deleted {
            return self.frames(directory).cloned();
        }
        let mut message = message.clone();
        if !reactions.is_empty() {
            message.reactions = reactions.to_vec();
        }
        preview::blank(&mut message, |_| quotes_deleted);
        self.message(name, &message, directory)
    }

    /// The message that this updates.
    pub fn updated(&self) -> Option<u64> {
        match &self.event {
            Event::MessageUpdated(message) => Some(message.id),
            _ => None,
        }
    }

    fn encode(&self, directory: &Directory) -> Option<Frames> {
        let (name, data) = match &self.event {
            Event::MessageCreated(message) => return self.message("message", message, directory),
            Event::MessageUpdated(message) => {
                return self.message("message_update", message, directory);
            }
            Event::MessageDeleted(deleted) => {
                let deleted = Deleted {
                    message_id: deleted.message_id.to_string(),
                    channel_id: self.channel.to_string(),
                };
                ("message_delete", json(&deleted))
            }
            Event::ReactionsChanged(changed) => {
                let (message, reactions) = (changed.message_id, &changed.reactions);
                return reaction_update(self.channel, message, reactions, directory.cdn());
            }
            _ => return None,
        };
        Some(Frames::with_offset(name, data?, self.offset))
    }

    fn message(
        &self,
        name: &'static str,
        message: &Message,
        directory: &Directory,
    ) -> Option<Frames> {
        let object = message_object(message, self.guild, directory);
        let frames = Frames::with_offset(name, json(&object)?, self.offset);
        if !object.names_members() {
            return Some(frames);
        }
        Some(frames.for_embeds(json(&object.to(Holder::Embed))?))
    }
}
