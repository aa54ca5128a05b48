//! A viewer's connection over a WebSocket, whatever is spoken on it: it asks, writes down what comes, and pages back.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Interval, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::{AGAIN, Back, Cursor, PAGE, PATIENCE, SILENCE, Viewer};

/// How late what comes may be seen: woken for each event alone, viewers would take most of the machine's time.
const PAUSE: Duration = Duration::from_millis(50);

/// Bytes of one read: what a beat of a burst brings. Each is zeroed before, so that many would cost more than what comes.
const READ_BYTES: usize = 32 * 1024;

/// What is spoken, and what a viewer keeps of it to come back with.
pub(super) trait Wire {
    /// A question of this number.
    fn question(&self, number: u64, event: &str, data: &Value) -> String;

    /// Something is said; events are written down.
    fn on_text(&mut self, viewer: &Viewer, text: Utf8Bytes) -> anyhow::Result<Said>;
}

/// What was said.
pub(super) enum Said {
    /// The connection is a session's of this id.
    Connected(String),
    /// The question of this number is answered.
    Answered(u64, Value),
    /// A page of a channel came, which ends here.
    Page(String, Cursor),
    /// This is to be said in turn.
    Pinged(&'static str),
    Other,
}

/// One connection.
pub(super) struct Session<'a, W> {
    pub(super) viewer: &'a Viewer,
    pub(super) wire: &'a mut W,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    asked: u64,
    /// Now and then somebody looks whether anything came: a clock for each thing that comes would cost more than it.
    looks: Interval,
    has_heard: bool,
    /// By channel, what is still to be asked for; it outlives the connection.
    owed: &'a mut Owed,
}

/// By channel, what is still to be asked for.
pub(super) type Owed = BTreeMap<String, Back>;

impl<'a, W: Wire + Send> Session<'a, W> {
    pub(super) async fn connect(
        viewer: &'a Viewer,
        wire: &'a mut W,
        owed: &'a mut Owed,
        url: String,
    ) -> anyhow::Result<Self> {
        let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
        let connecting = connect_async_with_config(url, Some(config), true);
        let (socket, _) = timeout(PATIENCE, connecting).await??;
        Ok(Self {
            viewer,
            wire,
            socket,
            asked: 0,
            looks: interval(SILENCE / 2),
            has_heard: true,
            owed,
        })
    }

    /// Asks until the answer is a yes.
    pub(super) async fn ask(&mut self, event: &str, data: &Value) -> anyhow::Result<Value> {
        loop {
            self.asked += 1;
            let asked = self.asked;
            self.send(self.wire.question(asked, event, data)).await?;
            let answered = timeout(PATIENCE, self.answer(asked)).await;
            let answer = answered.with_context(|| format!("{event} is not answered"))??;
            if answer["success"] == true {
                return Ok(answer);
            }
            anyhow::ensure!(answer["code"] == "UNAVAILABLE", "{event}: {answer}");
            sleep(AGAIN).await;
        }
    }

    async fn answer(&mut self, asked: u64) -> anyhow::Result<Value> {
        loop {
            match self.next().await? {
                Said::Answered(of, answer) if of == asked => return Ok(answer),
                _ => {}
            }
        }
    }

    /// A channel is about to be joined: its page is to reach what the viewer has now.
    pub(super) fn owe(&mut self, channel: &str) {
        let known = self.viewer.newest(channel);
        let back = self.owed.entry(channel.to_owned()).or_default();
        // What was not reached before is to be reached yet.
        back.known = back.known.or(known);
    }

    /// Pages back in every channel from the page that came last, to the message that was the newest before it.
    pub(super) async fn page_back(&mut self) -> anyhow::Result<()> {
        while let Some((channel, back)) = self.owed.first_key_value() {
            let channel = channel.clone();
            let Some(before) = back.before() else {
                self.owed.remove(&channel);
                continue;
            };
            let asked = json!({ "channelId": channel, "before": before, "limit": PAGE });
            let answer = self.ask("get_messages", &asked).await?;
            let cursor = self.viewer.on_older(&answer)?;
            if let Some(back) = self.owed.get_mut(&channel) {
                back.cursor = cursor;
            }
        }
        Ok(())
    }

    /// Writes down what comes until the connection ends, which is an error. What comes within a [pause](PAUSE) is read
    /// together, as a program does that draws a page.
    pub(super) async fn watch(&mut self) -> anyhow::Result<()> {
        loop {
            while let Some(said) = self.next().now_or_never() {
                said?;
            }
            sleep(PAUSE).await;
            self.next().await?;
        }
    }

    pub(super) async fn send(&mut self, text: String) -> anyhow::Result<()> {
        timeout(PATIENCE, self.socket.send(Message::text(text))).await??;
        Ok(())
    }

    /// The next thing that is said. An end of the connection is an error.
    pub(super) async fn next(&mut self) -> anyhow::Result<Said> {
        let said = loop {
            tokio::select! {
                biased;
                said = self.socket.next() => break said,
                _ = self.looks.tick() => {
                    anyhow::ensure!(self.has_heard, "nothing came for long");
                    self.has_heard = false;
                }
            }
        };
        self.has_heard = true;
        let text = match said.context("the connection was cut")?? {
            Message::Text(text) => text,
            Message::Close(frame) => bail!("closed: {frame:?}"),
            _ => return Ok(Said::Other),
        };
        let said = self.wire.on_text(self.viewer, text)?;
        match &said {
            Said::Pinged(answer) => self.send((*answer).to_owned()).await?,
            Said::Page(channel, cursor) => {
                self.owed.entry(channel.clone()).or_default().cursor = cursor.clone();
            }
            _ => {}
        }
        Ok(said)
    }
}
