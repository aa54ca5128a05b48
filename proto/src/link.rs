//! Links of files that Discord signs: where they stand in a message, and until when they hold.
//!
//! `https://cdn.discordapp.com/attachments/<channel>/<id>/<name>?ex=<hex>&is=<hex>&hm=<hex>`: `ex` is when it runs out,
//! in seconds since 1970 (<https://docs.discord.com/developers/reference#signed-attachment-cdn-urls>). The same
//! signature holds for the copies on other hosts, so a file is known by its path.

use crate::event::{Component, Embed, Message, Shape};

/// What the path of a file begins with, on whichever host.
const FILES: [&str; 2] = ["/attachments/", "/ephemeral-attachments/"];
/// The parts of a signature.
const SIGNATURE: [&str; 3] = ["ex", "is", "hm"];

/// The path of a signed file; none for any other link.
pub fn path(url: &str) -> Option<&str> {
    let (place, query) = url.split_once('?')?;
    expiry_of(query)?;
    let at = FILES.iter().filter_map(|files| place.find(files)).min()?;
    place.get(at..)
}

/// Until when a signed link holds, in milliseconds since 1970; none for any other link.
pub fn expires_ms(url: &str) -> Option<i64> {
    path(url)?;
    expiry_of(url.split_once('?')?.1)
}

/// The signature of a signed link.
pub fn signature(url: &str) -> Option<String> {
    path(url)?;
    let (_, query) = url.split_once('?')?;
    let parts = query.split('&').filter(|part| is_signature(part));
    Some(parts.collect::<Vec<_>>().join("&"))
}

/// Until when a signature holds, in milliseconds since 1970.
pub fn expiry_of(signature: &str) -> Option<i64> {
    let mut parts = signature.split('&');
    let seconds = parts.find_map(|part| part.strip_prefix("ex="))?;
    i64::from_str_radix(seconds, 16).ok()?.checked_mul(1_000)
}

/// The link with another signature; whatever else its query says stays.
pub fn signed(url: &str, signature: &str) -> String {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let kept = query
        .split('&')
        .filter(|part| !part.is_empty() && !is_signature(part));
    let parts: Vec<&str> = kept.chain([signature]).collect();
    format!("{place}?{}", parts.join("&"))
}

fn is_signature(part: &str) -> bool {
    let name = part.split('=').next().unwrap_or_default();
    SIGNATURE.contains(&name)
}

/// Visits every link of a message, those of what it forwards included.
pub fn each_mut(message: &mut Message, visit: &mut dyn FnMut(&mut String)) {
    for attachment in &mut message.attachments {
        visit(&mut attachment.url);
        visit(&mut attachment.proxy_url);
    }
    each_of_embeds(&mut message.embeds, visit);
    each_of_components(&mut message.components, visit);
    if let Some(forward) = &mut message.forward {
        for attachment in &mut forward.attachments {
            visit(&mut attachment.url);
            visit(&mut attachment.proxy_url);
        }
        each_of_embeds(&mut forward.embeds, visit);
        each_of_components(&mut forward.components, visit);
    }
}

fn each_of_embeds(embeds: &mut [Embed], visit: &mut dyn FnMut(&mut String)) {
    for embed in embeds {
        let links = [
            &mut embed.url,
            &mut embed.thumbnail_url,
            &mut embed.image_url,
            &mut embed.author_icon_url,
            &mut embed.footer_icon_url,
            &mut embed.video_url,
        ];
        links.into_iter().flatten().for_each(&mut *visit);
    }
}

fn each_of_components(components: &mut [Component], visit: &mut dyn FnMut(&mut String)) {
    for component in components {
        match &mut component.shape {
            Some(Shape::Media(media) | Shape::File(media)) => {
                visit(&mut media.url);
                visit(&mut media.proxy_url);
            }
            Some(Shape::Group(group)) => each_of_components(&mut group.components, visit),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attachment, Forward, Group, Media};

    const URL: &str = "https://cdn.discordapp.com/attachments/1/2/cat.png?ex=64&is=60&hm=ab";

    #[test]
    fn a_signed_link_has_a_path_and_an_end_and_any_other_has_none() {
        assert_eq!(path(URL), Some("/attachments/1/2/cat.png"));
        assert_eq!(expires_ms(URL), Some(100_000));
        assert_eq!(signature(URL).as_deref(), Some("ex=64&is=60&hm=ab"));
        for other in [
            "https://cdn.discordapp.com/attachments/1/2/cat.png",
            "https://cdn.discordapp.com/attachments/1/2/cat.png?ex=xyz&is=1",
            "https://cdn.discordapp.com/attachments/1/2/cat.png?ex=ffffffffffffffffff",
            "https://example.org/cat.png?ex=64",
            "",
            "?",
        ] {
            assert_eq!((path(other), expires_ms(other)), (None, None), "{other}");
        }
    }

    #[test]
    fn another_signature_leaves_the_rest_of_a_link() {
        let fresh = "ex=ff&is=f0&hm=cd";
        let url = "https://media.discordapp.net/attachments/1/2/cat.png?width=9&ex=64&is=60&hm=ab&format=webp";
        let expected = format!(
            "https://media.discordapp.net/attachments/1/2/cat.png?width=9&format=webp&{fresh}"
        );
        assert_eq!(signed(url, fresh), expected);
        assert_eq!(path(&signed(URL, fresh)), path(URL));
        assert_eq!(expiry_of(fresh), Some(255_000));
    }

    #[test]
    fn every_link_of_a_message_is_visited() {
        let media = |name: &str| Media {
            url: format!("{name}-url"),
            proxy_url: format!("{name}-proxy"),
            ..Media::default()
        };
        let component = |shape| Component { shape: Some(shape) };
        let group = Group {
            components: vec![component(Shape::File(media("file")))],
            ..Group::default()
        };
        let attachment = |name: &str| Attachment {
            url: format!("{name}-url"),
            proxy_url: format!("{name}-proxy"),
            ..Attachment::default()
        };
        let embed = Embed {
            image_url: Some("image".to_owned()),
            ..Embed::default()
        };
        let mut message = Message {
            attachments: vec![attachment("a")],
            embeds: vec![embed.clone()],
            components: vec![component(Shape::Group(group))],
            forward: Some(Forward {
                attachments: vec![attachment("f")],
                embeds: vec![embed],
                components: vec![component(Shape::Media(media("media")))],
                ..Forward::default()
            }),
            ..Message::default()
        };
        let mut seen = Vec::new();
        each_mut(&mut message, &mut |url| seen.push(std::mem::take(url)));
        let expected = [
            "a-url",
            "a-proxy",
            "image",
            "file-url",
            "file-proxy",
            "f-url",
            "f-proxy",
            "image",
            "media-url",
            "media-proxy",
        ];
        assert_eq!(seen, expected);
    }
}
