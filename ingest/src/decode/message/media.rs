//! Attachments, embeds and stickers.

use proto::event::{Attachment, Embed, EmbedField, Sticker};

use super::Object;
use super::placeholder::{Placeholder, Placeholders, is_blank_embed};

/// The attachments; one that has neither an id nor a link is none.
pub(super) fn attachments(object: &Object<'_>) -> Vec<Attachment> {
    let objects = object.objects("attachments");
    objects.iter().filter_map(attachment).collect()
}

fn attachment(object: &Object<'_>) -> Option<Attachment> {
    let (id, url) = (object.id("id"), object.text("url"));
    if id.is_none() && url.is_none() {
        return None;
    }
    Some(Attachment {
        id: id.unwrap_or_default(),
        filename: filled(object, "filename").unwrap_or_else(|| "attachment".to_owned()),
        url: url.unwrap_or_default(),
        proxy_url: object.text("proxy_url").unwrap_or_default(),
        size: object.number("size").unwrap_or_default(),
        content_type: object.text("content_type"),
        width: object.number("width"),
        height: object.number("height"),
        flags: object.number("flags").unwrap_or_default(),
        title: filled(object, "title"),
        description: filled(object, "description"),
        duration_secs: object.decimal("duration_secs"),
        waveform: filled(object, "waveform"),
    })
}

/// The embeds; one that shows nothing is labelled.
pub(super) fn embeds(object: &Object<'_>, placeholders: &mut Placeholders) -> Vec<Embed> {
    let objects = object.objects("embeds");
    let labelled = |object: &Object<'_>| {
        let mut embed = embed(object);
        if is_blank_embed(&embed) && embed.url.is_none() {
            placeholders.add(Placeholder::Embed);
            embed.description = Some("[An embed that can't be shown]".to_owned());
        }
        embed
    };
    objects.iter().map(labelled).collect()
}

fn embed(object: &Object<'_>) -> Embed {
    let url_of = |name| object.object(name).and_then(|media| filled(&media, "url"));
    let author = object.object("author").unwrap_or_default();
    let footer = object.object("footer").unwrap_or_default();
    let provider = object.object("provider").unwrap_or_default();
    let fields = object.objects("fields");
    Embed {
        title: filled(object, "title"),
        description: filled(object, "description"),
        url: filled(object, "url"),
        color: object.number("color"),
        thumbnail_url: url_of("thumbnail"),
        image_url: url_of("image"),
        author_name: filled(&author, "name"),
        author_icon_url: filled(&author, "icon_url"),
        fields: fields.iter().filter_map(embed_field).collect(),
        footer_text: filled(&footer, "text"),
        footer_icon_url: filled(&footer, "icon_url"),
        timestamp_ms: object.time_ms("timestamp"),
        video_url: url_of("video"),
        provider_name: filled(&provider, "name"),
    }
}

/// A field; none of nothing.
fn embed_field(object: &Object<'_>) -> Option<EmbedField> {
    let (name, value) = (filled(object, "name"), filled(object, "value"));
    (name.is_some() || value.is_some()).then(|| EmbedField {
        name: name.unwrap_or_default(),
        value: value.unwrap_or_default(),
        inline: object.flag("inline"),
    })
}

/// The stickers; one without a name is labelled.
pub(super) fn stickers(object: &Object<'_>, placeholders: &mut Placeholders) -> Vec<Sticker> {
    let objects = object.objects("sticker_items");
    let sticker = |object: &Object<'_>| Sticker {
        id: object.id("id").unwrap_or_default(),
        name: filled(object, "name").unwrap_or_else(|| {
            placeholders.add(Placeholder::Sticker);
            "[A sticker without a name]".to_owned()
        }),
        format: object.number("format_type").unwrap_or_default(),
    };
    objects.iter().map(sticker).collect()
}

/// A text that says something.
pub(super) fn filled(object: &Object<'_>, name: &str) -> Option<String> {
    object.text(name).filter(|text| !text.trim().is_empty())
}
