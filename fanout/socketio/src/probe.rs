//! The upgrade of a session that polls: a WebSocket shows that it works before the session moves to it.
//! Source: <https://socket.io/docs/v4/engine-io-protocol/#upgrade>. It promises that a session that stays where it is
//! does not notice a failed probe, and that the WebSocket's bytes behind the upgrade are not lost.

use std::rc::Rc;

use actix_rt::net::TcpStream;
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Duration, timeout},
};

use crate::{
    close::Close,
    connection::Connection,
    websocket::{self, Incoming, Reader, Violation},
    worker::Worker,
};

/// The longest packet of a probe is `2probe`; a client that sends more is none.
const PACKET_BYTES_MAX: usize = 64;

/// Bytes of one read.
const READ_BYTES: usize = 1024;

/// How long a WebSocket that is closed may take to hear the client's end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// How a probe goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Probed,
    Upgraded,
    Failed(Close),
}

impl From<Violation> for Step {
    fn from(violation: Violation) -> Self {
        Self::Failed(violation.close())
    }
}

/// Probes a WebSocket for a session, and lets the session go on over it, or closes it.
pub(crate) async fn run(
    worker: Rc<Worker>,
    connection: Option<Rc<Connection>>,
    stream: TcpStream,
    already_read: Vec<u8>,
) {
    let mut socket = Socket {
        stream,
        reader: Reader::default(),
        data: already_read,
    };
    let Some(connection) = connection.filter(|connection| connection.claim_upgrade()) else {
        return socket.close(Close::Policy).await;
    };
    let claim = Claim(&connection);
    let probing = timeout(worker.config().upgrade_timeout, socket.probe(&connection));
    let probed = tokio::select! {
        biased;
        () = worker.stopped() => Err(Close::GoingAway),
        probed = probing => probed.unwrap_or(Err(Close::Policy)),
    };
    match probed {
        Ok(()) => {
            let Socket { stream, reader, .. } = socket;
            // A session that has ended meanwhile drops both; the client sees the stream's end.
            connection.take_over(stream, reader);
        }
        Err(close) => {
            drop(claim);
            socket.close(close).await;
        }
    }
}

/// The one probe of a session; given back when dropped, unless the session has moved.
struct Claim<'a>(&'a Connection);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.on_upgrade_failed();
    }
}

struct Socket {
    stream: TcpStream,
    reader: Reader,
    data: Vec<u8>,
}

impl Socket {
    async fn probe(&mut self, connection: &Rc<Connection>) -> Result<(), Close> {
        let mut is_probed = false;
        loop {
            match self.next(is_probed).await? {
                Step::Probed => {
                    self.send(&websocket::text_frame(&["3probe"])).await?;
                    is_probed = true;
                    connection.on_probed();
                }
                Step::Upgraded => return Ok(()),
                Step::Failed(close) => return Err(close),
            }
        }
    }

    /// Reads until something has come.
    async fn next(&mut self, is_probed: bool) -> Result<Step, Close> {
        loop {
            let mut data = std::mem::take(&mut self.data);
            // The packet that is waited for ends the reading: what follows it stays in the reader.
            let on = |incoming: Incoming<'_>| step(incoming, is_probed).map_or(Ok(()), Err);
            if let Err(step) = self.reader.read(&mut data, PACKET_BYTES_MAX, on) {
                return Ok(step);
            }
            data.resize(READ_BYTES, 0);
            let length = self.stream.read(&mut data).await;
            let length = length.ok().filter(|&length| length > 0);
            data.truncate(length.ok_or(Close::Normal)?);
            self.data = data;
        }
    }

    async fn send(&mut self, frame: &Bytes) -> Result<(), Close> {
        let sent = self.stream.write_all(frame).await;
        sent.map_err(|_| Close::Normal)
    }

    /// Says goodbye and waits for the client's end, but not for long.
    async fn close(mut self, close: Close) {
        let goodbye = async {
            let frame = websocket::close_frame(Some(close.code()));
            self.stream.write_all(&frame).await?;
            self.stream.shutdown().await?;
            let mut data = [0; READ_BYTES];
            while self.stream.read(&mut data).await? > 0 {}
            std::io::Result::Ok(())
        };
        match timeout(CLOSE_TIMEOUT, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a probe broke while it was closed"),
            Err(_) => tracing::debug!("a probe's client did not close its end in time"),
        }
    }
}

/// What a frame of the client means.
fn step(incoming: Incoming<'_>, is_probed: bool) -> Option<Step> {
    match incoming {
        Incoming::Text("2probe") if !is_probed => Some(Step::Probed),
        Incoming::Text("5") if is_probed => Some(Step::Upgraded),
        Incoming::Close(_) => Some(Step::Failed(Close::Normal)),
        Incoming::Text(_) | Incoming::Binary(_) => Some(Step::Failed(Close::ProtocolError)),
        // Nobody pings before it may speak; a pong is nothing.
        Incoming::Ping(_) | Incoming::Pong => None,
    }
}
