//! The bench's broadcast server on socketioxide and axum, on one thread: `socketioxide-peer PORT`.
//! Every socket is in one room; the event `broadcast` has `count` events `message` emitted to the room in one turn.

use std::{io, net::Ipv4Addr, time::Duration};

use axum::serve::ListenerExt as _;
use serde::Deserialize;
use socketioxide::{
    SocketIo,
    extract::{Data, SocketRef},
};
use tokio::net::TcpListener;

const ROOM: &str = "room";

/// Packets that may wait for one socket: more than any burst of the bench, which reads all of one before the next.
const BUFFER_PACKETS: usize = 1024;

#[derive(Deserialize)]
struct Broadcast {
    count: u64,
    bytes: usize,
    first: u64,
}

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port = port.ok_or_else(|| io::Error::other("usage: socketioxide-peer PORT"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(port))
}

async fn serve(port: u16) -> io::Result<()> {
    let (layer, io) = SocketIo::builder()
        .ping_interval(Duration::from_secs(25))
        .ping_timeout(Duration::from_secs(60))
        .max_buffer_size(BUFFER_PACKETS)
        .build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.join(ROOM);
        socket.on("broadcast", on_broadcast);
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    // As all servers of the table do.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    axum::serve(listener, axum::Router::new().layer(layer)).await
}

async fn on_broadcast(io: SocketIo, Data(order): Data<Broadcast>) {
    for number in order.first..order.first + order.count {
        let payload = format!("{number:010}{:x<1$}", "", order.bytes.saturating_sub(10));
        if let Err(error) = io.to(ROOM).emit("message", &payload).await {
            eprintln!("a broadcast failed: {error}");
        }
    }
}
