//! The contract between the services: events, their identities, their subjects, and the bytes of all three.
//!
//! No I/O, no clock, no randomness. Ingest writes what this package says, the stream stores it, fanouts
//! and third parties read it. `schema/` is the wire; fields are added, never renumbered.

pub mod envelope;
pub mod event;
pub mod hash;
pub mod id;
pub mod identity;
pub mod instance;
pub mod link;
pub mod subject;
pub mod trace;

pub use envelope::Envelope;
pub use event::Event;
pub use id::{ChannelId, GuildId, MessageId, RoleId, UserId};
pub use identity::Identity;
pub use instance::InstanceId;
pub use subject::Subject;
pub use trace::TraceParent;
