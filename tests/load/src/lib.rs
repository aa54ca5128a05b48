//! The load generator: many sockets in one channel of a real fanout, and one table of what that costs.
//! It starts nats-server, the simulated Discord, ingest and fanout itself, each a process with its own folder and port
//! on loopback, and ends them on every path. Each socket checks that every numbered message comes once and in order.
//! Beside the fanout, in turns, it measures a floor: one plain `send` a socket of as many bytes.
//! It promises that no number is an estimate, and that what went wrong is a sentence and not a smaller number.

mod bench;
mod floor;
mod limit;
mod numbering;
mod packet;
mod percentile;
mod plan;
mod process;
mod scoreboard;
mod services;
mod table;
mod usage;
mod viewer;
mod viewers;
mod websocket;
mod world;

pub use bench::run;
pub use floor::serve as serve_floor;
pub use plan::Plan;
pub use table::Report;
