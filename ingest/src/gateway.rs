//! The gateway: Discord's events as they come, over a session that outlives connections and this process.
//!
//! The loop that holds the connection waits for nothing downstream; a supervisor brings it back whatever
//! ends it. The vendor's crate is named here and nowhere else.

mod commands;
pub(crate) mod session;
mod shard;
mod supervisor;

pub(crate) use commands::Commands;
pub(crate) use session::{Recorder, Session};
pub use supervisor::Fatal;
pub(crate) use supervisor::{Parts, Supervisor};
