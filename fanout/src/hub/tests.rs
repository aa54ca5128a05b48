//! A whole hub over a running feed: what viewers are sent, as events come and viewers ask.

mod access;
mod bench;
mod channels;
mod counts;
mod embeds;
mod members;
mod previews;
mod reactions;
mod recovery;
mod tokens;
mod typing;
mod upstream;
