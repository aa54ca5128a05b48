//! How long what is known of members holds: verified, due to be asked about again, or lapsed.
//!
//! Pure: the clock is a parameter. Whoever was a member keeps access for 5 minutes after what was known of them
//! became uncertain; then they have none until somebody has said what they are (decisions.md, "Members").

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use proto::{GuildId, UserId};
use tokio::time::Instant;

/// How long who is not verified keeps access (decisions.md, "Members").
pub(super) const TRUST: Duration = Duration::from_mins(5);

/// What is known of the members who are here.
#[derive(Debug, Default)]
pub(super) struct Standings {
    /// Until when those are trusted of whom nothing was said since the guild came.
    begun: HashMap<GuildId, Instant>,
    known: HashMap<UserId, HashMap<GuildId, Standing>>,
    lapsed: HashMap<UserId, BTreeSet<GuildId>>,
}

/// What was said of a user in a guild: a member or not, as the directory has it.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// When it was said.
    at: Instant,
    /// From then on they are to be asked about again; never, where the gateway tells of every change.
    due_at: Option<Instant>,
    /// From then on it is worth nothing.
    ends_at: Option<Instant>,
}

impl Standings {
    /// A guild has come anew: what was known of its members may be old.
    pub(super) fn on_guild(&mut self, guild: GuildId, now: Instant) {
        let ends_at = now + TRUST;
        // A gateway that begins again and again prolongs nothing.
        let begun = self.begun.entry(guild).or_insert(ends_at);
        if *begun <= now {
            *begun = ends_at;
        }
        let standings = self.known.values_mut();
        for standing in standings.filter_map(|known| known.get_mut(&guild)) {
            standing.due_at = Some(now);
            standing.ends_at = Some(standing.ends_at.map_or(ends_at, |ends| ends.min(ends_at)));
        }
    }

    /// The directory has come anew, with these guilds.
    pub(super) fn on_directory(&mut self, guilds: impl Iterator<Item = GuildId>, now: Instant) {
        self.begun = guilds.map(|guild| (guild, now + TRUST)).collect();
        self.known.clear();
        self.lapsed.clear();
    }

    /// Somebody has said what this user is in the guild, which holds for so long; none: until further notice.
    /// True if they had lapsed.
    pub(super) fn verify(
        &mut self,
        user: UserId,
        guild: GuildId,
        holds: Option<Duration>,
        now: Instant,
    ) -> bool {
        let due_at = holds.map(|holds| now + holds);
        let standing = Standing {
            at: now,
            due_at,
            ends_at: due_at.map(|due| due + TRUST),
        };
        self.known.entry(user).or_default().insert(guild, standing);
        let lapsed = self.lapsed.get_mut(&user);
        lapsed.is_some_and(|lapsed| lapsed.remove(&guild))
    }

    /// Whether this user is to be asked about in the guild.
    pub(super) fn is_due(&self, user: UserId, guild: GuildId, now: Instant) -> bool {
        let known = self.known.get(&user).and_then(|known| known.get(&guild));
        known.is_none_or(|standing| standing.is_due(now))
    }

    /// Whether this user is to be asked about again in any guild.
    pub(super) fn has_due(&self, user: UserId, now: Instant) -> bool {
        let known = self.known.get(&user);
        known.is_some_and(|known| known.values().any(|standing| standing.is_due(now)))
    }

    /// Looks whether what is known of a user in a guild is worth anything still. True if it has lapsed now.
    pub(super) fn lapses(&mut self, user: UserId, guild: GuildId, now: Instant) -> bool {
        let known = self.known.get(&user).and_then(|known| known.get(&guild));
        let ends_at = match known {
            Some(standing) => standing.ends_at,
            None => self.begun.get(&guild).copied(),
        };
        ends_at.is_some_and(|ends| ends <= now)
            && self.lapsed.entry(user).or_default().insert(guild)
    }

    /// This user has no access to the guild until somebody has said what they are.
    pub(super) fn has_lapsed(&self, user: UserId, guild: GuildId) -> bool {
        let lapsed = self.lapsed.get(&user);
        lapsed.is_some_and(|lapsed| lapsed.contains(&guild))
    }

    /// Forgets all users but these, and those of whom something was said so lately that it holds when they come back.
    pub(super) fn retain(&mut self, is_here: impl Fn(&UserId) -> bool, now: Instant) {
        self.known.retain(|user, known| {
            is_here(user) || known.values().any(|standing| now < standing.at + TRUST)
        });
        self.lapsed.retain(|user, _| is_here(user));
    }
}

impl Standing {
    fn is_due(&self, now: Instant) -> bool {
        self.due_at.is_some_and(|due| due <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn ids() -> (UserId, GuildId) {
        (UserId::new(1).unwrap(), GuildId::new(2).unwrap())
    }

    #[test]
    fn who_is_not_verified_in_five_minutes_has_nothing_until_they_are() {
        let ((user, guild), began) = (ids(), Instant::now());
        let mut standings = Standings::default();
        standings.on_guild(guild, began);
        assert!(standings.is_due(user, guild, began), "never asked about");
        assert!(!standings.lapses(user, guild, began + TRUST - MINUTE));
        assert!(standings.lapses(user, guild, began + TRUST));
        assert!(!standings.lapses(user, guild, began + TRUST), "said once");
        assert!(standings.has_lapsed(user, guild));
        assert!(standings.verify(user, guild, None, began + TRUST));
        assert!(!standings.has_lapsed(user, guild) && !standings.has_due(user, began + TRUST * 99));
    }

    #[test]
    fn an_answer_that_holds_for_a_minute_is_asked_for_again_and_trusted_meanwhile() {
        let ((user, guild), began) = (ids(), Instant::now());
        let mut standings = Standings::default();
        standings.verify(user, guild, Some(MINUTE), began);
        assert!(!standings.has_due(user, began + MINUTE / 2));
        assert!(standings.has_due(user, began + MINUTE));
        assert!(!standings.lapses(user, guild, began + TRUST));
        assert!(standings.lapses(user, guild, began + MINUTE + TRUST));
    }

    #[test]
    fn a_guild_that_comes_again_and_again_prolongs_nothing() {
        let ((user, guild), began) = (ids(), Instant::now());
        let mut standings = Standings::default();
        standings.verify(user, guild, None, began);
        for minutes in 0..5 {
            standings.on_guild(guild, began + MINUTE * minutes);
        }
        assert!(standings.has_due(user, began + MINUTE * 4));
        assert!(standings.lapses(user, guild, began + TRUST));
    }

    #[test]
    fn nor_does_it_for_who_was_never_verified() {
        let ((user, guild), began) = (ids(), Instant::now());
        let mut standings = Standings::default();
        for minutes in [0, 4] {
            standings.on_guild(guild, began + MINUTE * minutes);
        }
        assert!(!standings.lapses(user, guild, began + MINUTE * 4));
        assert!(standings.lapses(user, guild, began + TRUST));
        // Once that is over, who comes later has five minutes from the next time on.
        let other = UserId::new(9).unwrap();
        standings.on_guild(guild, began + MINUTE * 10);
        assert!(!standings.lapses(other, guild, began + MINUTE * 14));
        assert!(standings.lapses(other, guild, began + MINUTE * 15));
    }

    #[test]
    fn who_goes_and_comes_back_is_still_known_for_five_minutes() {
        let ((user, guild), began) = (ids(), Instant::now());
        let mut standings = Standings::default();
        standings.on_guild(guild, began);
        standings.verify(user, guild, None, began + MINUTE * 4);
        standings.retain(|_| false, began + MINUTE * 6);
        assert!(!standings.is_due(user, guild, began + MINUTE * 6));
        assert!(!standings.lapses(user, guild, began + MINUTE * 6));
        standings.retain(|_| false, began + MINUTE * 9);
        assert!(
            standings.is_due(user, guild, began + MINUTE * 9),
            "forgotten"
        );
    }
}
