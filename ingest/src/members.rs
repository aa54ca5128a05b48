//! Answers which guilds a user is a member of (`rpc.ingest.member`), asking Discord where nobody knows.
//!
//! A member that is found is published like any event of the guild, so that every reader has it by the
//! sequence of the answer. "Nobody could be asked" is an answer of its own, never "not a member". Serves
//! while it leads, and knows nothing of who asks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::{Answer, Broker};
use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use futures_util::stream::{self, StreamExt as _};
use parking_lot::Mutex;
use prost::Message as _;
use proto::event::{
    Event, Member, MemberAnswer, MemberRemoved, MemberReply, MemberRequest, MemberStatus,
};
use proto::{Envelope, GuildId, Identity, UserId, subject};
use runtime::time::now_ms;
use store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, answer};
use crate::places::Places;
use crate::publish::{Claim, Submission};
use crate::rest::Rest;
use crate::roster::{Heard, Key, Question, Roster};
use crate::status::Status;
use crate::trace;
use asker::Asker;
pub(crate) use chunks::Chunks;

mod asker;
mod chunks;

/// Requests answered at once, each of which may wait for Discord; one more goes unanswered, and is asked again.
const REQUESTS_MAX: usize = 2_048;
/// Guilds of one request that are looked up.
const GUILDS_MAX: usize = 100;
/// How long the gateway's own event, or our publication, is waited for.
const STORED: Duration = Duration::from_secs(5);
/// How long SQL may take.
const SQL: Duration = Duration::from_secs(1);

/// What a desk for members is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) store: Store,
    pub(crate) rest: Rest,
    pub(crate) chunks: Chunks,
    pub(crate) status: Status,
    pub(crate) roster: Roster,
    pub(crate) places: Places,
    pub(crate) submissions: mpsc::Sender<Submission>,
    pub(crate) acknowledged: watch::Receiver<u64>,
    pub(crate) archived: watch::Receiver<u64>,
}

/// Answers about members.
#[derive(Debug)]
pub(crate) struct Members {
    parts: Parts,
    /// Names this desk's publications; it never orders.
    epoch: u64,
    numbers: AtomicU64,
    under_way: Mutex<HashMap<Key, LookUp>>,
    asker: Asker,
}

type LookUp = Shared<BoxFuture<'static, MemberAnswer>>;

impl Members {
    /// A desk of this name.
    pub(crate) fn new(parts: Parts, epoch: u64) -> Arc<Self> {
        let (chunks, rest) = (parts.chunks.clone(), parts.rest.clone());
        Arc::new(Self {
            asker: Asker::new(chunks, rest, parts.status.clone()),
            parts,
            epoch,
            numbers: AtomicU64::new(0),
            under_way: Mutex::default(),
        })
    }

    /// Serves until told to stop.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let desk = Desk {
            broker: Arc::clone(&self.parts.broker),
            subject: subject::RPC_MEMBER,
            requests_max: REQUESTS_MAX,
        };
        desk.run(stop, |request| Arc::clone(&self).on_request(request))
            .await;
        // Look-ups that nobody waits for any more hold this desk, and with it the publisher's door.
        self.under_way.lock().clear();
    }

    async fn on_request(self: Arc<Self>, request: Answer) {
        let Ok(asked) = MemberRequest::decode(request.payload) else {
            tracing::debug!("a question about a member can't be read");
            return;
        };
        // Until SQL has told which guilds there are, no answer is better than a wrong one.
        let Some(user) = UserId::new(asked.user_id).filter(|_| self.parts.places.is_loaded())
        else {
            return;
        };
        let mut guilds: Vec<_> = asked
            .guild_ids
            .into_iter()
            .filter_map(GuildId::new)
            .collect();
        if guilds.is_empty() {
            guilds = self.parts.places.guilds();
        }
        let guilds = guilds.into_iter().take(GUILDS_MAX);
        let answers = stream::iter(guilds)
            .map(|guild| self.look_up((guild, user)))
            .buffered(GUILDS_MAX)
            .collect()
            .await;
        let reply = MemberReply {
            answers,
            recheck_after_ms: recheck_after_ms(&self.parts.roster),
        };
        answer(request.reply, &reply);
    }

    /// Looks a member up, once however many ask.
    fn look_up(self: &Arc<Self>, key: Key) -> LookUp {
        let mut under_way = self.under_way.lock();
        if let Some(look_up) = under_way.get(&key) {
            return look_up.clone();
        }
        let desk = Arc::clone(self);
        let look_up = async move {
            let (status, sequence) = desk.find(key).await;
            desk.under_way.lock().remove(&key);
            MemberAnswer {
                guild_id: key.0.get(),
                status: status.into(),
                sequence,
            }
        };
        let look_up = look_up.boxed().shared();
        under_way.insert(key, look_up.clone());
        look_up
    }

    async fn find(&self, key: Key) -> (MemberStatus, u64) {
        if let Some(is_member) = self.parts.roster.verdict(key) {
            return (status_of(is_member), self.acknowledged());
        }
        let question = self.parts.roster.ask(key);
        let known = self.known(key).await;
        let answer = self.asker.ask(key).await;
        let Ok(found) = answer.inspect_err(|error| {
            tracing::warn!(%error, "Discord can't be asked about a member");
        }) else {
            return (MemberStatus::Unavailable, 0);
        };
        let is_member = found.is_some();
        let event = match (found, known) {
            // What SQL has is what Discord says: nothing to tell.
            (found, Some(known)) if found == known => None,
            (Some(member), _) => Some(Event::MemberUpserted(member)),
            (None, _) => Some(Event::MemberRemoved(MemberRemoved {
                user_id: key.1.get(),
            })),
        };
        let sequence = match event {
            Some(event) => self.publish(key, event).await,
            None => Some(self.acknowledged()),
        };
        let is_overtaken = self.parts.roster.is_overtaken(key.0, key.1);
        match sequence.filter(|_| !is_overtaken) {
            Some(sequence) => {
                question.verify(is_member);
                (status_of(is_member), sequence)
            }
            None => heard(question).await,
        }
    }

    /// What SQL has, where it has all that was acknowledged; the outer none means that nobody knows.
    async fn known(&self, key: Key) -> Option<Option<Member>> {
        let acknowledged = self.acknowledged();
        let is_complete = *self.parts.archived.borrow() >= acknowledged;
        let read = timeout(SQL, self.parts.store.member(key.0, key.1)).await;
        match read.ok()? {
            Ok(member) if is_complete => Some(member),
            Ok(_) | Err(StoreError::Away(_)) => None,
            Err(error) => {
                tracing::warn!(%error, "a member can't be read from SQL");
                None
            }
        }
    }

    /// Publishes what Discord answered; none if the gateway's event overtook it, or nobody knows.
    async fn publish(&self, (guild, user): Key, event: Event) -> Option<u64> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let envelope = Envelope {
            identity: Identity::Member(self.epoch, guild, user, number),
            trace: trace::aside("member.lookup"),
            guild,
            channel: None,
            received_ms: now_ms(),
            event,
        };
        let (reply, stored) = oneshot::channel();
        let submission = Submission {
            envelope,
            claim: Claim::Member(user),
            reply,
        };
        self.parts.submissions.send(submission).await.ok()?;
        timeout(STORED, stored).await.ok()?.ok()
    }

    fn acknowledged(&self) -> u64 {
        *self.parts.acknowledged.borrow()
    }
}

/// What the gateway said while Discord was asked, once the stream has it.
async fn heard(mut question: Question) -> (MemberStatus, u64) {
    let is_settled = |heard: &Heard| matches!(heard, Heard::Settled(..));
    let settled = timeout(STORED, question.heard.wait_for(is_settled)).await;
    match settled.map(|heard| heard.map(|heard| *heard)) {
        Ok(Ok(Heard::Settled(is_member, Some(sequence)))) => (status_of(is_member), sequence),
        _ => (MemberStatus::Unavailable, 0),
    }
}

/// 0 where the gateway tells of every change (the members intent).
fn recheck_after_ms(roster: &Roster) -> u64 {
    let recheck = roster.recheck().unwrap_or_default();
    u64::try_from(recheck.as_millis()).unwrap_or(u64::MAX)
}

fn status_of(is_member: bool) -> MemberStatus {
    if is_member {
        return MemberStatus::Member;
    }
    MemberStatus::NotMember
}
