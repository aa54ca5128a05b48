//! Fanout: pushes each channel's events to the viewers who may see them.
//!
//! The path of an event: [`feed`] (broker to workers, in order, without a gap) → [`hub`] (a worker's viewers
//! and rooms) → [`room`] (the recent messages, and who listens) → [`transport`] (the socket). [`access`] says
//! who may see what, [`auth`] who somebody is. Any number of fanouts run beside each other; none keeps state
//! that another would miss.

pub mod access;
pub mod address;
pub mod audience;
pub mod auth;
pub mod delivery;
pub mod feed;
pub mod frames;
pub mod history;
pub mod http;
pub mod hub;
pub mod instance;
pub mod joins;
pub mod limit;
mod metrics;
pub mod notices;
pub mod object;
pub mod offset;
pub mod origin;
pub mod pace;
pub mod past;
pub mod peer;
pub mod recovery;
pub mod replay;
pub mod request;
pub mod room;
pub mod server;
pub mod session;
pub mod settings;
pub mod token;
pub mod transport;
pub mod typing;
pub mod upstream;

pub use server::Fanout;
pub use settings::FanoutSettings;
