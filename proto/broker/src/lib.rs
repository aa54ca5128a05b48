//! The broker seam: one ordered, deduplicated, replayable log of events with a live feed, and the small
//! things that go with it (lease, session, requests, where the instances are).
//!
//! Two homes: [`embedded`], a log in SQLite within the process, and [`nats`], JetStream and key-value
//! buckets. [`Broker`] is written as a delivery promise; one contract suite (`tests/contract.rs`) runs on both.

pub mod broker;
pub mod embedded;
mod feed;
pub mod nats;

pub use broker::{
    Answer, Broker, BrokerError, Catchup, Erasure, Freshness, LEASE_TTL, Lease, LiveItem,
    LiveReceiver, Notice, Notices, Publication, PublishError, Requests, Stored, StreamSettings,
    StreamState, Unanswered,
};
pub use embedded::{Clock, Embedded, EmbeddedSettings, OpenError};
pub use nats::{ConnectError, Nats, NatsSettings};
