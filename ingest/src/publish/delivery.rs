//! One publication until its end: acknowledged, or refused for good (decisions.md, one in flight a subject).
//!
//! An unknown outcome is tried again under the same identity, a refused expectation is answered by reading
//! the subject's last event, and nothing is sent while the lease is not surely ours. Never gives up by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker::{Broker, Publication, PublishError};
use runtime::Health;

use crate::backoff::Backoff;
use crate::leader::{Tenure, bounded};

/// The first wait before another try, and the longest: an election of the stream's leader takes about as long, and
/// viewers wait for what waits here.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// So many refusals in a row, with the lease in hand, mean that somebody else writes.
const REFUSALS_MAX: u32 = 3;

/// How long the subject's last event is waited for.
const LOOK_UP: Duration = Duration::from_secs(5);

/// How a publication ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The stream holds it, at this sequence.
    Stored(u64),
    /// The stream held it before.
    Duplicate(u64),
    /// The broker will never take it.
    Refused(String),
}

/// What delivers publications. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Courier {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) tenure: Tenure,
    pub(super) trouble: Arc<Trouble>,
}

/// How much stands in the way of publishing: publications that the stream refuses again and again, and a stall.
#[derive(Debug)]
pub(super) struct Trouble {
    count: AtomicUsize,
    health: Health,
}

impl Trouble {
    pub(super) fn new(health: Health) -> Self {
        Self {
            count: AtomicUsize::new(0),
            health,
        }
    }

    pub(super) fn on_begin(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) == 0 {
            self.health.hold(
                "stream",
                "what the leader publishes does not get into the stream",
            );
        }
    }

    pub(super) fn on_end(&self) {
        if self.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.health.release("stream");
        }
    }
}

/// Counts itself as trouble from the third refusal until its end, whatever ends it.
struct Refusals<'a> {
    count: u32,
    trouble: &'a Trouble,
}

impl Refusals<'_> {
    fn on_refused(&mut self, subject: proto::Subject) {
        self.count += 1;
        if self.count == REFUSALS_MAX {
            tracing::error!(%subject, "the stream refuses a publication although the lease is ours");
            self.trouble.on_begin();
        }
    }
}

impl Drop for Refusals<'_> {
    fn drop(&mut self) {
        if self.count >= REFUSALS_MAX {
            self.trouble.on_end();
        }
    }
}

impl Courier {
    /// Publishes until the end is known, and counts the tries. Returns it and the subject's last sequence.
    pub(super) async fn deliver(
        &self,
        publication: &Publication,
        mut known: Option<u64>,
        tries: &mut u32,
    ) -> (End, Option<u64>) {
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        let mut refusals = Refusals {
            count: 0,
            trouble: &self.trouble,
        };
        let mut tenure = self.tenure.clone();
        let mut was_sent = false;
        loop {
            tenure.valid().await;
            let expected = match known {
                Some(sequence) => sequence,
                None => match self.look_up(publication).await {
                    Ok(Found::Last(sequence)) => sequence,
                    // Sent by an earlier try of this delivery, or by whoever was here before.
                    Ok(Found::Itself(sequence)) if was_sent => {
                        return (End::Stored(sequence), Some(sequence));
                    }
                    Ok(Found::Itself(sequence)) => {
                        return (End::Duplicate(sequence), Some(sequence));
                    }
                    Err(Away) => {
                        self.pause(retry.next()).await;
                        continue;
                    }
                },
            };
            // The lease may have run out while the subject was looked up.
            if !tenure.is_valid() {
                continue;
            }
            was_sent = true;
            *tries += 1;
            match self.broker.publish(publication, expected).await {
                // A double is acknowledged with its old sequence, which lies at or below the subject's last.
                Ok(sequence) if sequence <= expected => {
                    return (End::Duplicate(sequence), Some(expected));
                }
                Ok(sequence) => return (End::Stored(sequence), Some(sequence)),
                Err(PublishError::Refused(why)) => return (End::Refused(why), known),
                Err(PublishError::Expectation) => {
                    known = None;
                    refusals.on_refused(publication.subject);
                    if refusals.count >= REFUSALS_MAX {
                        tokio::time::sleep(retry.next()).await;
                    }
                }
                Err(PublishError::Unknown(why)) => {
                    tracing::debug!(subject = %publication.subject, %why, "published again");
                    self.pause(retry.next()).await;
                }
            }
        }
    }

    /// Waits before another try, no longer than until a broker that is away is back.
    async fn pause(&self, wait: Duration) {
        let mut connected = self.broker.is_connected();
        let is_away = !*connected.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            back = connected.wait_for(|is_connected| *is_connected), if is_away => {
                // Closed: the next try finds out.
                drop(back);
            }
        }
    }

    /// Asks for the subject's last event: it may be this very one.
    async fn look_up(&self, publication: &Publication) -> Result<Found, Away> {
        let last = self.broker.last_of(publication.subject);
        let last = bounded(LOOK_UP, last).await.map_err(|error| {
            tracing::debug!(subject = %publication.subject, %error, "the last event can't be read");
            Away
        })?;
        Ok(match last {
            Some(stored) if stored.identity == publication.identity => {
                Found::Itself(stored.sequence)
            }
            Some(stored) => Found::Last(stored.sequence),
            None => Found::Last(0),
        })
    }
}

enum Found {
    Last(u64),
    Itself(u64),
}

struct Away;
