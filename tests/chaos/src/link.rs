//! A link between two parts: a TCP proxy that can be stalled, cut, and mended.
//!
//! Stalled, its connections stay and carry nothing; cut, they are reset, and so is each new one. Everything that is said
//! arrives in order or not at all, as TCP promises.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// What a link does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It carries.
    Open,
    /// Connections stay and carry nothing.
    Stalled,
    /// Connections are reset.
    Cut,
}

/// One link; dropped, it ends with its connections.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    way: watch::Sender<Way>,
    task: AbortHandle,
}

/// Bytes that are carried at a time.
const CHUNK: usize = 16 * 1024;

impl Link {
    /// A link to this port of loopback.
    pub(crate) async fn to(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let way = watch::Sender::new(Way::Open);
        let task = tokio::spawn(serve(listener, port, way.subscribe())).abort_handle();
        Ok(Self { address, way, task })
    }

    /// Where it begins.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on it does this.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, port: u16, way: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(carry(near, port, way.clone()));
    }
}

async fn carry(near: TcpStream, port: u16, mut way: watch::Receiver<Way>) {
    // Dropped without a word and with bytes unsent, a connection is reset.
    drop(near.set_zero_linger());
    if *way.borrow() == Way::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return;
    };
    if near.set_nodelay(true).is_err() || far.set_nodelay(true).is_err() {
        return;
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let (there, back) = (way.clone(), way.clone());
    tokio::select! {
        _ = way.wait_for(|way| *way == Way::Cut) => {}
        ((), ()) = async {
            tokio::join!(
                forward(near_read, far_write, there),
                forward(far_read, near_write, back),
            )
        } => {}
    }
}

/// Carries one direction until its end, which it passes on.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        if way.wait_for(|way| *way != Way::Stalled).await.is_err() {
            break;
        }
        let bytes = chunk.get(..read).unwrap_or_default();
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
    drop(to.shutdown().await);
}

/// How long a port of a server that was just started is waited for.
const ACCEPT: Duration = Duration::from_secs(20);

/// When a port accepts connections.
pub(crate) async fn accepts(port: u16) -> anyhow::Result<tokio::time::Instant> {
    let until = tokio::time::Instant::now() + ACCEPT;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .is_err()
    {
        anyhow::ensure!(
            tokio::time::Instant::now() < until,
            "{port} does not accept"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(tokio::time::Instant::now())
}
