//! Attachments, embeds and stickers.

use proto::event::{Attachment, Embed, EmbedField, Sticker};
use runtime::time::iso;
use serde::Serialize;

use super::is_false;
use crate::object::Cdn;

/// Attachment flag: it is shown when it is asked for (1 << 3).
const IS_SPOILER: u64 = 1 << 3;
/// What the names of spoilers begin with, as an older client marks them.
const SPOILER: &str = "SPOILER_";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttachmentObject<'a> {
    id: String,
    filename: &'a str,
    url: &'a str,
    proxy_url: &'a str,
    size: u64,
    content_type: Option<&'a str>,
    width: Option<u32>,
    height: Option<u32>,
    #[serde(skip_serializing_if = "is_false")]
    spoiler: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    /// Loudness over time: base64, a byte a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    waveform: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(super) struct EmbedObject<'a> {
    title: Option<&'a str>,
    description: Option<&'a str>,
    url: Option<&'a str>,
    color: Option<u32>,
    thumbnail: Option<Link<'a>>,
    image: Option<Link<'a>>,
    author: Option<EmbedAuthor<'a>>,
    fields: Vec<EmbedFieldObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<Footer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Provider<'a>>,
}

#[derive(Debug, Serialize)]
struct Link<'a> {
    url: &'a str,
}

#[derive(Debug, Serialize)]
struct Provider<'a> {
    name: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EmbedAuthor<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon_url: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Footer<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon_url: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct EmbedFieldObject<'a> {
    name: &'a str,
    value: &'a str,
    inline: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct StickerObject<'a> {
    id: String,
    name: &'a str,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

pub(super) fn attachments(attachments: &[Attachment]) -> Vec<AttachmentObject<'_>> {
    attachments.iter().map(attachment).collect()
}

fn attachment(attachment: &Attachment) -> AttachmentObject<'_> {
    AttachmentObject {
        id: attachment.id.to_string(),
        filename: &attachment.filename,
        url: &attachment.url,
        proxy_url: &attachment.proxy_url,
        size: attachment.size,
        content_type: attachment.content_type.as_deref(),
        width: attachment.width,
        height: attachment.height,
        spoiler: attachment.flags & IS_SPOILER != 0 || attachment.filename.starts_with(SPOILER),
        title: attachment.title.as_deref(),
        description: attachment.description.as_deref(),
        duration: attachment.duration_secs,
        waveform: attachment.waveform.as_deref(),
    }
}

pub(super) fn embeds(embeds: &[Embed]) -> Vec<EmbedObject<'_>> {
    embeds.iter().map(embed).collect()
}

fn embed(embed: &Embed) -> EmbedObject<'_> {
    EmbedObject {
        title: embed.title.as_deref(),
        description: embed.description.as_deref(),
        url: embed.url.as_deref(),
        color: embed.color,
        thumbnail: embed.thumbnail_url.as_deref().map(link),
        image: embed.image_url.as_deref().map(link),
        author: embed.author_name.as_deref().map(|name| EmbedAuthor {
            name,
            icon_url: embed.author_icon_url.as_deref(),
        }),
        fields: embed.fields.iter().map(embed_field).collect(),
        footer: embed.footer_text.as_deref().map(|text| Footer {
            text,
            icon_url: embed.footer_icon_url.as_deref(),
        }),
        timestamp: embed.timestamp_ms.map(iso),
        video: embed.video_url.as_deref().map(link),
        provider: embed.provider_name.as_deref().map(|name| Provider { name }),
    }
}

fn link(url: &str) -> Link<'_> {
    Link { url }
}

fn embed_field(field: &EmbedField) -> EmbedFieldObject<'_> {
    EmbedFieldObject {
        name: &field.name,
        value: &field.value,
        inline: field.inline,
    }
}

pub(super) fn stickers<'a>(stickers: &'a [Sticker], cdn: &Cdn) -> Vec<StickerObject<'a>> {
    let object = |sticker: &'a Sticker| StickerObject {
        id: sticker.id.to_string(),
        name: &sticker.name,
        format: format_name(sticker.format),
        url: cdn.sticker(sticker.id, sticker.format),
    };
    stickers.iter().map(object).collect()
}

/// <https://docs.discord.com/developers/resources/sticker#sticker-object-sticker-format-types>
fn format_name(format: u32) -> &'static str {
    match format {
        1 => "png",
        2 => "apng",
        3 => "lottie",
        4 => "gif",
        _ => "unknown",
    }
}
