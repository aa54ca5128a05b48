//! Components, of the first kind (rows of buttons and menus) and the second (text, media and containers).
//! <https://docs.discord.com/developers/components/reference>

use proto::event::{Button, Component, Group, GroupKind, Media, Select, Shape};

use super::Object;
use super::media::filled;
use super::placeholder::{Placeholder, Placeholders};
use super::poll::emoji;

/// Discord nests three deep; what lies deeper than this is not Discord's.
const DEPTH_MAX: usize = 6;
/// Where a message, or a component, lists those that lie in it.
const COMPONENTS: &str = "components";

/// The components of a message.
pub(super) fn components(object: &Object<'_>, placeholders: &mut Placeholders) -> Vec<Component> {
    let mut reader = Reader {
        placeholders,
        depth: 0,
    };
    reader.list(object, COMPONENTS)
}

struct Reader<'a> {
    placeholders: &'a mut Placeholders,
    depth: usize,
}

impl Reader<'_> {
    fn list(&mut self, object: &Object<'_>, name: &str) -> Vec<Component> {
        let components = object.objects(name);
        components.iter().map(|one| self.component(one)).collect()
    }

    fn component(&mut self, object: &Object<'_>) -> Component {
        let kind: u32 = object.number("type").unwrap_or_default();
        let shape = if self.depth < DEPTH_MAX {
            self.depth += 1;
            let shape = self.shape(kind, object);
            self.depth -= 1;
            shape
        } else {
            None
        };
        let shape = shape.unwrap_or_else(|| {
            self.placeholders.add(Placeholder::Component);
            Shape::Unknown(kind)
        });
        Component { shape: Some(shape) }
    }

    fn shape(&mut self, kind: u32, object: &Object<'_>) -> Option<Shape> {
        Some(match kind {
            1 => Shape::Group(group(GroupKind::Row, self.list(object, COMPONENTS))?),
            2 => Shape::Button(button(object)),
            3 | 5..=8 => Shape::Select(select(object)),
            9 => {
                let mut section = self.list(object, COMPONENTS);
                section.extend(object.object("accessory").map(|one| self.component(&one)));
                Shape::Group(group(GroupKind::Section, section)?)
            }
            10 => Shape::Text(filled(object, "content")?),
            11 => Shape::Media(media(object, "media")?),
            12 => {
                let items = object.objects("items").into_iter();
                let pictures = items.filter_map(|item| media(&item, "media"));
                let picture = |media| Component {
                    shape: Some(Shape::Media(media)),
                };
                Shape::Group(group(GroupKind::Gallery, pictures.map(picture).collect())?)
            }
            13 => Shape::File(media(object, "file")?),
            14 => Shape::Separator(object.raw("divider") != Some("false")),
            17 => Shape::Group(Group {
                accent_color: object.number("accent_color"),
                spoiler: object.flag("spoiler"),
                ..group(GroupKind::Container, self.list(object, COMPONENTS))?
            }),
            _ => return None,
        })
    }
}

/// A group of something: an empty one would show nothing.
fn group(kind: GroupKind, components: Vec<Component>) -> Option<Group> {
    (!components.is_empty()).then(|| Group {
        kind: kind.into(),
        components,
        ..Group::default()
    })
}

fn button(object: &Object<'_>) -> Button {
    Button {
        label: filled(object, "label"),
        emoji: emoji(object),
        url: object.text("url"),
        disabled: object.flag("disabled"),
    }
}

fn select(object: &Object<'_>) -> Select {
    let options = object.objects("options");
    Select {
        placeholder: filled(object, "placeholder"),
        options: options
            .iter()
            .filter_map(|one| filled(one, "label"))
            .collect(),
    }
}

/// A picture or a file, of which `name` holds the link.
fn media(object: &Object<'_>, name: &str) -> Option<Media> {
    let item = object.object(name)?;
    Some(Media {
        url: filled(&item, "url")?,
        proxy_url: item.text("proxy_url").unwrap_or_default(),
        description: filled(object, "description"),
        spoiler: object.flag("spoiler"),
        width: item.number("width"),
        height: item.number("height"),
        content_type: item.text("content_type"),
        name: filled(object, "name"),
        size: object.number("size"),
    })
}
