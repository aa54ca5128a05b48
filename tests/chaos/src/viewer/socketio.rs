//! Socket.IO 5 over Engine.IO 4 over WebSocket, as little of it as a viewer needs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Cursor, PAGE, PATIENCE, SILENCE, Viewer};

/// The namespace, as it stands before what is said in it.
const NAMESPACE: &str = "/discord,";

/// What a viewer comes back with.
#[derive(Default)]
struct Kept {
    pid: Option<String>,
    offset: Option<String>,
    joined: BTreeSet<String>,
}

/// One connection.
struct Session<'a> {
    viewer: &'a Viewer,
    kept: &'a mut Kept,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    asked: u64,
    /// Where the pages end that were not asked to go on from yet.
    cursors: BTreeMap<String, Cursor>,
}

/// What was said, as far as it ends a wait.
enum Said {
    Connected(String),
    Acknowledged(u64, Value),
    Other,
}

/// Watches until it is ended from outside.
pub(super) async fn run(viewer: Viewer) {
    let mut kept = Kept::default();
    for tries in 0.. {
        let port = viewer.port(tries);
        // Whatever ended it, the viewer comes back: that is what it is for.
        let ended = connection(&viewer, &mut kept, port).await;
        viewer.on_cut(ended).await;
    }
}

async fn connection(viewer: &Viewer, kept: &mut Kept, port: u16) -> anyhow::Result<()> {
    let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
    let (socket, _) = timeout(PATIENCE, connect_async(url)).await??;
    let mut session = Session {
        viewer,
        kept,
        socket,
        asked: 0,
        cursors: BTreeMap::new(),
    };
    session.connect().await?;
    for channel in &viewer.channels {
        if !session.kept.joined.contains(channel) {
            session.join(channel).await?;
        }
    }
    loop {
        session.next().await?;
    }
}

impl Session<'_> {
    async fn connect(&mut self) -> anyhow::Result<()> {
        let auth = json!({
            "token": self.viewer.token,
            "pid": self.kept.pid,
            "offset": self.kept.offset,
        });
        self.send(format!("40{NAMESPACE}{auth}")).await?;
        let pid = timeout(PATIENCE, self.connected()).await;
        let pid = pid.context("CONNECT is not answered")??;
        if self.kept.pid.as_ref() == Some(&pid) {
            self.viewer.on_recovered(self.kept.joined.iter());
        } else {
            if self.kept.pid.is_some() {
                self.viewer.tapes.open().on_anew();
            }
            self.kept.joined.clear();
        }
        self.kept.pid = Some(pid);
        Ok(())
    }

    /// Joins a channel, and pages back to what the viewer had of it.
    async fn join(&mut self, channel: &str) -> anyhow::Result<()> {
        let known = self.viewer.newest(channel);
        self.ask(
            "join_channel",
            json!({ "channelId": channel, "limit": PAGE }),
        )
        .await?;
        self.kept.joined.insert(channel.to_owned());
        let mut cursor = self.cursors.remove(channel).unwrap_or_default();
        while let Some(before) = cursor.before(known) {
            let asked = json!({ "channelId": channel, "before": before, "limit": PAGE });
            let answer = self.ask("get_messages", asked).await?;
            cursor = self.viewer.on_older(&answer)?;
        }
        Ok(())
    }

    /// Asks until the answer is a yes.
    async fn ask(&mut self, event: &str, payload: Value) -> anyhow::Result<Value> {
        loop {
            self.asked += 1;
            let asked = self.asked;
            let arguments = json!([event, payload]);
            self.send(format!("42{NAMESPACE}{asked}{arguments}"))
                .await?;
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
                Said::Acknowledged(of, answer) if of == asked => return Ok(answer),
                _ => {}
            }
        }
    }

    async fn connected(&mut self) -> anyhow::Result<String> {
        loop {
            if let Said::Connected(pid) = self.next().await? {
                return Ok(pid);
            }
        }
    }

    async fn send(&mut self, text: String) -> anyhow::Result<()> {
        timeout(PATIENCE, self.socket.send(Message::text(text))).await??;
        Ok(())
    }

    /// The next thing that is said; events are written down. An end of the connection is an error.
    async fn next(&mut self) -> anyhow::Result<Said> {
        let said = timeout(SILENCE, self.socket.next()).await?;
        let Message::Text(text) = said.context("the connection was cut")?? else {
            return Ok(Said::Other);
        };
        let text = text.as_str();
        if text == "2" {
            self.send("3".to_owned()).await?;
            return Ok(Said::Other);
        }
        let Some((packet, rest)) = text.split_once(NAMESPACE) else {
            return Ok(Said::Other);
        };
        match packet {
            "40" => {
                let answer: Value = serde_json::from_str(rest)?;
                let pid = answer["pid"].as_str().unwrap_or_default();
                Ok(Said::Connected(pid.to_owned()))
            }
            "42" => self.on_event(rest).map(|()| Said::Other),
            "43" => {
                let (id, arguments) = rest.split_at(rest.find('[').context("it has arguments")?);
                let arguments: [Value; 1] = serde_json::from_str(arguments)?;
                let [answer] = arguments;
                Ok(Said::Acknowledged(id.parse()?, answer))
            }
            other => bail!("{other}: {rest}"),
        }
    }

    fn on_event(&mut self, arguments: &str) -> anyhow::Result<()> {
        let arguments: Vec<&RawValue> = serde_json::from_str(arguments)?;
        let [name, data, rest @ ..] = arguments.as_slice() else {
            bail!("an event without data");
        };
        let name: &str = serde_json::from_str(name.get())?;
        if let [offset] = rest {
            self.kept.offset = Some(serde_json::from_str(offset.get())?);
        }
        if let Some((channel, cursor)) = self.viewer.on_event(name, data)? {
            self.cursors.insert(channel, cursor);
        }
        Ok(())
    }
}
