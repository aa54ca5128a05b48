//! What a registry counts, for metrics. Numbers only grow.

use std::sync::atomic::AtomicU64;

/// Counters of one registry.
#[derive(Debug, Default)]
pub struct Stats {
    /// Calls and probes that Redis did not answer in time, or answered with an error.
    pub redis_failures: AtomicU64,
    /// Times that Redis went away.
    pub redis_outages: AtomicU64,
    /// Calls that found too many others on their way: decided in process, though Redis is there.
    pub redis_busy: AtomicU64,
    /// Verdicts that were given in process because Redis was away or busy.
    pub fallbacks: AtomicU64,
    /// Entries that the in-process home dropped before their end, for want of room.
    pub evictions: AtomicU64,
    /// Verdicts that refused.
    pub refusals: AtomicU64,
}
