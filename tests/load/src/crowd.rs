//! The clients of one room: each a connection and a task that counts what comes.
//! It promises that they join a few at a time, that one which ends is told to the tally, and that all of them end
//! with this value.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::link::{Link, LinkError};
use crate::packet::{self, Namespace, Packet};
use crate::tally::Tally;

/// How many join at a time: enough to keep both sides busy, and less than the queue of any listening socket.
const JOINING_MAX: usize = 64;
/// How long joining may take once it is a client's turn. Servers give a CONNECT 10 s and more.
pub(crate) const JOIN_PATIENCE: Duration = Duration::from_secs(30);

/// The clients. Dropping it cuts them.
#[derive(Debug)]
pub(crate) struct Crowd {
    #[expect(dead_code, reason = "owns the tasks, which end with it")]
    tasks: JoinSet<()>,
}

impl Crowd {
    /// Connects so many clients, the first of them with this number, and waits until all are in the room.
    pub(crate) async fn join(
        address: SocketAddr,
        sockets: usize,
        tally: &Arc<Tally>,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let doors = Arc::new(Semaphore::new(JOINING_MAX));
        let mut tasks = JoinSet::new();
        for socket in 0..sockets {
            tasks.spawn(run(socket, address, Arc::clone(&doors), Arc::clone(tally)));
        }
        tally.joined(sockets, patience).await?;
        Ok(Self { tasks })
    }
}

/// Connects one client to the room.
pub(crate) async fn join(address: SocketAddr) -> Result<Link, LinkError> {
    let joining = async {
        let mut link = Link::open(address, Namespace::Root).await?;
        link.connect("").await?;
        Ok(link)
    };
    timeout(JOIN_PATIENCE, joining)
        .await
        .unwrap_or(Err(LinkError::Slow))
}

/// Counts what has come to a client whole.
pub(crate) fn count(link: &mut Link, socket: usize, tally: &Tally) -> Result<(), LinkError> {
    let now = Instant::now();
    link.take_packets(|packet, _| {
        if let Packet::Message(event) = packet {
            tally.on_message(socket, packet::number(event), now);
        }
    })
}

async fn run(socket: usize, address: SocketAddr, doors: Arc<Semaphore>, tally: Arc<Tally>) {
    let joined = {
        let _door = doors.acquire().await;
        join(address).await
    };
    let ended = match joined {
        Ok(link) => {
            tally.on_joined();
            watch(link, socket, &tally).await
        }
        Err(error) => error,
    };
    tally.on_ended(socket, &ended.to_string());
}

/// Counts messages until the connection ends.
async fn watch(mut link: Link, socket: usize, tally: &Tally) -> LinkError {
    loop {
        if let Err(error) = count(&mut link, socket, tally) {
            return error;
        }
        if let Err(error) = link.read().await {
            return error;
        }
    }
}
