//! What stands where something can't be shown: a label that says what it is, never a blank.
//!
//! Each one is counted by its kind, so that whoever runs this sees what Discord has learned to send.

use proto::event::{Component, Embed, Message, Shape};

/// What can't be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Placeholder {
    /// A message of a type that nothing here knows.
    MessageType,
    /// A message without anything in it: Discord hides the content from a bot without that intent.
    Content,
    /// A component of an unknown type, or without what its type needs.
    Component,
    /// An embed of which nothing is known.
    Embed,
    /// A forward without the message that it forwards.
    Forward,
    /// A poll without a question.
    Poll,
    /// A sticker without a name.
    Sticker,
}

impl Placeholder {
    /// Every kind.
    pub(crate) const ALL: [Self; 7] = [
        Self::MessageType,
        Self::Content,
        Self::Component,
        Self::Embed,
        Self::Forward,
        Self::Poll,
        Self::Sticker,
    ];

    /// Its name in counters.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::MessageType => "message_type",
            Self::Content => "content",
            Self::Component => "component",
            Self::Embed => "embed",
            Self::Forward => "forward",
            Self::Poll => "poll",
            Self::Sticker => "sticker",
        }
    }
}

/// The placeholders of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Placeholders(Vec<Placeholder>);

impl Placeholders {
    /// Writes one down.
    pub(super) fn add(&mut self, placeholder: Placeholder) {
        self.0.push(placeholder);
    }

    /// One of this kind stands in the message.
    pub(super) fn has(&self, placeholder: Placeholder) -> bool {
        self.0.contains(&placeholder)
    }

    /// Each that stands in the message, as often as it does.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Placeholder> {
        self.0.iter().copied()
    }
}

/// The label of a message that has nothing else to show; none where it has.
pub(super) fn of_blank(message: &Message, is_known_type: bool) -> Option<(Placeholder, String)> {
    if !is_blank(message) {
        return None;
    }
    if is_known_type {
        let label = "[A message without content that can be shown]".to_owned();
        return Some((Placeholder::Content, label));
    }
    let label = format!("[A message of an unknown type: {}]", message.kind);
    Some((Placeholder::MessageType, label))
}

fn is_blank(message: &Message) -> bool {
    message.content.trim().is_empty()
        && message.attachments.is_empty()
        && message.embeds.is_empty()
        && message.stickers.is_empty()
        && !message.components.iter().any(shows_something)
        && message.poll.is_none()
        && message.forward.is_none()
}

/// Gaps alone show nothing.
pub(super) fn shows_something(component: &Component) -> bool {
    match &component.shape {
        None | Some(Shape::Separator(_)) => false,
        Some(Shape::Group(group)) => group.components.iter().any(shows_something),
        Some(_) => true,
    }
}

/// An embed that shows nothing.
pub(super) fn is_blank_embed(embed: &Embed) -> bool {
    // Its link, colour and time are nothing by themselves.
    let bare = Embed {
        url: embed.url.clone(),
        color: embed.color,
        timestamp_ms: embed.timestamp_ms,
        ..Embed::default()
    };
    *embed == bare
}
