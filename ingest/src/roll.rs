//! The roll: which guilds a gateway session names, and the removal of those that it does not name any more.
//!
//! A guild that the bot left while no session stood has no `GUILD_DELETE`. Once SQL holds all that came
//! before READY, every guild of the session's shard that neither READY nor a later frame names is removed through the
//! publisher, which has the last word in its own order. The roll is recorded with the session until then, so
//! that a crash in between may repeat a removal and never forget one.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
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
use crate::publish::{Claim, Reached, Submission};
use crate::shard::ShardId;
use crate::trace;

/// The first wait before SQL is asked again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How long guilds may take to come where READY named none: Discord names all, compatible servers may not.
const UNNAMED: Duration = Duration::from_secs(10);

/// The guilds that a session names.
#[derive(Debug, Clone)]
pub(crate) struct Roll {
    /// The session's shard: guilds of others it never names.
    pub(crate) shard: ShardId,
    /// The session's epoch.
    pub(crate) epoch: u64,
    /// What READY named, and what came since.
    pub(crate) guilds: HashSet<GuildId>,
    /// Whatever it does not name is removed.
    pub(crate) is_called: bool,
}

impl Roll {
    /// The session should name this guild, and does not.
    fn lacks(&self, guild: GuildId) -> bool {
        self.shard.has(guild) && !self.guilds.contains(&guild)
    }
}

/// The rolls of the present sessions, by the numbers of their shards.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rolls(pub(crate) BTreeMap<u32, Roll>);

impl Rolls {
    /// The roll of this session, while it is the shard's present one.
    pub(crate) fn of(&self, epoch: u64) -> Option<&Roll> {
        self.0.values().find(|roll| roll.epoch == epoch)
    }

    fn of_mut(&mut self, epoch: u64) -> Option<&mut Roll> {
        self.0.values_mut().find(|roll| roll.epoch == epoch)
    }

    /// Whether this session is still its shard's present one and does not name a guild that it should.
    pub(crate) fn is_left(&self, epoch: u64, guild: GuildId) -> bool {
        self.of(epoch).is_some_and(|roll| roll.lacks(guild))
    }
}

/// Keeps the rolls, in the order of the frames. `is_outage`: the frame tells of an outage of its guild, of
/// which the bot is still a member.
pub(crate) fn keep(
    rolls: &watch::Sender<Rolls>,
    shard: ShardId,
    (kind, data): (&str, &str),
    dispatch: Dispatch,
    is_outage: bool,
) {
    let epoch = dispatch.epoch;
    if kind == "READY" {
        let guilds = ready_guilds(data).map(HashSet::from_iter);
        if guilds.is_none() {
            tracing::warn!("READY does not say which guilds there are; none is removed");
        }
        rolls.send_modify(|rolls| {
            // Those of another count were told of other guilds.
            rolls.0.retain(|_, roll| roll.shard.count == shard.count);
            rolls.0.remove(&shard.number);
            if let Some(guilds) = guilds {
                let roll = Roll {
                    shard,
                    epoch,
                    guilds,
                    is_called: false,
                };
                rolls.0.insert(shard.number, roll);
            }
        });
    }
    if (kind == "GUILD_CREATE" || is_outage)
        && let Some(guild) = guild_of_frame(data)
    {
        rolls.send_if_modified(|rolls| {
            let roll = rolls.of_mut(epoch);
            roll.is_some_and(|roll| roll.guilds.insert(guild))
        });
    }
}

/// Removes the guilds that a new session does not name.
#[derive(Debug)]
pub(crate) struct RollCall {
    pub(crate) store: Store,
    /// Kept by the publisher, in the order of the frames.
    pub(crate) rolls: watch::Sender<Rolls>,
    pub(crate) reached: watch::Receiver<Reached>,
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
        let mut rolls = self.rolls.subscribe();
        let mut calls = FuturesUnordered::new();
        let mut begun = HashSet::new();
        loop {
            let present: Vec<_> = {
                let rolls = rolls.borrow_and_update();
                rolls.0.values().map(|roll| roll.epoch).collect()
            };
            begun.retain(|epoch| present.contains(epoch));
            for epoch in present {
                if begun.insert(epoch) {
                    calls.push(self.call_while_present(epoch));
                }
            }
            tokio::select! {
                changed = rolls.changed() => if changed.is_err() {
                    // The publisher is gone, and the term with it.
                    return std::future::pending().await;
                },
                Some(()) = calls.next() => {}
            }
        }
    }

    async fn call_while_present(&self, epoch: u64) {
        let mut rolls = self.rolls.subscribe();
        tokio::select! {
            () = self.call(epoch) => {}
            // Another session of this shard began: its roll counts.
            _ = rolls.wait_for(|rolls| rolls.of(epoch).is_none()) => {}
        }
    }

    async fn call(&self, epoch: u64) {
        let is_unnamed = |roll: &Roll| roll.guilds.is_empty();
        if self.rolls.borrow().of(epoch).is_some_and(is_unnamed) {
            sleep(UNNAMED).await;
        }
        // READY is settled after all that came before it, and with it the guilds of the session before.
        let is_ready = |reached: &Reached| reached.values().any(|at| at.epoch == epoch);
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
            if self.rolls.borrow().is_left(epoch, guild) {
                self.remove(epoch, guild).await;
            }
        }
        self.rolls.send_if_modified(|rolls| {
            let roll = rolls.of_mut(epoch);
            roll.is_some_and(|roll| !std::mem::replace(&mut roll.is_called, true))
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn guild(shard: u64) -> GuildId {
        GuildId::new(((1_000 + shard) << 22) | 1).unwrap()
    }

    #[test]
    fn a_session_never_lacks_a_guild_of_another_shard() {
        let rolls = watch::Sender::new(Rolls::default());
        let [even, odd] = [0, 1].map(|number| ShardId { number, count: 2 });
        let ready = |epoch, shard: ShardId| {
            let dispatch = Dispatch {
                epoch,
                shard: shard.number,
                sequence: 1,
            };
            let ready = ("READY", r#"{"guilds":[]}"#);
            keep(&rolls, shard, ready, dispatch, false);
            dispatch
        };
        let (first, second) = (ready(7, even), ready(8, odd));
        let is_left = |epoch, of| rolls.borrow().is_left(epoch, guild(of));
        assert!(is_left(7, 0) && is_left(8, 1));
        assert!(!is_left(7, 1) && !is_left(8, 0));
        let create = format!(r#"{{"id":"{}"}}"#, guild(1));
        keep(&rolls, odd, ("GUILD_CREATE", &create), second, false);
        assert!(!is_left(8, 1), "it came");
        ready(9, even);
        assert!(!is_left(7, 0), "its session is over");
        let gone = format!(r#"{{"id":"{}"}}"#, guild(0));
        keep(&rolls, even, ("GUILD_CREATE", &gone), first, false);
        assert!(is_left(9, 0), "that was of the session before");
        ready(10, ShardId::ONE);
        assert!(!is_left(9, 0) && !is_left(8, 1), "there is one shard now");
    }
}
