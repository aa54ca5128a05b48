//! The objects that clients see (contract.md §1, "Objects"), made from the events that the stream holds.
//!
//! Ids are strings, times ISO 8601 with milliseconds and `Z`, names camelCase; every listed field is always
//! there, the further ones only when they say something.

mod channel;
mod message;

use proto::event::User;

pub use channel::{ChannelObject, channel_object, is_shown_alike};
pub use message::{MessageObject, ReactionObject, message_object, reaction_objects};

/// Where Discord serves images.
const CDN: &str = "https://cdn.discordapp.com";

/// The URL of a user's avatar: their own, or the default one that Discord shows.
pub fn avatar_url(user: &User) -> String {
    match &user.avatar {
        Some(hash) => format!("{CDN}/avatars/{}/{hash}.png", user.id),
        None => format!("{CDN}/embed/avatars/{}.png", (user.id >> 22) % 6),
    }
}
