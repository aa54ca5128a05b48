//! The gateway: Discord's events as they come, over a session that outlives connections and this process.
//!
//! The loop that holds a shard's connection waits for nothing downstream; a supervisor brings it back whatever
//! ends it, and all shards are one fleet. The vendor's crate is named here and nowhere else.

mod budget;
mod commands;
mod fatal;
mod fleet;
mod intents;
mod polled;
mod recorder;
pub(crate) mod session;
mod shard;
mod silence;
mod supervisor;

pub(crate) use budget::Level;
pub(crate) use commands::Commands;
pub use fatal::Fatal;
pub(crate) use fleet::{Fleet, Parts};
pub(crate) use recorder::Recorder;
pub(crate) use session::{Saved, Sessions};
pub(crate) use silence::Verdict;
