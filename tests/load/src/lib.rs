//! The load generator: many sockets in one channel of a real fanout, and one table of what that costs.
//! It starts nats-server, the simulated Discord, ingest and fanout itself, each a process with its own folder and port
//! on loopback, and ends them on every path. Each socket checks that every numbered message comes once and in order.
//! Beside the fanout, in turns, it measures a floor: one plain `send` a socket of as many bytes.
//! `revocation` measures on two fanouts how late access is taken away and given back, and that nothing leaks meanwhile.
//! Its other commands measure the Socket.IO server alone: what a delivery costs (`cost`), beside the servers that others
//! run; what a socket costs (`memory`); what one slow client does (`slow`); what clients leave behind (`churn`).
//! One measures the store alone: what a page of the history takes each database (`pages`).
//! It promises that no number is an estimate, and that what went wrong is a sentence and not a smaller number.

mod bench;
mod churn;
mod cores;
mod cost;
mod crowd;
mod floor;
mod limit;
mod link;
#[expect(
    dead_code,
    clippy::panic,
    reason = "of the store's own tests, which use all of it"
)]
#[path = "../../../proto/store/tests/contract/mariadb_server.rs"]
mod mariadb_server;
mod memory;
mod numbering;
mod outcome;
mod packet;
mod pages;
mod peer;
mod percentile;
mod plan;
mod polling;
#[expect(
    unreachable_pub,
    clippy::panic,
    reason = "of the tests' own harness, where it is public"
)]
#[path = "../../src/port.rs"]
mod port;
#[expect(
    dead_code,
    clippy::panic,
    reason = "of the store's own tests, which use all of it"
)]
#[path = "../../../proto/store/tests/contract/postgres_server.rs"]
mod postgres_server;
mod process;
mod revocation;
mod scoreboard;
mod services;
mod slow;
mod stage;
mod table;
mod tally;
mod usage;
mod viewer;
mod viewers;
mod websocket;
mod world;

pub use bench::run;
pub use churn::{ChurnPlan, churn};
pub use cost::{CostPlan, cost};
pub use floor::{serve as serve_floor, serve_room};
pub use memory::{MemoryPlan, memory};
pub use outcome::Outcome;
pub use pages::{PagesPlan, pages};
pub use plan::Plan;
pub use revocation::{RevocationPlan, revocation};
pub use slow::{SlowPlan, slow};
pub use table::Report;
