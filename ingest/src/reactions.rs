//! Reactions: Discord tells of single ones, viewers are told totals.
//!
//! `ledger.rs` counts, from a base that `base.rs` finds; both know neither the gateway nor the stream. A total
//! carries the last dispatch that it counts, so that what a RESUME repeats is not counted twice.

use proto::event::Reaction;
use proto::{ChannelId, GuildId, MessageId};

pub(crate) use base::{Bases, Found};
pub(crate) use ledger::{Ledger, LookUp, Step, Waiting};

mod base;
mod ledger;

/// A message.
pub(crate) type Key = (ChannelId, MessageId);

/// A dispatch about reactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reacted {
    pub(crate) guild: GuildId,
    pub(crate) key: Key,
    pub(crate) change: Change,
}

/// What somebody did. A super reaction is one like any other: Discord tells of each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Added(Emoji),
    Removed(Emoji),
    /// All reactions were taken away.
    Cleared,
    /// All with this emoji were.
    EmojiCleared(Emoji),
}

/// What is reacted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Emoji {
    /// The character, or a custom emoji's name, which may have changed or be gone.
    pub(crate) name: String,
    /// A custom emoji's, which alone says which one it is.
    pub(crate) id: Option<u64>,
    pub(crate) animated: bool,
}

impl Emoji {
    fn is(&self, reaction: &Reaction) -> bool {
        match (self.id, reaction.emoji_id) {
            (None, None) => self.name == reaction.emoji,
            (id, other) => id == other,
        }
    }
}

/// Counts a change in. The order stays: who came first stands first, as in Discord.
pub(crate) fn apply(totals: &mut Vec<Reaction>, change: &Change) {
    match change {
        Change::Added(emoji) => match totals.iter_mut().find(|reaction| emoji.is(reaction)) {
            Some(reaction) => reaction.count = reaction.count.saturating_add(1),
            None => totals.push(Reaction {
                emoji: emoji.name.clone(),
                emoji_id: emoji.id,
                animated: emoji.animated,
                count: 1,
            }),
        },
        Change::Removed(emoji) => {
            for reaction in totals.iter_mut().filter(|reaction| emoji.is(reaction)) {
                reaction.count = reaction.count.saturating_sub(1);
            }
            totals.retain(|reaction| reaction.count > 0);
        }
        Change::Cleared => totals.clear(),
        Change::EmojiCleared(emoji) => totals.retain(|reaction| !emoji.is(reaction)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emoji(name: &str, id: Option<u64>) -> Emoji {
        Emoji {
            name: name.to_owned(),
            id,
            animated: false,
        }
    }

    #[test]
    fn changes_are_counted_and_what_nobody_reacts_with_is_gone() {
        let (thumb, cat, renamed) = (emoji("👍", None), emoji("cat", Some(5)), emoji("", Some(5)));
        let script = [
            (Change::Added(thumb.clone()), vec![("👍", 1)]),
            (Change::Added(cat.clone()), vec![("👍", 1), ("cat", 1)]),
            (Change::Added(renamed.clone()), vec![("👍", 1), ("cat", 2)]),
            (
                Change::Added(emoji("cat", Some(6))),
                vec![("👍", 1), ("cat", 2), ("cat", 1)],
            ),
            (Change::Removed(thumb.clone()), vec![("cat", 2), ("cat", 1)]),
            (Change::Removed(thumb), vec![("cat", 2), ("cat", 1)]),
            (Change::EmojiCleared(renamed), vec![("cat", 1)]),
            (Change::Cleared, vec![]),
        ];
        let mut totals = Vec::new();
        for (change, expected) in script {
            apply(&mut totals, &change);
            let is: Vec<_> = totals
                .iter()
                .map(|one| (one.emoji.as_str(), one.count))
                .collect();
            assert_eq!(is, expected, "{change:?}");
        }
    }
}
