//! Forwards: the copy of a message that another one carries
//! (<https://docs.discord.com/developers/resources/message#message-snapshot-structure>).

use proto::event::Forward;

use super::components::components;
use super::media::{attachments, embeds, stickers};
use super::placeholder::{Placeholder, Placeholders, shows_something};
use super::{Object, mentioned_users};

/// Message flag: it carries a copy (1 << 14).
const HAS_SNAPSHOT: u64 = 1 << 14;
/// What a reference of this type refers to is forwarded.
const FORWARDS: u32 = 1;

/// What a message forwards: the one copy that Discord sends, or a label that says it is missing.
pub(super) fn forward(object: &Object<'_>, placeholders: &mut Placeholders) -> Option<Forward> {
    let reference = object.object("message_reference").unwrap_or_default();
    let snapshots = object.objects("message_snapshots");
    let flags: u64 = object.number("flags").unwrap_or_default();
    let is_forward = reference.number("type") == Some(FORWARDS)
        || flags & HAS_SNAPSHOT != 0
        || !snapshots.is_empty();
    if !is_forward {
        return None;
    }
    let copy = snapshots.iter().find_map(|one| one.object("message"));
    let mut forward = copy.map_or_else(Forward::default, |copy| read(&copy, placeholders));
    forward.message_id = reference.id("message_id");
    if is_blank(&forward) {
        placeholders.add(Placeholder::Forward);
        "[A forwarded message that can't be shown]".clone_into(&mut forward.content);
    }
    Some(forward)
}

fn read(copy: &Object<'_>, placeholders: &mut Placeholders) -> Forward {
    Forward {
        message_id: None,
        content: copy.text("content").unwrap_or_default(),
        timestamp_ms: copy.time_ms("timestamp").unwrap_or_default(),
        edited_timestamp_ms: copy.time_ms("edited_timestamp"),
        attachments: attachments(copy),
        embeds: embeds(copy, placeholders),
        stickers: stickers(copy, placeholders),
        components: components(copy, placeholders),
        mentioned_users: mentioned_users(copy),
    }
}

fn is_blank(forward: &Forward) -> bool {
    forward.content.trim().is_empty()
        && forward.attachments.is_empty()
        && forward.embeds.is_empty()
        && forward.stickers.is_empty()
        && !forward.components.iter().any(shows_something)
}
