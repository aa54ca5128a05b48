//! The simulator as its users see it: a gateway client and an HTTP client, each test with a simulator of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

mod community;
mod compression;
mod crosscheck;
mod faults;
mod files;
mod gateway;
mod harness;
mod intents;
mod limits;
mod load;
mod login;
mod rest;
