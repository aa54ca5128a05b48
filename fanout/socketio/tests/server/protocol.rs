//! The protocol pages, sentence by sentence, with the heartbeat of their conformance tests: a ping after 300 ms, 200 ms to
//! answer it. They are run alone: what they say about time is meant.

mod engine3;
mod engine4;
mod engine4_upgrade;
mod socket5;
mod socket5_data;
