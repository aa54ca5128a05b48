//! What all fanouts know together: limits that are spent, sessions that may be recovered, tokens that are revoked.
//!
//! Three seams, [`Limiter`], [`Sessions`] and [`Revocations`], and two homes: [`InProcess`] and Redis. A
//! [`Registry`] is what a service holds: it answers from Redis while Redis is there and never waits for a Redis
//! that is not. Keys, owners and values are opaque here; nothing of a conversation belongs into any of them.

mod in_process;
mod limiter;
mod quota;
mod redis;
mod registry;
mod revocations;
mod sessions;
mod stats;

pub use in_process::InProcess;
pub use limiter::{Limiter, Slot, Verdict};
pub use quota::Quota;
pub use redis::{OpenError, Redis, RedisSettings};
pub use registry::{Registry, State};
pub use revocations::{Revocation, Revocations};
pub use sessions::Sessions;
pub use stats::Stats;

use std::time::Duration;

/// A slot that its holder has not renewed for so long is free again: what an instance that was killed held.
pub const SLOT_TTL: Duration = Duration::from_secs(30);

/// The shared home can't answer, or has lost what it was asked to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what instances share is away")]
pub struct Away;
