//! Who may see what: Discord's directory, replayed from its events, and Discord's own algorithm over it.
//!
//! Pure: no I/O and no clock. A worker owns a replica and applies the feed's events to it in order, so that
//! what a viewer may see is decided at exactly the feed's position.

mod directory;
mod guild;
mod permissions;
#[cfg(test)]
mod tests;

pub use directory::{Change, Directory, Place};
pub(crate) use permissions::kind;
pub use permissions::{Access, Embed, Grant, Holder};
