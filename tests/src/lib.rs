//! The harness of the end-to-end tests: a [`World`] of real processes on free ports, ended with the test.
//!
//! One world has the simulated Discord and either column of the seam table: the standalone binary, or ingest
//! and fanouts on NATS, Redis and MariaDB or PostgreSQL. Faults are operations on it. Clients are JavaScript and Python programs
//! ([`clients`]), because that is what connects to us. Nothing here names one of our library crates.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a harness: what is missing fails the test that asked for it"
)]

mod balancer;
pub mod clients;
pub mod echo;
pub mod exposition;
mod jetstream;
#[expect(dead_code, reason = "the store's own tests use all of it")]
#[path = "../../proto/store/tests/contract/mariadb_server.rs"]
mod mariadb_server;
#[expect(dead_code, reason = "the broker's own tests use all of it")]
#[path = "../../proto/broker/tests/contract/nats_server.rs"]
mod nats_server;
pub mod otlp;
pub mod port;
#[expect(dead_code, reason = "the store's own tests use all of it")]
#[path = "../../proto/store/tests/contract/postgres_server.rs"]
mod postgres_server;
pub mod process;
#[expect(dead_code, reason = "the registry's own tests use all of it")]
#[path = "../../fanout/registry/tests/contract/redis_server.rs"]
mod redis_server;
mod sql;
pub mod world;

pub use clients::Client;
pub use echo::{Echo, chat};
pub use process::Process;
pub use world::{Home, Plan, World};
