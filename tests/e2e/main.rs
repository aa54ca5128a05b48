//! End to end: from the simulated Discord's gateway to official clients, on real processes.
#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests: what is missing fails them, and what they measured is shown"
)]

mod demo;
mod faults;
mod layout;
mod manifests;
mod scenario;
