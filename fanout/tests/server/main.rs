//! A whole fanout on a free port, over the embedded broker and store: what programs and browsers see of it on
//! plain WebSockets, event streams and HTTP.

#![cfg(test)]

mod channels;
mod discord;
mod harness;
mod limits;
mod login;
mod namespaces;
mod pages;
mod peers;
#[expect(unreachable_pub, reason = "it is public in the tests' own harness")]
#[path = "../../../tests/src/port.rs"]
mod port;
mod recovery;
#[expect(dead_code, reason = "the registry's own tests use all of it")]
#[path = "../../registry/tests/contract/redis_server.rs"]
mod redis_server;
mod session;
mod stream;
mod websocket;
