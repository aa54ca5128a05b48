//! Whether a viewer whom nobody here has met is a member: asked of ingest, which asks Discord.
//!
//! The answer is no state of its own: it names the sequence at which the member stands in the feed, so that
//! a role that is taken meanwhile is never given back by a late answer.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use proto::event::{MemberAnswer, MemberReply, MemberRequest, MemberStatus};
use proto::{GuildId, UserId, subject};
use runtime::time::now_ms;
use tokio::time::Instant;

use super::since::Since;
use super::{Hub, State};
use crate::access::{Change, Grant};
use crate::upstream;

/// Guilds that are asked about for a viewer whose login listed none (decisions.md, "Members").
const UNLISTED_MAX: usize = 20;

/// Guilds of one question; as many as ingest looks up.
const ASKED_MAX: usize = 100;

/// Then the question counts as unanswered (decisions.md, "Members").
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// Between two questions about a viewer whom nobody could place, at first and at most.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// Users who are asked about at the same time: half of what ingest asks Discord at once.
const ASKED_AT_ONCE: usize = 50;

/// How long SQL may take to name the guilds of a login.
const LOGIN_TIME_MAX: Duration = Duration::from_millis(500);

/// A login's list of guilds is older than what it says (decisions.md, "Members").
const LOGIN_AGE_MAX_MS: i64 = 30 * 24 * 3_600 * 1_000;

impl Hub {
    /// Asks about every guild of which nobody has said of late whether this viewer is a member. True if that is
    /// settled now, as far as anybody can say.
    pub async fn resolve(&self, grant: &Grant) -> bool {
        let Grant::User(user) = grant else {
            return true;
        };
        let is_resolved = self.settle(*user).await;
        // What they were for all we know may be too old to be believed.
        let state = &mut *self.state.borrow_mut();
        let guilds = state.directory.guilds_for(*user).into_iter();
        let believed: Vec<_> = guilds
            .take_while(|guild| state.directory.is_member(*guild, *user))
            .collect();
        self.review_standing(state, *user, &believed, Instant::now());
        is_resolved
    }

    async fn settle(&self, user: UserId) -> bool {
        if self.state.borrow().due_guilds(user, None).is_empty() {
            return true;
        }
        let login = self.login_guilds(user).await;
        let (guilds, snapshots) = {
            let state = self.state.borrow();
            (state.due_guilds(user, login.as_deref()), state.snapshots)
        };
        if guilds.is_empty() {
            return true;
        }
        let Some(reply) = self.ask(user, &guilds).await else {
            return false;
        };
        let answers = reply.answers.iter().filter(|answer| is_settled(answer));
        if let Some(sequence) = answers.clone().map(|answer| answer.sequence).max() {
            let reached = tokio::time::timeout(ANSWER_PATIENCE, self.reach(sequence)).await;
            if !matches!(reached, Ok(Some(_))) {
                return false;
            }
        }
        let state = &mut *self.state.borrow_mut();
        // An answer of before a snapshot says nothing of what is after it.
        if state.snapshots != snapshots {
            return false;
        }
        let holds =
            (reply.recheck_after_ms > 0).then_some(Duration::from_millis(reply.recheck_after_ms));
        for guild in answers.filter_map(|answer| GuildId::new(answer.guild_id)) {
            if state.standings.verify(user, guild, holds, Instant::now()) {
                self.on_change(state, Change::Member(guild, user), Since::no_frame());
            }
        }
        reply.answers.iter().all(is_settled)
    }

    /// The guilds that the user's last login listed; none where there is no list that says anything.
    async fn login_guilds(&self, user: UserId) -> Option<Vec<GuildId>> {
        // On the heap: what asks a database is large, and every connection that begins would carry it.
        let reading = Box::pin(self.library.store.login_guilds(user));
        let read = tokio::time::timeout(LOGIN_TIME_MAX, reading).await;
        let (guilds, at_ms) = read.ok()?.ok()??;
        (now_ms() - at_ms < LOGIN_AGE_MAX_MS).then_some(guilds)
    }

    /// A guild has come anew (Discord began another session): what was known of its members may be old, and
    /// those who are here are asked about. Whatever is found reaches them through the feed, as any change does.
    pub(super) fn unverify(&self, state: &mut State, guild: GuildId) {
        state.snapshots += 1;
        state.standings.on_guild(guild, Instant::now());
        state.unverified.extend(state.viewers_of.keys());
        self.unverified.notify_one();
    }

    /// Asks about users of whom nobody could say enough, a few at a time. Those about whom nobody answers are asked
    /// about again later, and keep nobody else waiting.
    pub(super) async fn verify(self: Rc<Self>) {
        let mut pause = RETRY_MIN;
        let mut again_at = Instant::now();
        let mut unanswered = BTreeSet::new();
        loop {
            tokio::select! {
                () = self.unverified.notified() => {}
                () = tokio::time::sleep_until(again_at), if !unanswered.is_empty() => {
                    self.state.borrow_mut().unverified.append(&mut unanswered);
                }
            }
            let had_none = unanswered.is_empty();
            while let Some(users) = self.next_unverified() {
                let asked = users.iter().map(|user| self.verify_one(*user));
                let answered = futures_util::future::join_all(asked).await;
                let asked = users.into_iter().zip(answered);
                unanswered.extend(
                    asked
                        .filter(|(_, is_answered)| !is_answered)
                        .map(|(user, _)| user),
                );
            }
            if unanswered.is_empty() {
                pause = RETRY_MIN;
            } else if had_none {
                // Spread, so that all instances do not ask at once when an outage ends.
                again_at = Instant::now() + pause.mul_f64(rand::random_range(0.5..1.5));
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }

    fn next_unverified(&self) -> Option<Vec<UserId>> {
        let state = &mut *self.state.borrow_mut();
        let users: Vec<_> = std::iter::from_fn(|| state.unverified.pop_first())
            .take(ASKED_AT_ONCE)
            .collect();
        (!users.is_empty()).then_some(users)
    }

    async fn verify_one(&self, user: UserId) -> bool {
        let is_resolved = self.resolve(&Grant::User(user)).await;
        let state = &mut *self.state.borrow_mut();
        let Some(keys) = state.viewers_of.get(&user) else {
            return true;
        };
        for key in keys {
            if let Some(viewer) = state.viewers.get_mut(key) {
                viewer.session.is_unresolved = !is_resolved;
            }
        }
        is_resolved
    }

    async fn ask(&self, user: UserId, guilds: &[GuildId]) -> Option<MemberReply> {
        let request = MemberRequest {
            user_id: user.get(),
            guild_ids: guilds.iter().map(|guild| guild.get()).collect(),
        };
        let broker = &*self.library.broker;
        upstream::ask(broker, subject::RPC_MEMBER, &request, ANSWER_PATIENCE).await
    }
}

impl State {
    /// The guilds in which this user is to be asked about now.
    fn due_guilds(&self, user: UserId, login: Option<&[GuildId]>) -> Vec<GuildId> {
        let now = Instant::now();
        let guilds = self.directory.guilds_for(user).into_iter();
        let guilds = guilds.map(|guild| (guild, self.directory.is_member(guild, user)));
        let mut asked = in_question(guilds, login);
        asked.retain(|guild| self.standings.is_due(user, *guild, now));
        asked
    }
}

/// Of all guilds, those where this user is believed to be a member, and those where they may be one: where their
/// login listed it, or without a list in any, up to a number.
fn in_question(
    guilds: impl Iterator<Item = (GuildId, bool)>,
    login: Option<&[GuildId]>,
) -> Vec<GuildId> {
    let (believed, others): (Vec<_>, Vec<_>) = guilds.partition(|(_, is_member)| *is_member);
    let most = if login.is_some() {
        ASKED_MAX
    } else {
        UNLISTED_MAX.saturating_sub(believed.len())
    };
    let may_be_in = |(guild, _): &(GuildId, bool)| login.is_none_or(|list| list.contains(guild));
    let others = others.into_iter().filter(may_be_in).take(most);
    let asked = believed.into_iter().chain(others).take(ASKED_MAX);
    asked.map(|(guild, _)| guild).collect()
}

fn is_settled(answer: &MemberAnswer) -> bool {
    matches!(
        answer.status(),
        MemberStatus::Member | MemberStatus::NotMember
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guild(id: u64) -> GuildId {
        GuildId::new(id).unwrap()
    }

    #[test]
    fn only_guilds_of_the_login_are_asked_about_or_twenty_and_all_where_they_are_believed() {
        let among = |believed: u64| (1..=60).map(move |id| (guild(id), id <= believed));
        let list = [guild(2), guild(50), guild(99)];
        assert_eq!(in_question(among(0), Some(&list)), [guild(2), guild(50)]);
        let asked = in_question(among(3), Some(&list));
        assert_eq!(asked, [1, 2, 3, 50].map(guild));
        assert_eq!(in_question(among(3), None).len(), 20);
        assert_eq!(in_question(among(30), None).len(), 30);
        assert_eq!(in_question(among(0), Some(&[])), []);
    }
}
