//! Holds Discord's gateway and publishes its events, in order and once.
//!
//! gateway → decode → publish → archive, under one lease; the others stand by. Everything on the way ends in
//! one counted outcome. Knows nothing of viewers.

mod application;
mod archive;
mod backfill;
mod backoff;
mod buffer;
pub mod check;
mod decode;
mod desk;
pub mod erase;
mod erasures;
mod exclusions;
mod frame;
mod gateway;
mod history;
pub mod http;
mod ingest;
mod leader;
mod links;
mod members;
mod meters;
mod metrics;
mod outcome;
mod places;
mod publish;
mod reactions;
mod rest;
mod retention;
mod roll;
mod roster;
mod settings;
mod shard;
mod status;
mod sweeper;
mod term;
mod trace;
mod typing;
mod viewers;

pub use decode::{Reading, read_message};
pub use exclusions::ExclusionRules;
pub use gateway::Fatal;
pub use ingest::{Ingest, IngestError};
pub use settings::IngestSettings;
pub use status::Status;
