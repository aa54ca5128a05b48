//! The fault suite: a whole world of real processes, faults as operations, and the law that nothing may break.
//!
//! The simulated Discord, NATS (one server, or three as a cluster), Redis, MariaDB or PostgreSQL, two ingests and three
//! fanouts run on free ports of loopback, with a link between any two that can be stalled or cut. Viewers write down
//! what they are shown, whoever posts writes down what was said, and at the end both are compared.
//!
//! A failure is anything that a viewer, a page or SQL shows and Discord does not, or the other way round. It is no
//! failure that a viewer is cut off, that an answer is late, or that a viewer has to begin anew where the contract says so.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a harness: what is missing fails the run that asked for it"
)]

mod book;
mod cluster;
mod fault;
mod final_check;
#[path = "../../src/jetstream.rs"]
mod jetstream;
mod law;
mod link;
#[expect(dead_code, reason = "the store's own tests use all of it")]
#[path = "../../../proto/store/tests/contract/mariadb_server.rs"]
mod mariadb_server;
#[expect(dead_code, reason = "the broker's own tests use all of it")]
#[path = "../../../proto/broker/tests/contract/nats_server.rs"]
mod nats_server;
#[expect(unreachable_pub, reason = "it is public in the tests' own harness")]
#[path = "../../src/port.rs"]
mod port;
#[expect(dead_code, reason = "the store's own tests use all of it")]
#[path = "../../../proto/store/tests/contract/postgres_server.rs"]
mod postgres_server;
mod posts;
#[expect(unreachable_pub, reason = "it is public in the other harness")]
#[path = "../../src/process.rs"]
mod process;
#[expect(dead_code, reason = "the registry's own tests use all of it")]
#[path = "../../../fanout/registry/tests/contract/redis_server.rs"]
mod redis_server;
pub mod report;
mod run;
mod scene;
mod scenes;
mod service;
mod simulation;
#[path = "../../src/sql.rs"]
mod sql;
mod stage;
mod tape;
mod viewer;

pub use fault::{Fault, LINKS, Whose, Wire};
pub use law::{Breaches, Law};
pub use posts::Pace;
pub use run::{Plan, Run};
pub use scenes::{Outage, broker_restarts, outage, rolling_restart};
pub use simulation::Sequence;
pub use stage::Home;
