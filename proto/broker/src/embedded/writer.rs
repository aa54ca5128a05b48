//! The only task that writes to the log: it groups what waits into one transaction.
//!
//! Everything in a group is answered after its commit, and only then told to the live feeds, in order. If
//! the commit fails, nobody is answered: each caller learns that its outcome is unknown. Each group also
//! trims at most one bounded batch of what is too old or too much.

use std::time::Duration;

use bytes::Bytes;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::hub::Hub;
use super::log::{self, HeadRow};
use crate::broker::{Erasure, LiveItem, Publication, PublishError, Stored, StreamSettings};

/// Jobs that wait for the writer; beyond them the callers wait, each with its own payload.
pub(super) const JOBS_MAX: usize = 1024;

/// The most that one transaction holds: above it, the saving of a longer one is under 1 %.
const GROUP_MAX: usize = 256;

/// How often the log is trimmed when nothing is published.
const TRIM_EVERY: Duration = Duration::from_secs(1);

/// Rows that one trim removes at most: a few milliseconds, and more than one group adds.
const TRIM_ROWS_MAX: u32 = 512;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Store an event.
    Publish {
        publication: Publication,
        expected: u64,
        reply: oneshot::Sender<Result<u64, PublishError>>,
    },
    /// Replace a small value.
    SetValue {
        key: String,
        value: Bytes,
        reply: oneshot::Sender<()>,
    },
    /// Remove an event; the answer is whether it was there.
    Remove {
        sequence: u64,
        erasure: Erasure,
        reply: oneshot::Sender<bool>,
    },
    /// Change the lease.
    Lease {
        change: LeaseChange,
        reply: oneshot::Sender<Option<u64>>,
    },
}

/// A change of the lease; the answer is the new revision, if there is one.
#[derive(Debug)]
pub(super) enum LeaseChange {
    Acquire { owner: String },
    Renew { owner: String, revision: u64 },
    Release { revision: u64 },
}

/// A job that is done once its transaction is committed.
enum Settled {
    Published(
        oneshot::Sender<Result<u64, PublishError>>,
        Result<u64, PublishError>,
    ),
    Set(oneshot::Sender<()>),
    Removed(oneshot::Sender<bool>, bool),
    Leased(oneshot::Sender<Option<u64>>, Option<u64>),
}

impl Settled {
    /// A caller that has gone away does not need its answer.
    fn answer(self) {
        match self {
            Self::Published(reply, outcome) => drop(reply.send(outcome)),
            Self::Set(reply) => drop(reply.send(())),
            Self::Removed(reply, was_there) => drop(reply.send(was_there)),
            Self::Leased(reply, revision) => drop(reply.send(revision)),
        }
    }
}

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) settings: watch::Receiver<StreamSettings>,
    pub(super) clock: Clock,
    pub(super) hub: Hub,
}

impl Writer {
    /// Writes until it is told to stop or every caller is gone; then closes its connection.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut trim = tokio::time::interval(TRIM_EVERY);
        trim.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut group = Vec::with_capacity(GROUP_MAX);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                taken = self.jobs.recv_many(&mut group, GROUP_MAX) => {
                    if taken == 0 {
                        break;
                    }
                }
                _ = trim.tick() => {}
            }
            if let Err(error) = self.commit(group.drain(..)).await {
                tracing::warn!(%error, "the broker's log could not be written; the callers try again");
            }
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the broker's log did not close cleanly");
        }
    }

    async fn commit(&mut self, group: impl Iterator<Item = Job>) -> sqlx::Result<()> {
        let settings = *self.settings.borrow();
        let now_ms = self.clock.now_ms();
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut batch = Batch {
            connection: &mut transaction,
            now_ms,
            window_from_ms: now_ms.saturating_sub(millis(settings.duplicate_window)),
            settled: Vec::new(),
            stored: Vec::new(),
        };
        for job in group {
            batch.settle(job).await?;
        }
        batch.trim(&settings).await?;
        let Batch {
            settled, stored, ..
        } = batch;
        transaction.commit().await?;
        for event in stored {
            self.hub.push(&LiveItem::Event(event));
        }
        settled.into_iter().for_each(Settled::answer);
        Ok(())
    }
}

/// One transaction under way.
struct Batch<'a> {
    connection: &'a mut SqliteConnection,
    now_ms: u64,
    window_from_ms: u64,
    settled: Vec<Settled>,
    stored: Vec<Stored>,
}

impl Batch<'_> {
    async fn settle(&mut self, job: Job) -> sqlx::Result<()> {
        let settled = match job {
            Job::Publish {
                publication,
                expected,
                reply,
            } => Settled::Published(reply, self.publish(publication, expected).await?),
            Job::SetValue { key, value, reply } => {
                log::set_value(self.connection, &key, &value).await?;
                Settled::Set(reply)
            }
            Job::Remove {
                sequence,
                erasure,
                reply,
            } => Settled::Removed(reply, self.remove(sequence, erasure).await?),
            Job::Lease { change, reply } => Settled::Leased(reply, self.lease(change).await?),
        };
        self.settled.push(settled);
        Ok(())
    }

    async fn publish(
        &mut self,
        publication: Publication,
        expected: u64,
    ) -> sqlx::Result<Result<u64, PublishError>> {
        let known = log::look_up(self.connection, &publication, self.window_from_ms).await?;
        if let Some(same) = known.same {
            return Ok(Ok(same));
        }
        if known.last != expected {
            return Ok(Err(PublishError::Expectation));
        }
        let sequence = log::insert(self.connection, &publication, self.now_ms).await?;
        self.stored.push(Stored {
            sequence,
            subject: publication.subject,
            identity: publication.identity,
            trace: publication.trace,
            payload: publication.payload,
        });
        Ok(Ok(sequence))
    }

    async fn remove(&mut self, sequence: u64, erasure: Erasure) -> sqlx::Result<bool> {
        if erasure == Erasure::Overwrite {
            log::overwrite(self.connection, sequence).await?;
        }
        let freed = log::remove(self.connection, sequence).await?;
        if let Some(bytes) = freed {
            log::add_bytes(self.connection, bytes.cast_signed().saturating_neg()).await?;
        }
        Ok(freed.is_some())
    }

    async fn lease(&mut self, change: LeaseChange) -> sqlx::Result<Option<u64>> {
        match change {
            LeaseChange::Acquire { owner } => {
                log::lease_acquire(self.connection, &owner, self.now_ms).await
            }
            LeaseChange::Renew { owner, revision } => {
                log::lease_renew(self.connection, &owner, revision, self.now_ms).await
            }
            LeaseChange::Release { revision } => {
                log::lease_release(self.connection, revision).await?;
                Ok(None)
            }
        }
    }

    /// Removes what is too old or too much, at most one batch, and keeps the count of bytes.
    async fn trim(&mut self, settings: &StreamSettings) -> sqlx::Result<()> {
        let sizes = self.stored.iter();
        let added: u64 = sizes
            .map(|event| log::row_bytes(&event.identity, &event.payload))
            .sum();
        let bytes = log::bytes(self.connection).await? + added;
        let oldest_ms = self.now_ms.saturating_sub(millis(settings.age_max));
        let mut removed = 0;
        if let Some((sequence, freed)) = self.doomed(bytes, oldest_ms, settings.bytes_max).await? {
            log::remove_to(self.connection, sequence).await?;
            removed = freed;
        }
        if added != removed {
            log::add_bytes(self.connection, added.wrapping_sub(removed).cast_signed()).await?;
        }
        Ok(())
    }

    async fn doomed(
        &mut self,
        bytes: u64,
        oldest_ms: u64,
        bytes_max: u64,
    ) -> sqlx::Result<Option<(u64, u64)>> {
        let first = log::oldest(self.connection, 1).await?;
        if doomed(&first, bytes, oldest_ms, bytes_max).is_none() {
            return Ok(None);
        }
        let rows = log::oldest(self.connection, TRIM_ROWS_MAX).await?;
        Ok(doomed(&rows, bytes, oldest_ms, bytes_max))
    }
}

/// Up to which sequence the oldest rows go, and how many bytes with them.
fn doomed(rows: &[HeadRow], bytes: u64, oldest_ms: u64, bytes_max: u64) -> Option<(u64, u64)> {
    let mut freed = 0;
    let mut to = None;
    for row in rows {
        if row.stored_ms >= oldest_ms && bytes.saturating_sub(freed) <= bytes_max {
            break;
        }
        freed += row.bytes;
        to = Some(row.sequence);
    }
    to.map(|sequence| (sequence, freed))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<HeadRow> {
        let row = |sequence| HeadRow {
            sequence,
            bytes: 10,
            stored_ms: sequence * 1000,
        };
        (1..=5).map(row).collect()
    }

    #[test]
    fn nothing_goes_while_all_is_young_and_small_enough() {
        assert_eq!(doomed(&rows(), 50, 1000, 50), None);
        assert_eq!(doomed(&[], 0, 1000, 0), None);
    }

    #[test]
    fn what_is_too_old_goes() {
        assert_eq!(doomed(&rows(), 50, 3000, 50), Some((2, 20)));
    }

    #[test]
    fn what_is_too_much_goes_oldest_first() {
        assert_eq!(doomed(&rows(), 50, 0, 25), Some((3, 30)));
    }
}
