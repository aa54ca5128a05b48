//! The gateway: sessions, which live in the simulator, and connections, which come and go.
//! <https://discord.com/developers/docs/events/gateway>.

pub(crate) mod connection;
pub(crate) mod entrance;
mod greeting;
pub(crate) mod inbound;
pub(crate) mod line;
pub(crate) mod members;
mod pace;
pub(crate) mod session;
mod wire;
