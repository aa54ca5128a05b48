//! All shards of the bot: as many as Discord recommends, each with a supervisor, all of one count.
//!
//! Saved sessions go on with the count that they have. Where one must begin anew and Discord recommends another
//! count, all do: what they left behind is settled first, so that no two sessions tell of one guild. Their
//! IDENTIFYs share one budget.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use runtime::{Check, Health};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::budget::Budget;
use super::commands::Commands;
use super::fatal::Fatal;
use super::session::Sessions;
use super::supervisor::{Leave, Supervisor};
use crate::backoff::Backoff;
use crate::buffer::Buffer;
use crate::outcome::Outcomes;
use crate::rest::{Rest, RestError};
use crate::roster::Roster;
use crate::settings::IngestSettings;
use crate::shard::ShardId;
use crate::status::Status;

/// The first wait and the longest before Discord is asked again for the count.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// The first wait and the longest before all begin anew once more: each time costs an IDENTIFY a shard.
const ANEW: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(15));
/// A set that held so long was good.
const GOOD: Duration = Duration::from_mins(10);

/// What the shards work with.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) rest: Rest,
    pub(crate) buffer: Buffer,
    pub(crate) outcomes: Outcomes,
    pub(crate) status: Status,
    pub(crate) roster: Roster,
    pub(crate) health: Health,
    pub(crate) commands: Commands,
    /// Those to resume, and then the present ones.
    pub(crate) sessions: watch::Sender<Sessions>,
}

/// Keeps all shards connected.
#[derive(Debug)]
pub(crate) struct Fleet {
    settings: IngestSettings,
    parts: Parts,
    budget: Budget,
    saved: Option<u32>,
}

impl Fleet {
    /// All shards, which resume the sessions of `parts`; those are of `saved` shards.
    pub(crate) fn new(settings: &IngestSettings, parts: Parts, saved: Option<u32>) -> Self {
        let budget = Budget::new(
            parts.rest.clone(),
            settings.gateway_url.clone(),
            parts.status.clone(),
            parts.health.clone(),
        );
        Self {
            settings: settings.clone(),
            parts,
            budget,
            saved,
        }
    }

    /// Keeps them connected until told to stop.
    ///
    /// # Errors
    /// Discord will not have us back.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), Fatal> {
        let telling = tell(self.parts.status.connected(), self.parts.health.clone());
        tokio::select! {
            ended = self.keep(&stop) => ended,
            never = telling => match never {},
        }
    }

    async fn keep(&self, stop: &CancellationToken) -> Result<(), Fatal> {
        self.parts.status.on_shards(self.saved.unwrap_or(1));
        let mut count = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            count = self.count() => count?,
        };
        let mut anew = Backoff::new(ANEW.0, ANEW.1);
        loop {
            let begun = Instant::now();
            match self.hold(count, stop).await {
                Leave::Stopped => return Ok(()),
                Leave::Fatal(fatal) => return Err(fatal),
                Leave::Anew(next) => {
                    tracing::warn!(from = count, to = next, "all shards begin anew");
                    count = next;
                }
            }
            if begun.elapsed() >= GOOD {
                anew.reset();
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.settle(anew.next()) => {}
            }
        }
    }

    /// The old sessions are given up: what they brought is settled before a new one tells of the same guilds.
    async fn settle(&self, wait: Duration) {
        tokio::join!(self.parts.buffer.emptied(), sleep(wait));
        self.parts.sessions.send_modify(Sessions::clear);
    }

    /// How many there are to be: as many as the saved sessions have, if all can be resumed, or else as many as
    /// Discord recommends.
    async fn count(&self) -> Result<u32, Fatal> {
        let resumable = self.parts.sessions.borrow().len();
        if let Some(saved) = self.saved.filter(|saved| *saved as usize == resumable) {
            return Ok(saved);
        }
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        let advice = loop {
            match self.budget.advice().await {
                Ok(advice) => break advice,
                Err(RestError::Unauthorized) => return Err(Fatal::of(4004)),
                Err(error) => {
                    let wait = retry.next();
                    tracing::warn!(%error, ?wait, "Discord's API does not say how to connect");
                    sleep(wait).await;
                }
            }
        };
        // Sessions that can be resumed are given up only where all can begin anew.
        let can_begin = |shards: &u32| {
            resumable == 0 || self.saved == Some(*shards) || self.budget.has(&advice, *shards)
        };
        let advised = advice.shards.filter(can_begin);
        let count = advised.or(self.saved).unwrap_or(1);
        if self.saved.is_some_and(|saved| saved != count) {
            tracing::warn!(from = self.saved, to = count, "all shards begin anew");
            self.parts.sessions.send_modify(Sessions::clear);
        }
        Ok(count)
    }

    /// Holds so many until the first of them leaves for good, and then until all have left.
    async fn hold(&self, count: u32, stop: &CancellationToken) -> Leave {
        self.parts.status.on_shards(count);
        self.parts.roster.on_shards(count);
        self.parts.commands.on_shards(count);
        let stop = stop.child_token();
        let supervisor = |shard| Supervisor::new(shard, &self.settings, &self.parts, &self.budget);
        let running = ShardId::all(count).map(|shard| supervisor(shard).run(stop.clone()));
        let mut running: FuturesUnordered<_> = running.collect();
        let mut first = Leave::Stopped;
        while let Some(leave) = running.next().await {
            first = first.or(leave);
            stop.cancel();
        }
        first
    }
}

/// Keeps the check of Discord true.
async fn tell(mut connected: watch::Receiver<bool>, health: Health) -> std::convert::Infallible {
    loop {
        let check = if *connected.borrow_and_update() {
            Check::Up
        } else {
            Check::Down
        };
        health.set("discord", check);
        if connected.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
