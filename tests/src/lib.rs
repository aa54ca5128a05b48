//! The harness of the end-to-end tests: a [`World`] of real processes on free ports, ended with the test.
//!
//! One world has the simulated Discord and either column of the seam table: the standalone binary, or ingest
//! and fanouts on NATS and SQLite. Faults are operations on it. Clients are JavaScript programs
//! ([`clients`]), because that is what connects to us. Nothing here names one of our library crates.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a harness: what is missing fails the test that asked for it"
)]

pub mod clients;
#[expect(dead_code, reason = "the broker's own tests use all of it")]
#[path = "../../proto/broker/tests/contract/nats_server.rs"]
mod nats_server;
pub mod process;
pub mod world;

pub use clients::Client;
pub use process::Process;
pub use world::{Home, World};
