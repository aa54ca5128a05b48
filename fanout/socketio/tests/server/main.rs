//! The server over real TCP, seen by an independent WebSocket client and by raw bytes.

#[cfg(test)]
mod broadcast;
#[cfg(test)]
mod client;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod handlers;
mod handshake;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod http;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod mirror;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod sockets;
