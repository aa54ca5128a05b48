//! A whole fanout on a free port, over the embedded broker and store: what programs and browsers see of it on
//! plain WebSockets, event streams and HTTP.

#![cfg(test)]

mod channels;
mod discord;
mod harness;
mod limits;
mod login;
mod pages;
mod peers;
mod session;
mod stream;
mod websocket;
