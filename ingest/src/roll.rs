//! The roll: which guilds a gateway session names, and the removal of those that it does not name any more.
//!
//! A guild that the bot left while no session stood has no `GUILD_DELETE`. Once SQL holds all that came
//! before READY, every guild in it that neither READY nor a later frame names is removed through the
//! publisher, which has the last word in its own order. The roll is recorded with the session until then, so
//! that a crash in between may repeat a removal and never forget one.

use std::collections::HashSet;
use std::time::Duration;

use proto::event::{Event, GuildRemoved};
use proto::identity::Dispatch;
use proto::{Envelope, GuildId, Identity};
use runtime::time::now_ms;
use store::Store;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::decode::{guild_of_frame, ready_guilds};
use crate::publish::{Claim, Submission};
use crate::trace;

/// The first wait before SQL is asked again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How long guilds may take to come where READY named none: Discord names all, compatible servers may not.
const UNNAMED: Duration = Duration::from_secs(10);

/// The guilds that a session names.
#[derive(Debug, Clone)]
pub(crate) struct Roll {
    /// The session's epoch.
    pub(crate) epoch: u64,
    /// What READY named, and what came since.
    pub(crate) guilds: HashSet<GuildId>,
    /// Whatever it does not name is removed.
    pub(crate) is_called: bool,
}

/// Keeps the roll, in the order of the frames. `is_outage`: the frame tells of an outage of its guild, of
/// which the bot is still a member.
pub(crate) fn keep(
    roll: &watch::Sender<Option<Roll>>,
    kind: &str,
    data: &str,
    epoch: u64,
    is_outage: bool,
) {
    if kind == "READY" {
        let guilds = ready_guilds(data).map(HashSet::from_iter);
        if guilds.is_none() {
            tracing::warn!("READY does not say which guilds there are; none is removed");
        }
        roll.send_replace(guilds.map(|guilds| Roll {
            epoch,
            guilds,
            is_called: false,
        }));
    }
    if (kind == "GUILD_CREATE" || is_outage)
        && let Some(guild) = guild_of_frame(data)
    {
        roll.send_if_modified(|roll| {
            let roll = roll.as_mut().filter(|roll| roll.epoch == epoch);
            roll.is_some_and(|roll| roll.guilds.insert(guild))
        });
    }
}

/// Removes the guilds that a new session does not name.
#[derive(Debug)]
pub(crate) struct RollCall {
    pub(crate) store: Store,
    /// Kept by the publisher, in the order of the frames.
    pub(crate) roll: watch::Sender<Option<Roll>>,
    pub(crate) reached: watch::Receiver<Option<Dispatch>>,
    pub(crate) acknowledged: watch::Receiver<u64>,
    pub(crate) archived: watch::Receiver<u64>,
    pub(crate) submissions: mpsc::Sender<Submission>,
}

impl RollCall {
    /// Calls the roll of each new session, until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&self) {
        let mut roll = self.roll.subscribe();
        let mut done = None;
        loop {
            let epoch_of = |roll: &Option<Roll>| roll.as_ref().map(|roll| roll.epoch);
            let next = roll.wait_for(|roll| epoch_of(roll) != done).await;
            let Ok(next) = next.map(|roll| epoch_of(&roll)) else {
                // The publisher is gone, and the term with it.
                return std::future::pending().await;
            };
            done = next;
            let Some(epoch) = next else {
                continue;
            };
            tokio::select! {
                () = self.call(epoch) => {}
                // Another session began: its roll counts.
                _ = roll.wait_for(|roll| epoch_of(roll) != Some(epoch)) => {}
            }
        }
    }

    async fn call(&self, epoch: u64) {
        if self.guilds().is_some_and(|guilds| guilds.is_empty()) {
            sleep(UNNAMED).await;
        }
        // READY is settled after all that came before it, and with it the guilds of the session before.
        let is_ready = |reached: &Option<Dispatch>| reached.is_some_and(|at| at.epoch == epoch);
        let mut reached = self.reached.clone();
        if reached.wait_for(is_ready).await.is_err() {
            return;
        }
        let before = *self.acknowledged.borrow();
        let mut archived = self.archived.clone();
        if archived.wait_for(|to| *to >= before).await.is_err() {
            return;
        }
        for guild in self.stored().await {
            if self.guilds().is_some_and(|named| !named.contains(&guild)) {
                self.remove(epoch, guild).await;
            }
        }
        self.roll.send_if_modified(|roll| {
            let roll = roll.as_mut().filter(|roll| roll.epoch == epoch);
            roll.is_some_and(|roll| !std::mem::replace(&mut roll.is_called, true))
        });
    }

    fn guilds(&self) -> Option<HashSet<GuildId>> {
        let roll = self.roll.borrow();
        roll.as_ref().map(|roll| roll.guilds.clone())
    }

    async fn stored(&self) -> Vec<GuildId> {
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        loop {
            match self.store.directory().await {
                Ok(directory) => {
                    let guilds = directory.guilds.into_iter();
                    return guilds
                        .filter_map(|guild| GuildId::new(guild.guild.id))
                        .collect();
                }
                Err(error) => tracing::warn!(%error, "the guilds in SQL can't be read"),
            }
            sleep(retry.next()).await;
        }
    }

    async fn remove(&self, epoch: u64, guild: GuildId) {
        let envelope = Envelope {
            identity: Identity::Left(epoch, guild),
            trace: trace::aside("roll_call"),
            guild,
            channel: None,
            received_ms: now_ms(),
            event: Event::GuildRemoved(GuildRemoved {}),
        };
        let (reply, stored) = oneshot::channel();
        let submission = Submission {
            envelope,
            claim: Claim::Left(epoch),
            reply,
        };
        if self.submissions.send(submission).await.is_err() {
            return;
        }
        if let Ok(sequence) = stored.await {
            tracing::info!(sequence, "a guild that the bot has left is removed");
        } else {
            tracing::debug!("a guild came back before it was removed");
        }
    }
}
