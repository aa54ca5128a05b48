//! End to end: from the simulated Discord's gateway to official clients, on real processes.
#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests: what is missing fails them, and what they measured is shown"
)]

mod clients;
mod corpus;
mod deletes;
mod demo;
mod faults;
mod layout;
mod limits;
mod manifests;
mod members;
mod metrics;
mod readme;
mod recovery;
mod scenario;
mod sources;
mod traces;
mod viewer;
