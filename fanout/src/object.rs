//! The objects that clients see (contract.md §1, "Objects"), made from the events that the stream holds.
//!
//! Ids are strings, times ISO 8601 with milliseconds and `Z`, names camelCase; every listed field is always
//! there, the further ones only when they say something.

mod cdn;
mod channel;
mod message;

pub use cdn::Cdn;
pub use channel::{ChannelObject, channel_object, is_shown_alike};
pub use message::{MessageObject, ReactionObject, message_object, reaction_objects};
