//! The exporter behind the batches: a failure is counted, said once a minute at the most, and ends there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use parking_lot::Mutex;

/// Between two log lines about failures.
const QUIET: Duration = Duration::from_mins(1);

static SENT: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);

/// What became of the spans that left the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// The receiver has taken them.
    pub sent: u64,
    /// It was away, or would not.
    pub failed: u64,
}

/// The counts of this process.
pub fn exported() -> Exported {
    Exported {
        sent: SENT.load(Ordering::Relaxed),
        failed: FAILED.load(Ordering::Relaxed),
    }
}

/// An exporter that never fails towards the SDK, which would log each time.
#[derive(Debug)]
pub(super) struct Exporter<E> {
    inner: E,
    voice: Mutex<Voice>,
}

/// When something was said, and how much was lost since.
#[derive(Debug, Default)]
struct Voice {
    spoke: Option<Instant>,
    lost: usize,
}

impl Voice {
    /// So many more spans are lost: how many to tell of, if it is time to.
    fn on_lost(&mut self, spans: usize, now: Instant) -> Option<usize> {
        self.lost += spans;
        let is_early = self.spoke.is_some_and(|at| now.duration_since(at) < QUIET);
        if is_early {
            return None;
        }
        self.spoke = Some(now);
        Some(std::mem::take(&mut self.lost))
    }
}

impl<E> Exporter<E> {
    pub(super) fn new(inner: E) -> Self {
        Self {
            inner,
            voice: Mutex::default(),
        }
    }

    fn on_failed(&self, spans: usize, error: &OTelSdkError) {
        FAILED.fetch_add(spans as u64, Ordering::Relaxed);
        if let Some(lost) = self.voice.lock().on_lost(spans, Instant::now()) {
            tracing::warn!(lost, %error, "traces can't be exported");
        }
    }
}

impl<E: SpanExporter> SpanExporter for Exporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        match self.inner.export(batch).await {
            Ok(()) => {
                SENT.fetch_add(spans as u64, Ordering::Relaxed);
            }
            Err(error) => self.on_failed(spans, &error),
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_stays_away_is_told_of_once_a_minute_with_all_that_was_lost() {
        let mut voice = Voice::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(voice.on_lost(5, at(0)), Some(5));
        assert_eq!(voice.on_lost(3, at(5)), None);
        assert_eq!(voice.on_lost(2, at(59)), None);
        assert_eq!(voice.on_lost(1, at(60)), Some(6));
        assert_eq!(voice.on_lost(1, at(61)), None);
    }
}
