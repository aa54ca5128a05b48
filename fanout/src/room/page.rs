//! A page of a channel, as clients get it (contract.md §1).

use proto::{ChannelId, GuildId};
use serde::Serialize;

use crate::access::{Directory, Holder};
use crate::frames::{Frames, json};
use crate::history::Messages;
use crate::object::{MessageObject, message_object};
use crate::offset::Bookmark;

/// A page as clients get it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageObject<'a> {
    channel_id: String,
    messages: Vec<MessageObject<'a>>,
    has_more: bool,
    next_cursor: Option<String>,
}

impl<'a> PageObject<'a> {
    /// The newest messages of a run, oldest first.
    pub fn new(
        channel: ChannelId,
        run: &'a Messages,
        limit: u32,
        guild: GuildId,
        directory: &'a Directory,
        holder: Holder,
    ) -> Self {
        let cursor = run.cursor(limit as usize);
        let newest = run.newest(limit as usize);
        Self {
            channel_id: channel.to_string(),
            messages: newest
                .map(|message| message_object(message, guild, directory).to(holder))
                .collect(),
            has_more: cursor.is_some(),
            next_cursor: cursor.map(|id| id.to_string()),
        }
    }

    /// What a viewer gets who may not read the history.
    pub fn empty(channel: ChannelId) -> Self {
        Self {
            channel_id: channel.to_string(),
            messages: Vec::new(),
            has_more: false,
            next_cursor: None,
        }
    }

    /// The page as an event, at this position.
    pub fn frames(&self, position: Bookmark) -> Option<Frames> {
        let page = json(self)?;
        Some(Frames::with_offset("messages_bulk", page, position))
    }
}
