//! Whether a viewer whom nobody here has met is a member: asked of ingest, which asks Discord.
//!
//! The answer is no state of its own: it names the sequence at which the member stands in the feed, so that
//! a role that is taken meanwhile is never given back by a late answer.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use proto::event::{MemberReply, MemberRequest, MemberStatus};
use proto::{GuildId, UserId, subject};

use super::Hub;
use crate::access::Grant;
use crate::session::ViewerKey;

/// Guilds that are asked about for one viewer (decisions.md, "Members").
const GUILDS_MAX: usize = 20;

/// Then the question counts as unanswered (decisions.md, "Members").
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// Between two questions about a viewer whom nobody could place, at first and at most.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15);

impl Hub {
    /// Asks about every guild of which nobody knows. True if that is settled now, as far as anybody can say.
    pub async fn resolve(&self, grant: &Grant) -> bool {
        let Grant::User(user) = grant else {
            return true;
        };
        let mut guilds = self.state.borrow().directory.guilds_without(*user);
        guilds.sort_unstable();
        guilds.truncate(GUILDS_MAX);
        if guilds.is_empty() {
            return true;
        }
        let Some(reply) = self.ask(*user, &guilds).await else {
            return false;
        };
        let sequence = reply
            .answers
            .iter()
            .filter(|answer| answer.status() == MemberStatus::Member);
        if let Some(sequence) = sequence.map(|answer| answer.sequence).max() {
            let reached = tokio::time::timeout(ANSWER_PATIENCE, self.reach(sequence)).await;
            if !matches!(reached, Ok(Some(_))) {
                return false;
            }
        }
        let settled = |answer: &proto::event::MemberAnswer| {
            matches!(
                answer.status(),
                MemberStatus::Member | MemberStatus::NotMember
            )
        };
        reply.answers.iter().all(settled)
    }

    /// Asks again, less and less often, for a viewer about whom nobody could answer. Whatever is found
    /// reaches them through the feed, as any change does.
    pub(super) async fn resolve_later(self: Rc<Self>, key: ViewerKey) {
        let mut pause = RETRY_MIN;
        loop {
            // Spread, so that all who came during an outage do not ask at once when it ends.
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
            pause = (pause * 2).min(RETRY_MAX);
            let grant = self
                .state
                .borrow()
                .viewers
                .get(&key)
                .map(|v| v.session.principal.grant.clone());
            let Some(grant) = grant else {
                return;
            };
            if self.resolve(&grant).await {
                if let Some(viewer) = self.state.borrow_mut().viewers.get_mut(&key) {
                    viewer.session.is_unresolved = false;
                }
                return;
            }
        }
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
