//! An upgrade that is another instance's: its bytes go to and fro, unread, until either side ends.
//!
//! A splice that is quiet holds no buffer: two sockets and a task, and nothing more.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

/// Bytes that are carried at once: a message of a conversation is well below, a page takes a few turns.
const CHUNK_BYTES: usize = 8 * 1024;

/// After the client's end the instance says its last: a close frame, if anything.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the instance whose upgrade it is, the request on its way there.
#[derive(Debug)]
pub struct Splice {
    pub(super) peer: TcpStream,
    pub(super) place: OwnedSemaphorePermit,
    pub(super) drain: CancellationToken,
    pub(super) over: Duration,
}

impl Splice {
    /// Carries bytes both ways until the client or the instance ends, or this instance drains; `already_read` is what
    /// was read of the client beyond its request. Both connections are closed when it returns.
    pub async fn run(self, already_read: &[u8], client: TcpStream) {
        let Self {
            peer,
            place,
            drain,
            over,
        } = self;
        tokio::select! {
            () = drained(&drain, over) => {}
            ended = exchange(already_read, client, peer) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a splice broke");
                }
            }
        }
        drop(place);
    }
}

/// Ends somewhere within the drain: clients of all splices at once would come back at once.
async fn drained(drain: &CancellationToken, over: Duration) {
    drain.cancelled().await;
    tokio::time::sleep(over.mul_f64(rand::random_range(0.0..=1.0))).await;
}

async fn exchange(
    already_read: &[u8],
    mut client: TcpStream,
    mut peer: TcpStream,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_peer, mut to_peer) = peer.split();
    let inwards = async {
        to_peer.write_all(already_read).await?;
        carry(&mut from_client, &mut to_peer).await?;
        to_peer.shutdown().await
    };
    let mut outwards = pin!(carry(&mut from_peer, &mut to_client));
    tokio::select! {
        ended = &mut outwards => return ended,
        passed = inwards => passed?,
    }
    let last = tokio::time::timeout(LAST_PATIENCE, outwards).await;
    last.unwrap_or_else(|late| Err(late.into()))
}

/// Until one side has said all. A side that takes nothing ends by its socket's own time limit.
async fn carry(from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        match from.try_read_buf(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(_) => to.write_all(&chunk).await?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
