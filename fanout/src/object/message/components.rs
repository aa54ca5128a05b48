//! Components as text and media: what they show, and not what they would do in Discord.

use proto::event::{Button, Component, Group, GroupKind, Media, Select, Shape};
use serde::Serialize;

use super::is_false;
use super::poll::{EmojiObject, emoji_object};
use crate::object::Cdn;

/// A component by its `type`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum ComponentObject<'a> {
    Text { content: &'a str },
    Media(MediaObject<'a>),
    File(MediaObject<'a>),
    Button(ButtonObject<'a>),
    Select(SelectObject<'a>),
    Separator { divider: bool },
    Row(GroupObject<'a>),
    Section(GroupObject<'a>),
    Gallery(GroupObject<'a>),
    Container(GroupObject<'a>),
    Unknown { content: String },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MediaObject<'a> {
    url: &'a str,
    proxy_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    spoiler: bool,
    content_type: Option<&'a str>,
    width: Option<u32>,
    height: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct ButtonObject<'a> {
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<EmojiObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    disabled: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct SelectObject<'a> {
    placeholder: &'a str,
    options: &'a [String],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupObject<'a> {
    components: Vec<ComponentObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accent_color: Option<u32>,
    #[serde(skip_serializing_if = "is_false")]
    spoiler: bool,
}

pub(super) fn component_objects<'a>(
    components: &'a [Component],
    cdn: &Cdn,
) -> Vec<ComponentObject<'a>> {
    components.iter().map(|one| component(one, cdn)).collect()
}

fn component<'a>(component: &'a Component, cdn: &Cdn) -> ComponentObject<'a> {
    match &component.shape {
        Some(Shape::Text(content)) => ComponentObject::Text { content },
        Some(Shape::Media(one)) => ComponentObject::Media(media(one)),
        Some(Shape::File(one)) => ComponentObject::File(media(one)),
        Some(Shape::Button(one)) => ComponentObject::Button(button(one, cdn)),
        Some(Shape::Select(one)) => ComponentObject::Select(select(one)),
        Some(Shape::Separator(divider)) => ComponentObject::Separator { divider: *divider },
        Some(Shape::Group(one)) => group(one, cdn),
        Some(Shape::Unknown(kind)) => unknown(*kind),
        // A shape that a newer ingest knows.
        None => unknown(0),
    }
}

fn unknown<'a>(kind: u32) -> ComponentObject<'a> {
    let content = format!("[A component that can't be shown: type {kind}]");
    ComponentObject::Unknown { content }
}

fn group<'a>(group: &'a Group, cdn: &Cdn) -> ComponentObject<'a> {
    let object = GroupObject {
        components: component_objects(&group.components, cdn),
        accent_color: group.accent_color,
        spoiler: group.spoiler,
    };
    match group.kind() {
        GroupKind::Row => ComponentObject::Row(object),
        GroupKind::Section => ComponentObject::Section(object),
        GroupKind::Gallery => ComponentObject::Gallery(object),
        GroupKind::Container | GroupKind::Unspecified => ComponentObject::Container(object),
    }
}

fn media(media: &Media) -> MediaObject<'_> {
    MediaObject {
        url: &media.url,
        proxy_url: &media.proxy_url,
        name: media.name.as_deref(),
        size: media.size,
        description: media.description.as_deref(),
        spoiler: media.spoiler,
        content_type: media.content_type.as_deref(),
        width: media.width,
        height: media.height,
    }
}

/// A button that only shows an emoji is named by it; one of a purchase has neither.
fn button<'a>(button: &'a Button, cdn: &Cdn) -> ButtonObject<'a> {
    let emoji = button.emoji.as_ref();
    let label = button.label.as_deref();
    let label = label.or_else(|| emoji.map(|emoji| emoji.name.as_str()));
    ButtonObject {
        label: label.filter(|label| !label.is_empty()).unwrap_or("Button"),
        emoji: emoji.map(|emoji| emoji_object(emoji, cdn)),
        url: button.url.as_deref(),
        disabled: button.disabled,
    }
}

fn select(select: &Select) -> SelectObject<'_> {
    SelectObject {
        placeholder: select.placeholder.as_deref().unwrap_or("Make a selection"),
        options: &select.options,
    }
}
