//! Reactions on their way from a frame to a total: counted, or looked up beside the frames.
//!
//! No lane waits for a look-up: a total takes its place when its base is there. The dispatch is settled then,
//! so that a RESUME repeats what a crash cut short.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use proto::event::{Event, ReactionMark, ReactionsChanged};
use proto::identity::Dispatch;
use proto::{Envelope, GuildId, Identity};
use tokio::time::Instant;

use crate::decode::Origin;
use crate::outcome::{Outcome, Skip};
use crate::reactions::{Bases, Found, Key, Ledger, LookUp, Reacted, Step, Waiting};

/// What a waiting change becomes an envelope with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    /// Its dispatch in the progress.
    number: u64,
    guild: GuildId,
    received_ms: i64,
}

/// What became of a dispatch about reactions.
#[derive(Debug)]
pub(super) enum Reckoned {
    /// Publish it, for the dispatch of this number.
    Total(u64, Key, Box<Envelope>),
    /// It ends so.
    Settled(u64, Outcome),
}

/// The ledger and its look-ups.
#[derive(Debug)]
pub(super) struct Reacting {
    pub(super) ledger: Ledger<Ticket>,
    bases: Bases,
    looking: FuturesUnordered<BoxFuture<'static, (Key, Found)>>,
    /// The session of each shard that began before our eyes, and when.
    began: BTreeMap<u32, (u64, i64)>,
}

impl Reacting {
    pub(super) fn new(bases: Bases) -> Self {
        Self {
            ledger: Ledger::default(),
            bases,
            looking: FuturesUnordered::new(),
            began: BTreeMap::new(),
        }
    }

    /// Whether nothing is looked up.
    pub(super) fn is_idle(&self) -> bool {
        self.looking.is_empty()
    }

    /// A session begins with this dispatch, and these messages are of its shard.
    pub(super) fn on_identified(
        &mut self,
        dispatch: Dispatch,
        received_ms: i64,
        is_of_shard: impl Fn(Key) -> bool,
    ) {
        let began = (dispatch.epoch, received_ms);
        self.began.insert(dispatch.shard, began);
        self.ledger.on_identified(is_of_shard);
    }

    /// Somebody reacted: the dispatch has this number, and the stream has acknowledged so much.
    pub(super) fn on_reacted(
        &mut self,
        reacted: Reacted,
        origin: Origin,
        number: u64,
        acknowledged: u64,
    ) -> Vec<Reckoned> {
        let waiting = Waiting {
            dispatch: origin.dispatch,
            change: reacted.change,
            ticket: Ticket {
                number,
                guild: reacted.guild,
                received_ms: origin.received_ms,
            },
        };
        let steps = self.ledger.on_change(reacted.key, waiting, Instant::now());
        self.take(steps, acknowledged)
    }

    /// The end of the next look-up. Never ends while there is none.
    pub(super) async fn found(&mut self) -> (Key, Found) {
        match self.looking.next().await {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }

    /// A look-up has ended.
    pub(super) fn on_found(&mut self, key: Key, found: Found, acknowledged: u64) -> Vec<Reckoned> {
        let ledger = &mut self.ledger;
        let steps = match found {
            Found::Counted(totals, mark) => ledger.on_counted(key, totals, mark),
            Found::Unsure(stored, is_complete) => {
                let last = stored.as_ref().filter(|_| is_complete);
                ledger.on_asking(key, last.map(|(totals, _)| totals.clone()));
                let read = self.bases.clone().read(key, stored);
                self.looking
                    .push(Box::pin(async move { (key, read.await) }));
                Vec::new()
            }
            Found::Due => {
                ledger.on_asking(key, None);
                let read = self.bases.clone().read(key, None);
                self.looking
                    .push(Box::pin(async move { (key, read.await) }));
                Vec::new()
            }
            Found::Read(totals) => ledger.on_read(key, totals, Instant::now()),
            Found::Gone => ledger.on_lost(key, Skip::Gone),
            Found::Excluded => ledger.on_lost(key, Skip::Excluded),
            Found::Unknown => {
                tracing::warn!(
                    "the reactions of a message can't be found; a change of them is lost"
                );
                ledger.on_lost(key, Skip::Unreadable)
            }
        };
        self.take(steps, acknowledged)
    }

    fn take(&mut self, steps: Vec<Step<Ticket>>, acknowledged: u64) -> Vec<Reckoned> {
        let mut reckoned = Vec::new();
        for step in steps {
            match step {
                Step::Total(key, totals, dispatch, ticket) => {
                    let number = ticket.number;
                    let mark = ReactionMark {
                        epoch: dispatch.epoch,
                        shard: dispatch.shard,
                        sequence: dispatch.sequence,
                    };
                    let event = Event::ReactionsChanged(ReactionsChanged {
                        message_id: key.1.get(),
                        reactions: totals,
                        mark: Some(mark),
                    });
                    let envelope = envelope(key, dispatch, ticket, event);
                    reckoned.push(Reckoned::Total(number, key, Box::new(envelope)));
                }
                Step::Settled(ticket, outcome) => {
                    reckoned.push(Reckoned::Settled(ticket.number, outcome));
                }
                Step::LookUp(key, look_up) => self.look_up(key, look_up, acknowledged),
            }
        }
        reckoned
    }

    fn look_up(&mut self, key: Key, look_up: LookUp, acknowledged: u64) {
        let bases = self.bases.clone();
        let looking: BoxFuture<'static, (Key, Found)> = match look_up {
            LookUp::Stored(dispatch) => {
                let began = self.began.get(&dispatch.shard);
                let began = began.filter(|(epoch, _)| *epoch == dispatch.epoch);
                let began_ms = began.map(|(_, began_ms)| *began_ms);
                let stored = bases.stored(key, dispatch, acknowledged, began_ms);
                Box::pin(async move { (key, stored.await) })
            }
            LookUp::Discord(at) => Box::pin(async move {
                tokio::time::sleep_until(at).await;
                (key, Found::Due)
            }),
        };
        self.looking.push(looking);
    }
}

fn envelope(key: Key, dispatch: Dispatch, ticket: Ticket, event: Event) -> Envelope {
    Envelope {
        identity: Identity::Dispatch(dispatch, 0),
        trace: None,
        guild: ticket.guild,
        channel: Some(key.0),
        received_ms: ticket.received_ms,
        event,
    }
}
