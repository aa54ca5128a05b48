//! Whether a viewer whom nobody here has met is a member: asked of ingest, which asks Discord.
//!
//! The answer is no state of its own: it names the sequence at which the member stands in the feed, so that
//! a role that is taken meanwhile is never given back by a late answer.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use proto::event::{MemberAnswer, MemberReply, MemberRequest, MemberStatus};
use proto::{GuildId, UserId, subject};

use super::{Hub, State};
use crate::access::Grant;

/// Guilds that are asked about for one viewer (decisions.md, "Members").
const GUILDS_MAX: usize = 20;

/// Then the question counts as unanswered (decisions.md, "Members").
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// Between two questions about a viewer whom nobody could place, at first and at most.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// Users who are asked about at the same time.
const ASKED_AT_ONCE: usize = 8;

impl Hub {
    /// Asks about every guild of which nobody has said, since its last snapshot, whether this viewer is a
    /// member. True if that is settled now, as far as anybody can say.
    pub async fn resolve(&self, grant: &Grant) -> bool {
        let Grant::User(user) = grant else {
            return true;
        };
        let (guilds, snapshots) = {
            let state = self.state.borrow();
            (state.unverified_guilds(*user), state.snapshots)
        };
        if guilds.is_empty() {
            return true;
        }
        let Some(reply) = self.ask(*user, &guilds).await else {
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
        let verified = state.verified.entry(*user).or_default();
        verified.extend(answers.filter_map(|answer| GuildId::new(answer.guild_id)));
        reply.answers.iter().all(is_settled)
    }

    /// A guild has come anew (Discord began another session): what was known of its members may be old, and
    /// those who are here are asked about. Whatever is found reaches them through the feed, as any change does.
    pub(super) fn unverify(&self, state: &mut State, guild: GuildId) {
        state.snapshots += 1;
        for verified in state.verified.values_mut() {
            verified.remove(&guild);
        }
        state.unverified.extend(state.viewers_of.keys());
        self.unverified.notify_one();
    }

    /// Asks about users of whom nobody could say enough, a few at a time, and again later where nobody answers.
    pub(super) async fn verify(self: Rc<Self>) {
        let mut pause = RETRY_MIN;
        loop {
            self.unverified.notified().await;
            while let Some(users) = self.next_unverified() {
                let asked = users.iter().map(|user| self.verify_one(*user));
                let answered = futures_util::future::join_all(asked).await;
                if answered.into_iter().all(|is_answered| is_answered) {
                    pause = RETRY_MIN;
                    continue;
                }
                // Spread, so that all instances do not ask at once when an outage ends.
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
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
        if !is_resolved {
            state.unverified.insert(user);
        }
        is_resolved
    }

    async fn ask(&self, user: UserId, guilds: &[GuildId]) -> Option<MemberReply> {
        let request = MemberRequest {
            user_id: user.get(),
            guild_ids: guilds.iter().map(|guild| guild.get()).collect(),
        };
        let payload = Bytes::from(request.encode_to_vec());
        let answer = self
            .broker
            .request(subject::RPC_MEMBER, payload, ANSWER_PATIENCE)
            .await;
        let answer = answer.inspect_err(|error| tracing::debug!(%error, "a member is not known"));
        MemberReply::decode(answer.ok()?).ok()
    }
}

impl State {
    fn unverified_guilds(&self, user: UserId) -> Vec<GuildId> {
        let verified = self.verified.get(&user);
        let is_open = |guild: &GuildId| verified.is_none_or(|verified| !verified.contains(guild));
        let guilds = self.directory.guilds_for(user).into_iter().filter(is_open);
        guilds.take(GUILDS_MAX).collect()
    }
}

fn is_settled(answer: &MemberAnswer) -> bool {
    matches!(
        answer.status(),
        MemberStatus::Member | MemberStatus::NotMember
    )
}
