//! What the parts of a term share, and each of them made from it.

use std::collections::HashSet;
use std::sync::Arc;

use broker::StreamState;
use tokio::sync::{mpsc, watch};

use super::Parts;
use crate::archive::Archive;
use crate::backfill::{self, Backfill, Gaps};
use crate::buffer::Buffer;
use crate::gateway::{self, Commands, Fleet, Recorder, Sessions};
use crate::history::{self, History};
use crate::leader::Tenure;
use crate::links::Links;
use crate::members::{self, Chunks, Members};
use crate::places::Places;
use crate::publish::repair::{Repair, Snapshot};
use crate::publish::{Desk, Publisher, Reached, Submission, head};
use crate::reactions::Bases;
use crate::retention::Retention;
use crate::roll::{RollCall, Rolls};
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
    pub(super) rolls: watch::Sender<Rolls>,
    pub(super) gaps: Gaps,
    /// The epochs of the sessions that the term began with.
    pub(super) loaded: HashSet<u64>,
    pub(super) sessions: watch::Sender<Sessions>,
    pub(super) reached: watch::Receiver<Reached>,
    pub(super) acknowledged: watch::Receiver<u64>,
    pub(super) archived: watch::Receiver<u64>,
}

impl Wiring<'_> {
    /// `saved`: of how many shards the sessions are that the term began with.
    pub(super) fn fleet(&self, buffer: Buffer, saved: Option<u32>) -> Fleet {
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
        Fleet::new(&self.parts.settings, parts, saved)
    }

    pub(super) fn publisher(
        &self,
        reached: watch::Sender<Reached>,
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
            rolls: self.rolls.clone(),
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
            generation: self.stream.generation,
            status: self.parts.status.clone(),
            exclusions: self.parts.exclusions.clone(),
            gaps: self.gaps.clone(),
            loaded: self.loaded.clone(),
            sessions: self.sessions.clone(),
            rolls: self.rolls.subscribe(),
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
            rolls: self.rolls.clone(),
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
