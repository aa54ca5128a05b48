//! What the operator keeps from viewers: channels, categories with all below them, authors, bots, and who was erased.
//!
//! Which channels lie below an excluded category is learned from the directory's frames as they pass, and kept
//! with the gateway's session, because what is left out is nowhere else. Knows ids and nothing else.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;

/// The rules. Clones share what was learned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exclusions {
    rules: Arc<ExclusionRules>,
    hidden: Arc<RwLock<HashSet<u64>>>,
    /// Users who were erased on request.
    erased: Arc<RwLock<HashSet<u64>>>,
}

/// What is left out, as the settings say it (`STREAM_BOT_MESSAGES`, `STREAM_EXCLUDE_*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExclusionRules {
    /// Messages of bots and webhooks.
    pub bots: bool,
    /// Channels, and categories with all their channels.
    pub channels: HashSet<u64>,
    /// Messages of authors with one of these roles.
    pub roles: HashSet<u64>,
    /// Messages of these authors.
    pub users: HashSet<u64>,
}

impl Exclusions {
    /// These rules, with nothing learned yet.
    pub(crate) fn new(rules: ExclusionRules) -> Self {
        Self {
            rules: Arc::new(rules),
            hidden: Arc::default(),
            erased: Arc::default(),
        }
    }

    /// Whether this user's messages are left out, whatever their roles.
    pub(crate) fn leaves_out_user(&self, id: u64, is_bot: bool) -> bool {
        (is_bot && self.rules.bots) || self.rules.users.contains(&id)
    }

    /// Whether this user was erased on request. A webhook's id is no user: ask of none.
    pub(crate) fn has_erased(&self, id: u64) -> bool {
        self.erased.read().contains(&id)
    }

    /// Who was erased, all of them.
    pub(crate) fn set_erased(&self, users: impl Iterator<Item = u64>) {
        let users: HashSet<u64> = users.collect();
        if *self.erased.read() != users {
            *self.erased.write() = users;
        }
    }

    /// Whether an author with these roles is left out. Who can't be told not to have such a role is: `None`.
    pub(crate) fn leaves_out_roles(&self, roles: Option<&[u64]>) -> bool {
        let excluded = &self.rules.roles;
        let has_one = |roles: &[u64]| roles.iter().any(|role| excluded.contains(role));
        !excluded.is_empty() && roles.is_none_or(has_one)
    }

    /// Whether the settings name this channel.
    pub(crate) fn is_excluded(&self, channel: u64) -> bool {
        self.rules.channels.contains(&channel)
    }

    /// Whether nothing of this channel is shown.
    pub(crate) fn hides(&self, channel: u64) -> bool {
        self.is_excluded(channel)
            || (!self.rules.channels.is_empty() && self.hidden.read().contains(&channel))
    }

    /// Whether a channel is hidden as a frame describes it now: by itself, or by what it lies below.
    pub(crate) fn hides_below(&self, channel: u64, parent: Option<u64>) -> bool {
        self.is_excluded(channel) || parent.is_some_and(|parent| self.hides(parent))
    }

    /// A frame described these channels: hidden, or not any more.
    pub(crate) fn learn(&self, channels: impl IntoIterator<Item = (u64, bool)>) {
        if self.rules.channels.is_empty() {
            return;
        }
        let mut hidden = self.hidden.write();
        for (channel, is_hidden) in channels {
            if is_hidden {
                hidden.insert(channel);
            } else {
                hidden.remove(&channel);
            }
        }
    }

    /// The excluded channels as they are set, in order: what was decoded under others is of no use.
    pub(crate) fn channels(&self) -> Vec<u64> {
        sorted(&self.rules.channels)
    }

    /// What was learned, in order.
    pub(crate) fn hidden(&self) -> Vec<u64> {
        sorted(&self.hidden.read())
    }
}

fn sorted(ids: &HashSet<u64>) -> Vec<u64> {
    let mut ids: Vec<_> = ids.iter().copied().collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exclusions(rules: ExclusionRules) -> Exclusions {
        Exclusions::new(rules)
    }

    #[test]
    fn a_category_hides_what_lies_below_it_and_below_that() {
        let rules = ExclusionRules {
            channels: [10].into(),
            ..ExclusionRules::default()
        };
        let exclusions = exclusions(rules);
        assert!(exclusions.hides(10) && !exclusions.hides(11));
        assert!(exclusions.hides_below(11, Some(10)));
        exclusions.learn([(11, true)]);
        assert!(exclusions.hides(11) && exclusions.hides_below(12, Some(11)));
        exclusions.learn([(11, false)]);
        assert!(!exclusions.hides(11) && !exclusions.hides_below(12, Some(11)));
        assert!(
            exclusions.hides_below(10, None),
            "by itself, wherever it is"
        );
    }

    #[test]
    fn who_was_erased_is_known_to_all_clones_and_may_be_others_later() {
        let one = exclusions(ExclusionRules::default());
        let other = one.clone();
        one.set_erased([3, 4].into_iter());
        assert!(other.has_erased(3) && !other.has_erased(5));
        one.set_erased([5].into_iter());
        assert!(!other.has_erased(3) && other.has_erased(5));
    }

    #[test]
    fn authors_are_left_out_by_id_by_role_or_for_being_bots() {
        let nobody = exclusions(ExclusionRules::default());
        assert!(!nobody.leaves_out_user(1, true) && !nobody.leaves_out_roles(None));
        let some = exclusions(ExclusionRules {
            bots: true,
            roles: [5].into(),
            users: [7].into(),
            ..ExclusionRules::default()
        });
        assert!(some.leaves_out_user(1, true) && some.leaves_out_user(7, false));
        assert!(!some.leaves_out_user(1, false));
        assert!(some.leaves_out_roles(Some(&[4, 5])) && !some.leaves_out_roles(Some(&[4])));
        assert!(some.leaves_out_roles(None), "who can't be told");
    }
}
