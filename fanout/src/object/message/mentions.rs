//! The names behind the mentions of a message, by id.
//!
//! A message is the same for all who see its channel, so a channel is named only if everyone may see it; the
//! others a viewer knows from their own list, or not at all. Syntax:
//! <https://docs.discord.com/developers/reference#message-formatting>.

use std::collections::{BTreeMap, BTreeSet};

use proto::event::{Component, Message, Shape};
use proto::{ChannelId, GuildId};
use serde::Serialize;

use crate::access::Directory;

#[derive(Debug, Default, Serialize)]
pub(super) struct Mentions<'a> {
    users: BTreeMap<String, &'a str>,
    roles: BTreeMap<String, &'a str>,
    channels: BTreeMap<String, &'a str>,
}

impl<'a> Mentions<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.roles.is_empty() && self.channels.is_empty()
    }

    pub(super) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    pub(super) fn clear_users(&mut self) {
        self.users.clear();
    }

    /// Of users, and of these channels.
    pub(super) fn of_users(
        users: &'a BTreeMap<u64, String>,
        channels: BTreeMap<String, &'a str>,
    ) -> Self {
        Self {
            users: by_id(users),
            roles: BTreeMap::new(),
            channels,
        }
    }
}

pub(super) fn of<'a>(
    message: &'a Message,
    guild: GuildId,
    directory: &'a Directory,
) -> Mentions<'a> {
    let written = texts(message);
    let mut roles = mentioned(&written, "<@&");
    roles.extend(&message.mentioned_roles);
    let roles: Vec<u64> = roles.into_iter().collect();
    let roles = directory.role_names(guild, &roles).into_iter();
    let mut channels = by_id(&message.mentioned_channels);
    for id in mentioned(&written, "<#") {
        let public = ChannelId::new(id).and_then(|id| directory.public_name(guild, id));
        channels.extend(public.map(|name| (id.to_string(), name)));
    }
    Mentions {
        roles: roles.map(|(id, name)| (id.to_string(), name)).collect(),
        ..Mentions::of_users(&message.mentioned_users, channels)
    }
}

fn by_id(names: &BTreeMap<u64, String>) -> BTreeMap<String, &str> {
    let pairs = names.iter().map(|(id, name)| (id.to_string(), &**name));
    pairs.collect()
}

/// Whatever of a message may mention somebody.
fn texts(message: &Message) -> Vec<&str> {
    let mut texts = vec![message.content.as_str()];
    for embed in &message.embeds {
        texts.extend(embed.description.as_deref());
        texts.extend(embed.fields.iter().map(|field| field.value.as_str()));
    }
    add_components(&message.components, &mut texts);
    texts
}

fn add_components<'a>(components: &'a [Component], texts: &mut Vec<&'a str>) {
    for component in components {
        match &component.shape {
            Some(Shape::Text(text)) => texts.push(text),
            Some(Shape::Group(group)) => add_components(&group.components, texts),
            _ => {}
        }
    }
}

/// The ids that stand between this opening and `>`.
fn mentioned(texts: &[&str], opening: &str) -> BTreeSet<u64> {
    let parts = texts.iter().flat_map(|text| text.split(opening).skip(1));
    let ids = parts.filter_map(|part| part.split_once('>')?.0.parse().ok());
    ids.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_are_read_by_their_kind_and_nothing_else_is_one() {
        let texts = ["<#12> and <#13>, <#12> <@&14> <@15> <#x> <#", "a <#16>"];
        assert_eq!(mentioned(&texts, "<#"), [12, 13, 16].into());
        assert_eq!(mentioned(&texts, "<@&"), [14].into());
    }
}
