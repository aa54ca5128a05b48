//! `GET /ws`: events as JSON, each channel gone on from by its own offset.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Cursor, PAGE, PATIENCE, SILENCE, Viewer};
use crate::tape::Entry;

#[derive(Deserialize)]
struct Frame<'a> {
    event: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    offset: Option<&'a str>,
    ack: Option<u64>,
}

/// By channel, the last offset that came.
type Offsets = BTreeMap<String, String>;

struct Session<'a> {
    viewer: &'a Viewer,
    offsets: &'a mut Offsets,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    asked: u64,
    cursors: BTreeMap<String, Cursor>,
}

/// Watches until it is ended from outside.
pub(super) async fn run(viewer: Viewer) {
    let mut offsets = Offsets::new();
    for tries in 0.. {
        let port = viewer.port(tries);
        // Whatever ended it, the viewer comes back: that is what it is for.
        let ended = connection(&viewer, &mut offsets, port).await;
        viewer.on_cut(ended).await;
    }
}

async fn connection(viewer: &Viewer, offsets: &mut Offsets, port: u16) -> anyhow::Result<()> {
    let url = format!("ws://127.0.0.1:{port}/ws");
    let (socket, _) = timeout(PATIENCE, connect_async(url)).await??;
    let mut session = Session {
        viewer,
        offsets,
        socket,
        asked: 0,
        cursors: BTreeMap::new(),
    };
    let auth = json!({ "event": "auth", "data": { "token": viewer.token } });
    session.send(&auth).await?;
    for channel in &viewer.channels {
        session.join(channel).await?;
    }
    loop {
        session.next().await?;
    }
}

impl Session<'_> {
    async fn join(&mut self, channel: &str) -> anyhow::Result<()> {
        let known = self.viewer.newest(channel);
        let offset = self.offsets.get(channel).cloned();
        let mut asked = json!({ "channelId": channel, "limit": PAGE });
        if let Some(offset) = &offset {
            asked["offset"] = json!(offset);
        }
        let answer = self.ask("join_channel", asked).await?;
        if answer["recovered"] == true {
            return Ok(());
        }
        if offset.is_some() {
            self.viewer.tapes.open().on_anew();
        }
        let mut cursor = self.cursors.remove(channel).unwrap_or_default();
        while let Some(before) = cursor.before(known) {
            let asked = json!({ "channelId": channel, "before": before, "limit": PAGE });
            let answer = self.ask("get_messages", asked).await?;
            cursor = self.viewer.on_older(&answer)?;
        }
        Ok(())
    }

    async fn ask(&mut self, event: &str, data: Value) -> anyhow::Result<Value> {
        loop {
            self.asked += 1;
            let asked = self.asked;
            let frame = json!({ "event": event, "data": data, "id": asked });
            self.send(&frame).await?;
            let answered = timeout(PATIENCE, self.answer(asked)).await;
            let answer = answered.with_context(|| format!("{event} is not answered"))??;
            if answer["success"] == true {
                return Ok(answer);
            }
            anyhow::ensure!(answer["code"] == "UNAVAILABLE", "{event}: {answer}");
            tokio::time::sleep(super::Duration::from_millis(200)).await;
        }
    }

    async fn answer(&mut self, asked: u64) -> anyhow::Result<Value> {
        loop {
            match self.next().await? {
                Some((of, answer)) if of == asked => return Ok(answer),
                _ => {}
            }
        }
    }

    async fn send(&mut self, frame: &Value) -> anyhow::Result<()> {
        let text = Message::text(frame.to_string());
        timeout(PATIENCE, self.socket.send(text)).await??;
        Ok(())
    }

    /// The next frame; an acknowledgement, if it was one. An end of the connection is an error.
    async fn next(&mut self) -> anyhow::Result<Option<(u64, Value)>> {
        let said = timeout(SILENCE, self.socket.next()).await?;
        let text = match said.context("the connection was cut")?? {
            Message::Text(text) => text,
            Message::Close(frame) => bail!("closed: {frame:?}"),
            _ => return Ok(None),
        };
        let frame: Frame<'_> = serde_json::from_str(text.as_str())?;
        let data = frame.data.context("a frame has data")?;
        if let Some(ack) = frame.ack {
            let answer: Value = serde_json::from_str(data.get())?;
            // What was missed follows the promise, so that it is written down in between.
            if answer["recovered"] == true
                && let Some(channel) = answer["channelId"].as_str()
            {
                self.viewer.tapes.push(channel, Entry::Recovered);
                self.viewer.tapes.open().on_recovered();
            }
            return Ok(Some((ack, answer)));
        }
        let name = frame.event.context("a frame has a name")?;
        let channel = super::channel_of(data)?;
        if let (Some(offset), Some(channel)) = (frame.offset, channel) {
            self.offsets.insert(channel, offset.to_owned());
        }
        if let Some((channel, cursor)) = self.viewer.on_event(name, data)? {
            self.cursors.insert(channel, cursor);
        }
        Ok(None)
    }
}
