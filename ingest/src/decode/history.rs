//! A page of a channel's messages as REST answers it (`GET /channels/{channel}/messages`): the newest first.

use proto::event::Message;
use proto::{ChannelId, GuildId};

use super::json::Object;
use super::{EPHEMERAL, Frame, Known, Origin, Placeholders, message};
use crate::exclusions::Exclusions;

/// A page.
#[derive(Debug)]
pub(crate) struct HistoryPage {
    /// So many messages it has.
    pub(crate) read: usize,
    /// The lowest id among them: where the page before it ends.
    pub(crate) oldest: Option<u64>,
    /// The ids of all of them, those that are not shown too.
    pub(crate) ids: Vec<u64>,
    /// Those that are shown, and what can't be shown of each.
    pub(crate) messages: Vec<(Message, Placeholders)>,
}

/// Reads a page, without what the operator leaves out; none if it is no list.
pub(crate) fn decode_history(
    data: &str,
    guild: GuildId,
    channel: ChannelId,
    exclusions: &Exclusions,
) -> Option<HistoryPage> {
    let objects: Vec<Object<'_>> = serde_json::from_str(data).ok()?;
    let read = objects.len();
    let ids: Vec<_> = objects
        .iter()
        .filter_map(|object| object.id("id"))
        .collect();
    let known = Known {
        guild_of: &|_| Some(guild),
        exclusions,
    };
    let message = |object| {
        let frame = Frame {
            object,
            origin: Origin::NOWHERE,
            known,
        };
        let flags: u64 = frame.object.number("flags").unwrap_or_default();
        let is_shown = flags & EPHEMERAL == 0 && !exclusions.hides(channel.get());
        let read = frame.message(guild, channel).ok().filter(|_| is_shown)?;
        Some((read.message, read.placeholders))
    };
    Some(HistoryPage {
        read,
        oldest: ids.iter().copied().min(),
        ids,
        messages: objects.into_iter().filter_map(message).collect(),
    })
}

/// The messages of a page for the sake of their links alone; none if it is no list.
pub(crate) fn decode_linked(data: &str) -> Option<Vec<Message>> {
    let objects: Vec<Object<'_>> = serde_json::from_str(data).ok()?;
    let nowhere = (GuildId::new(1)?, ChannelId::new(1)?);
    let read = |object: &Object<'_>| message::message(object, nowhere.0, nowhere.1);
    let read = objects.iter().filter_map(read);
    Some(read.map(|read| read.message).collect())
}
