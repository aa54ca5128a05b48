//! What the parts of a term share, and each of them made from it.

use std::sync::Arc;

use broker::StreamState;
use proto::identity::Dispatch;
use tokio::sync::{mpsc, watch};

use super::{Parts, SHARD};
use crate::archive::Archive;
use crate::backfill::{self, Backfill, Gaps};
use crate::frame::Buffer;
use crate::gateway::{self, Commands, Recorder, Session, Supervisor};
use crate::history::{self, History};
use crate::leader::Tenure;
use crate::links::Links;
use crate::members::{self, Chunks, Members};
use crate::places::Places;
use crate::publish::repair::{Repair, Snapshot};
use crate::publish::{Desk, Publisher, Submission, head};
use crate::reactions::Bases;
use crate::retention::Retention;
use crate::roll::{Roll, RollCall};
use crate::roster::Roster;
use crate::sweeper::Sweeper;
use crate::typing::Typist;

/// What the tasks share.
pub(super) struct Wiring<'a> {
    pub(super) parts: &'a Parts,
    pub(super) tenure: &'a Tenure,
    pub(super) stream: StreamState,
    pub(super) places: Places,
    pub(super) roster: Roster,
    pub(super) commands: Commands,
    pub(super) chunks: Chunks,
    pub(super) roll: watch::Sender<Option<Roll>>,
    pub(super) gaps: Gaps,
    /// The epoch of the session that the term began with.
    pub(super) loaded: Option<u64>,
    pub(super) sessions: watch::Sender<Option<Session>>,
    pub(super) reached: watch::Receiver<Option<Dispatch>>,
    pub(super) acknowledged: watch::Receiver<u64>,
    pub(super) archived: watch::Receiver<u64>,
}

impl Wiring<'_> {
    pub(super) fn supervisor(&self, buffer: Buffer) -> Supervisor {
        let parts = gateway::Parts {
            rest: self.parts.rest.clone(),
            buffer,
            outcomes: self.parts.status.outcomes.clone(),
            status: self.parts.status.clone(),
            roster: self.roster.clone(),
            health: self.parts.health.clone(),
            commands: self.commands.clone(),
            sessions: self.sessions.clone(),
        };
        Supervisor::new(&self.parts.settings, parts)
    }

    pub(super) fn publisher(
        &self,
        reached: watch::Sender<Option<Dispatch>>,
        acknowledged: watch::Sender<u64>,
        typist: Typist,
        snapshots: mpsc::UnboundedSender<Snapshot>,
    ) -> Publisher {
        Publisher::new(Desk {
            broker: Arc::clone(&self.parts.broker),
            tenure: self.tenure.clone(),
            health: self.parts.health.clone(),
            outcomes: self.parts.status.outcomes.clone(),
            meters: self.parts.status.meters.clone(),
            places: self.places.clone(),
            roster: self.roster.clone(),
            exclusions: self.parts.exclusions.clone(),
            bases: Bases {
                store: self.parts.store.clone(),
                rest: self.parts.rest.clone(),
                exclusions: self.parts.exclusions.clone(),
                archived: self.archived.clone(),
            },
            typist,
            chunks: self.chunks.clone(),
            gaps: self.gaps.clone(),
            book: self.parts.status.gaps.clone(),
            snapshots,
            roll: self.roll.clone(),
            reached,
            acknowledged,
        })
    }

    pub(super) fn heads(&self) -> impl Future<Output = ()> + Send + use<> {
        head::run(
            Arc::clone(&self.parts.broker),
            self.stream.generation,
            self.acknowledged.clone(),
            self.tenure.clone(),
        )
    }

    pub(super) fn recorder(&self) -> Recorder {
        Recorder {
            broker: Arc::clone(&self.parts.broker),
            tenure: self.tenure.clone(),
            shard: SHARD,
            generation: self.stream.generation,
            status: self.parts.status.clone(),
            exclusions: self.parts.exclusions.clone(),
            gaps: self.gaps.clone(),
            loaded: self.loaded,
            sessions: self.sessions.clone(),
            roll: self.roll.subscribe(),
            reached: self.reached.clone(),
            acknowledged: self.acknowledged.clone(),
        }
    }

    pub(super) fn archive(&self, archived: watch::Sender<u64>) -> Archive {
        Archive {
            broker: Arc::clone(&self.parts.broker),
            store: self.parts.store.clone(),
            tenure: self.tenure.clone(),
            health: self.parts.health.clone(),
            status: self.parts.status.clone(),
            places: self.places.clone(),
            acknowledged: self.acknowledged.clone(),
            archived,
        }
    }

    pub(super) fn retention(&self) -> Retention {
        Retention {
            store: self.parts.store.clone(),
            tenure: self.tenure.clone(),
            status: self.parts.status.clone(),
            days: self.parts.settings.retention_days,
        }
    }

    pub(super) fn sweeper(&self) -> Sweeper {
        Sweeper {
            store: self.parts.store.clone(),
            tenure: self.tenure.clone(),
            status: self.parts.status.clone(),
        }
    }

    pub(super) fn roll_call(&self, submissions: mpsc::Sender<Submission>) -> RollCall {
        RollCall {
            store: self.parts.store.clone(),
            roll: self.roll.clone(),
            reached: self.reached.clone(),
            acknowledged: self.acknowledged.clone(),
            archived: self.archived.clone(),
            submissions,
        }
    }

    pub(super) fn links(&self) -> Arc<Links> {
        Arc::new(Links {
            broker: Arc::clone(&self.parts.broker),
            rest: self.parts.rest.clone(),
            has_endpoint: self.parts.settings.has_links_endpoint,
            known: self.parts.links.clone(),
        })
    }

    pub(super) fn history(&self) -> Arc<History> {
        History::new(history::Parts {
            broker: Arc::clone(&self.parts.broker),
            store: self.parts.store.clone(),
            rest: self.parts.rest.clone(),
            places: self.places.clone(),
            exclusions: self.parts.exclusions.clone(),
            gaps: self.gaps.clone(),
            tenure: self.tenure.clone(),
            outcomes: self.parts.status.outcomes.clone(),
            messages_max: self.parts.settings.history_messages_max,
            retention_days: self.parts.settings.retention_days,
        })
    }

    pub(super) fn backfill(&self, repairs: mpsc::Sender<Repair>) -> Backfill {
        Backfill::new(backfill::Parts {
            broker: Arc::clone(&self.parts.broker),
            store: self.parts.store.clone(),
            rest: self.parts.rest.clone(),
            exclusions: self.parts.exclusions.clone(),
            outcomes: self.parts.status.outcomes.clone(),
            gaps: self.gaps.clone(),
            book: self.parts.status.gaps.clone(),
            repairs,
            acknowledged: self.acknowledged.clone(),
            archived: self.archived.clone(),
            retention_days: self.parts.settings.retention_days,
        })
    }

    pub(super) fn members(&self, submissions: mpsc::Sender<Submission>) -> Arc<Members> {
        let parts = members::Parts {
            broker: Arc::clone(&self.parts.broker),
            store: self.parts.store.clone(),
            rest: self.parts.rest.clone(),
            chunks: self.chunks.clone(),
            status: self.parts.status.clone(),
            roster: self.roster.clone(),
            places: self.places.clone(),
            submissions,
            acknowledged: self.acknowledged.clone(),
            archived: self.archived.clone(),
        };
        Members::new(parts, rand::random())
    }
}
