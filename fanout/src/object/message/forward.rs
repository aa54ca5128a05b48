//! What a message forwards: the copy, and nothing of where it is from.

use std::collections::BTreeMap;

use proto::event::Forward;
use runtime::time::iso;
use serde::Serialize;

use super::components::{ComponentObject, component_objects};
use super::media::{self, AttachmentObject, EmbedObject, StickerObject};
use super::mentions::Mentions;
use crate::object::Cdn;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ForwardObject<'a> {
    content: &'a str,
    timestamp: Option<String>,
    edited: bool,
    edited_timestamp: Option<String>,
    attachments: Vec<AttachmentObject<'a>>,
    embeds: Vec<EmbedObject<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stickers: Vec<StickerObject<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<ComponentObject<'a>>,
    #[serde(skip_serializing_if = "Mentions::is_empty")]
    pub(super) mentions: Mentions<'a>,
}

pub(super) fn forward_object<'a>(forward: &'a Forward, cdn: &Cdn) -> ForwardObject<'a> {
    let is_dated = forward.timestamp_ms != 0;
    ForwardObject {
        content: &forward.content,
        timestamp: is_dated.then(|| iso(forward.timestamp_ms)),
        edited: forward.edited_timestamp_ms.is_some(),
        edited_timestamp: forward.edited_timestamp_ms.map(iso),
        attachments: media::attachments(&forward.attachments),
        embeds: media::embeds(&forward.embeds),
        stickers: media::stickers(&forward.stickers, cdn),
        components: component_objects(&forward.components, cdn),
        // The roles and channels are of a guild that may be another.
        mentions: Mentions::of_users(&forward.mentioned_users, BTreeMap::new()),
    }
}
