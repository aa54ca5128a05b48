//! The connections' places: held by a guard, renewed together, given back when the guard is dropped.
//!
//! A guard is dropped wherever a connection ends, also in the middle of its handshake; nobody waits there. What is
//! dropped is queued, and [`Limits::run`] gives it back. A place that could not be given back ends by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use registry::{SLOT_TTL, Slot};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Limits;

/// A place that is not renewed for a whole term is free: two renewals may be lost.
const RENEWAL: Duration = SLOT_TTL.checked_div(3).expect("3 is not 0");

/// Places that are given back at a time, each by one call.
const RELEASES_MAX: usize = 8;

/// Dropped places that may wait: more than connections that an instance has. Those beyond end by themselves.
const DROPPED_MAX: usize = 200_000;

/// How long the end of the service may be held up by what is still to be given back.
const FAREWELL: Duration = Duration::from_secs(2);

/// All places of an instance.
#[derive(Debug)]
pub(super) struct Slots {
    /// Told from other instances' by random bits.
    instance: u64,
    next: AtomicU64,
    /// In order, so that those of one key are side by side.
    held: Mutex<BTreeSet<Slot>>,
    dropped: Mutex<Vec<Slot>>,
    news: Notify,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            instance: rand::random(),
            next: AtomicU64::new(0),
            held: Mutex::default(),
            dropped: Mutex::default(),
            news: Notify::new(),
        }
    }
}

/// A place, as long as this lives.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Held {
    place: Option<(Arc<Slots>, Slot)>,
}

impl Held {
    /// No place: the limit is off.
    pub fn nothing() -> Self {
        Self { place: None }
    }

    /// A place that is about to be asked for.
    pub(super) fn begin(slots: &Arc<Slots>, key: String) -> Self {
        let number = slots.next.fetch_add(1, Relaxed);
        let name = format!("{:016x}-{number}", slots.instance);
        Self {
            place: Some((slots.clone(), (key, name))),
        }
    }

    pub(super) fn slot(&self) -> Option<(&str, &str)> {
        let (_, (key, name)) = self.place.as_ref()?;
        Some((key, name))
    }

    /// It was granted: from now on it is renewed.
    pub(super) fn keep(&self) {
        if let Some((slots, slot)) = &self.place {
            slots.held.lock().insert(slot.clone());
        }
    }

    /// It was refused: there is nothing to give back.
    pub(super) fn forget(mut self) {
        self.place = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some((slots, slot)) = self.place.take() else {
            return;
        };
        slots.held.lock().remove(&slot);
        let mut dropped = slots.dropped.lock();
        if dropped.len() < DROPPED_MAX {
            dropped.push(slot);
            slots.news.notify_one();
        }
    }
}

impl Limits {
    /// Renews what is held and gives back what was dropped, until it is stopped; then gives back everything, so
    /// that who was connected here finds a place elsewhere at once.
    pub async fn run(self, stop: CancellationToken) {
        let mut renewals = tokio::time::interval(RENEWAL);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.slots.news.notified() => self.give_back().await,
                _ = renewals.tick() => {
                    let held: Vec<Slot> = self.slots.held.lock().iter().cloned().collect();
                    if !held.is_empty() {
                        self.registry.renew(&held).await;
                    }
                }
            }
        }
        let held = std::mem::take(&mut *self.slots.held.lock());
        self.slots.dropped.lock().extend(held);
        if tokio::time::timeout(FAREWELL, self.give_back())
            .await
            .is_err()
        {
            tracing::debug!("some places of connections end by themselves");
        }
    }

    pub(crate) async fn give_back(&self) {
        let dropped = std::mem::take(&mut *self.slots.dropped.lock());
        stream::iter(dropped)
            .for_each_concurrent(RELEASES_MAX, async |(key, name)| {
                self.registry.release(&key, &name).await;
            })
            .await;
    }
}
