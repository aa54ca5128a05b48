//! The `deliver` span of an event on this instance: one, however many workers and sockets it reaches.
//!
//! The feed begins it when it has decoded the event, the last worker that has handled the event ends it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use broker::Stored;
use parking_lot::Mutex;
use runtime::time::now_ms;
use runtime::traces::{Kind, Span};

/// Nothing where the event's trace is not recorded.
#[derive(Debug, Default)]
pub(crate) struct Step(Option<Box<Shared>>);

#[derive(Debug)]
struct Shared {
    span: Mutex<Span>,
    /// Workers that have not handled the event yet.
    left: AtomicUsize,
    members: AtomicU64,
}

impl Step {
    /// So many workers are to handle a stored event.
    pub(crate) fn begin(stored: &Stored, workers: u32) -> Self {
        let mut span = Span::child("deliver", Kind::Consumer, stored.trace);
        if !span.is_recording() {
            return Self::default();
        }
        span.set_text("messaging.system", "nats");
        span.set_text("messaging.destination.name", stored.subject);
        span.set_number("discord_stream.sequence", stored.sequence);
        span.set_number("discord_stream.workers", u64::from(workers));
        Self(Some(Box::new(Shared {
            span: Mutex::new(span),
            left: AtomicUsize::new(workers as usize),
            members: AtomicU64::new(0),
        })))
    }

    /// A worker told its members.
    pub(super) fn on_told(&self, members: usize) {
        if let Some(shared) = &self.0 {
            shared.members.fetch_add(members as u64, Ordering::Relaxed);
        }
    }

    /// A worker is done with it.
    pub(super) fn on_handled(&self, received_ms: i64) {
        let Some(shared) = &self.0 else {
            return;
        };
        if shared.left.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let mut span = std::mem::take(&mut *shared.span.lock());
        let members = shared.members.load(Ordering::Relaxed);
        span.set_number("discord_stream.members", members);
        let delay_ms = u64::try_from(now_ms() - received_ms).unwrap_or(0);
        span.set_number("discord_stream.delay_ms", delay_ms);
    }
}
