//! The floor: what a delivery costs when nothing is done but one `send` a socket.
//! The server is a child process, so that its CPU time is its own; its sockets are read here, beside the viewers'.
//! It promises the same number of sockets, bytes and messages at the same rate as the fanout was given.

mod room;
mod server;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub use room::serve_room;
pub use server::serve;

use crate::process::Process;

/// How long the server may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at what it has printed.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// One read; a few messages.
const READ_BYTES: usize = 2048;

/// What one turn of the floor sends to each socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The length of a message.
    pub(crate) bytes: u64,
    /// Messages a second.
    pub(crate) rate: u32,
    /// How many messages.
    pub(crate) count: u32,
}

/// The server and its sockets. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct Floor {
    /// Dropped first: a server that loses its sockets would complain.
    process: Process,
    #[expect(dead_code, reason = "owns the tasks, which end with it")]
    readers: JoinSet<()>,
    received: Arc<Received>,
    sockets: u64,
}

impl Floor {
    /// Starts the server below `home` and connects the sockets.
    pub(crate) async fn start(sockets: u32, home: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("our own program")?;
        let mut command = Command::new(program);
        command
            .env_clear()
            .args(["floor", "--sockets", &sockets.to_string()]);
        let mut process = Process::start("floor", &mut command, home)?;
        let address = address(&mut process).await?;
        let received = Arc::<Received>::default();
        let mut readers = JoinSet::new();
        for _ in 0..sockets {
            let stream = TcpStream::connect(address).await.context("the floor")?;
            readers.spawn(read(stream, Arc::clone(&received)));
        }
        Ok(Self {
            process,
            readers,
            received,
            sockets: u64::from(sockets),
        })
    }

    /// The server's process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Has the server send, and waits until every byte has come.
    pub(crate) async fn take_turn(
        &mut self,
        order: Order,
        patience: Duration,
    ) -> anyhow::Result<()> {
        self.process.check()?;
        let expected = order.bytes * u64::from(order.count) * self.sockets;
        self.received.expect(expected);
        let Order { bytes, rate, count } = order;
        let stdin = self.process.stdin().context("the floor's input is piped")?;
        writeln!(stdin, "{bytes} {rate} {count}").context("the floor takes no orders")?;
        if timeout(patience, self.received.all()).await.is_err() {
            self.process.check()?;
        }
        let received = self.received.state.lock().bytes;
        ensure!(
            received == expected,
            "the floor's sockets got {received} bytes of {expected}; {}",
            self.process.last_words()
        );
        Ok(())
    }
}

/// Where the server listens, as soon as it says so.
async fn address(process: &mut Process) -> anyhow::Result<SocketAddr> {
    let deadline = Instant::now() + START_PATIENCE;
    while Instant::now() < deadline {
        if let Some(line) = process.printed().lines().next() {
            return line.parse().context("the floor's address");
        }
        process.check()?;
        sleep(LOOK_EVERY).await;
    }
    anyhow::bail!("the floor does not listen")
}

#[derive(Debug, Default)]
struct Received {
    state: Mutex<Turn>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Turn {
    bytes: u64,
    expected: u64,
    is_cut: bool,
}

impl Turn {
    fn is_over(&self) -> bool {
        self.bytes >= self.expected || self.is_cut
    }
}

impl Received {
    fn expect(&self, bytes: u64) {
        let mut turn = self.state.lock();
        turn.bytes = 0;
        turn.expected = bytes;
    }

    /// Bytes have come to a socket; none at its end.
    fn on_bytes(&self, bytes: usize) {
        let mut turn = self.state.lock();
        turn.bytes += bytes as u64;
        turn.is_cut |= bytes == 0;
        if turn.is_over() {
            self.changed.notify_one();
        }
    }

    /// Waits until everything has come, or a socket is cut, so that it never will.
    async fn all(&self) {
        while !self.state.lock().is_over() {
            self.changed.notified().await;
        }
    }
}

/// Counts what comes to a socket. A failed one has ended: what it has not got is missed in the sum.
async fn read(mut stream: TcpStream, received: Arc<Received>) {
    let mut buffer = [0; READ_BYTES];
    loop {
        let bytes = stream.read(&mut buffer).await.unwrap_or(0);
        received.on_bytes(bytes);
        if bytes == 0 {
            return;
        }
    }
}
