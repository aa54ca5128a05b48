//! One server with its room: the process, the clients in it, and the control socket that orders broadcasts.
//! It promises that the server has a core of its own, that everything ordered is waited for within a bound, and that
//! whatever was lost, doubled or ended is an error. It knows nothing of what is measured meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::cores::Cores;
use crate::crowd::{self, Crowd};
use crate::link::{Link, LinkError};
use crate::packet::{self, Packet};
use crate::peer::Peer;
use crate::process::Process;
use crate::tally::Tally;

/// How long a server may take to listen: Node on a busy core.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Between two attempts to connect.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long everything ordered may take to come: far longer than the slowest server needs for a hundred messages to
/// ten thousand sockets.
const COMPLETE_PATIENCE: Duration = Duration::from_mins(1);
/// How long is listened for doubles.
const SETTLE: Duration = Duration::from_millis(300);
/// How long an acknowledgement may take, behind everything that waits in the same socket.
const STATS_PATIENCE: Duration = Duration::from_secs(10);

/// Messages that are ordered at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    /// How many.
    pub(crate) count: u32,
    /// The length of each.
    pub(crate) bytes: u32,
}

/// The counters of our server, as its example tells them.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Transports open now.
    pub(crate) connections: u64,
    /// Namespaces connected now.
    pub(crate) sockets: u64,
    /// Transports that have ended, by their reason.
    pub(crate) closes: std::collections::BTreeMap<String, u64>,
}

/// A server and its room.
#[derive(Debug)]
pub(crate) struct Stage {
    crowd: Option<Crowd>,
    control: Control,
    tally: Arc<Tally>,
    sockets: usize,
    address: SocketAddr,
    process: Process,
    #[expect(dead_code, reason = "the process' folder, which ends with it")]
    home: TempDir,
}

impl Stage {
    /// Starts a server for so many clients; the control socket alone is in its room.
    pub(crate) async fn start(peer: &Peer, sockets: u32, cores: Cores) -> anyhow::Result<Self> {
        let sockets = sockets as usize;
        let home = tempfile::tempdir()?;
        let start = || peer.start(sockets + 1, home.path());
        let (mut process, address) = cores.on_server_core(start)?;
        let tally = Arc::new(Tally::new(sockets + 1));
        let control = Control {
            link: connect(address, &mut process).await?,
            socket: sockets,
            tally: Arc::clone(&tally),
            answer: None,
        };
        Ok(Self {
            crowd: None,
            control,
            tally,
            sockets,
            address,
            process,
            home,
        })
    }

    /// Has all clients join.
    pub(crate) async fn fill(&mut self) -> anyhow::Result<()> {
        // As the bench of the fanout has it: a 20th of a second for each, which is what a debug build needs.
        let patience = Duration::from_secs(30) + Duration::from_millis(50) * self.sockets_u32();
        let joining = Crowd::join(self.address, self.sockets, &self.tally, patience);
        let joined = self.control.read_while(joining).await;
        self.crowd = Some(
            joined
                .and_then(|joined| joined)
                .with_context(|| self.blame())?,
        );
        Ok(())
    }

    /// The server's process.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has come so far.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How many sockets each message goes to: the clients and the control socket.
    pub(crate) fn receivers(&self) -> u64 {
        self.sockets as u64 + 1
    }

    /// Orders messages and waits until all have come.
    pub(crate) async fn burst(&mut self, burst: Burst) -> anyhow::Result<()> {
        self.order(burst, Instant::now()).await?;
        self.complete().await
    }

    /// Orders messages whose latency counts from a moment.
    pub(crate) async fn order(&mut self, burst: Burst, due: Instant) -> anyhow::Result<()> {
        let Burst { count, bytes } = burst;
        let first = self.tally.expect(count, due);
        let order =
            format!(r#"42["broadcast",{{"count":{count},"bytes":{bytes},"first":{first}}}]"#);
        let sent = self.control.link.send(&order).await;
        sent.with_context(|| self.blame())
    }

    /// Waits until everything ordered has come.
    pub(crate) async fn complete(&mut self) -> anyhow::Result<()> {
        let tally = Arc::clone(&self.tally);
        let complete = tally.complete(COMPLETE_PATIENCE);
        let completed = self.control.read_while(complete).await;
        completed
            .and_then(|done| done)
            .with_context(|| self.blame())
    }

    /// Listens until a moment.
    pub(crate) async fn rest_until(&mut self, moment: Instant) -> anyhow::Result<()> {
        let rested = self.control.read_while(tokio::time::sleep_until(moment));
        rested.await.with_context(|| self.blame())
    }

    /// Listens for so long.
    pub(crate) async fn rest(&mut self, duration: Duration) -> anyhow::Result<()> {
        self.rest_until(Instant::now() + duration).await
    }

    /// Listens for doubles, and says whether anything went wrong until now.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<()> {
        self.rest(SETTLE).await?;
        self.process.check()?;
        self.tally.check().with_context(|| self.blame())
    }

    /// Asks our server for its counters.
    pub(crate) async fn stats(&mut self) -> anyhow::Result<Stats> {
        let asked = timeout(STATS_PATIENCE, self.control.ask(r#"420["stats"]"#)).await;
        let answer = asked.context("the counters were not told in time")??;
        let [stats]: [Stats; 1] = serde_json::from_slice(&answer).context("the counters")?;
        Ok(stats)
    }

    fn sockets_u32(&self) -> u32 {
        u32::try_from(self.sockets).unwrap_or(u32::MAX)
    }

    /// Whose fault an error was, as far as we know.
    fn blame(&self) -> String {
        format!("{}: {}", self.process.name(), self.process.last_words())
    }
}

/// The control socket, once the server listens.
async fn connect(address: SocketAddr, process: &mut Process) -> anyhow::Result<Link> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match crowd::join(address).await {
            Ok(link) => return Ok(link),
            Err(LinkError::Io(_)) if Instant::now() < deadline => {
                process.check()?;
                sleep(LOOK_EVERY).await;
            }
            Err(error) => {
                return Err(error).with_context(|| process.last_words());
            }
        }
    }
}

/// A socket of the room that is read only while the bench waits for something.
#[derive(Debug)]
struct Control {
    link: Link,
    socket: usize,
    tally: Arc<Tally>,
    answer: Option<Vec<u8>>,
}

impl Control {
    /// Reads and answers pings until the future is done.
    async fn read_while<T>(&mut self, waiting: impl Future<Output = T>) -> anyhow::Result<T> {
        let mut waiting = std::pin::pin!(waiting);
        loop {
            self.take()?;
            tokio::select! {
                done = &mut waiting => return Ok(done),
                read = self.link.read() => read.context("the control socket")?,
            }
        }
    }

    async fn ask(&mut self, question: &str) -> anyhow::Result<Vec<u8>> {
        self.link.send(question).await?;
        loop {
            self.take()?;
            if let Some(answer) = self.answer.take() {
                return Ok(answer);
            }
            self.link.read().await?;
        }
    }

    fn take(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        let taken = self.link.take_packets(|packet, _| match packet {
            Packet::Message(event) => {
                self.tally
                    .on_message(self.socket, packet::number(event), now);
            }
            Packet::Acknowledged(answer) => self.answer = Some(answer.to_vec()),
            _ => {}
        });
        taken.context("the control socket")
    }
}
