//! Socket.IO 5 over Engine.IO 4 over WebSocket, as little of it as a viewer needs.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::session::{Owed, Said, Session, Wire};
use super::{Cursor, PAGE, PATIENCE, Viewer, is_read_later, name_in, on_event};
use crate::tape::Seen;

/// The namespace, as it stands before what is said in it.
const NAMESPACE: &str = "/discord,";

/// What a viewer comes back with.
#[derive(Default)]
struct Kept {
    pid: Option<String>,
    joined: BTreeSet<String>,
}

/// Watches until it is ended from outside.
pub(super) async fn run(viewer: Viewer) {
    let (mut kept, mut owed) = (Kept::default(), Owed::new());
    for tries in 0.. {
        let port = viewer.port(tries);
        // Whatever ended it, the viewer comes back: that is what it is for.
        let ended = connection(&viewer, &mut kept, &mut owed, port).await;
        viewer.on_cut(ended).await;
    }
}

async fn connection(
    viewer: &Viewer,
    kept: &mut Kept,
    owed: &mut Owed,
    port: u16,
) -> anyhow::Result<()> {
    let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
    let mut session = Session::connect(viewer, kept, owed, url).await?;
    session.begin().await?;
    for channel in &viewer.channels {
        if !session.wire.joined.contains(channel) {
            session.join(channel).await?;
        }
    }
    session.page_back().await?;
    session.watch().await
}

impl Session<'_, Kept> {
    async fn begin(&mut self) -> anyhow::Result<()> {
        let offset = self.viewer.tapes.open().offsets.get("").cloned();
        let auth = json!({
            "token": self.viewer.token,
            "pid": self.wire.pid,
            "offset": offset,
        });
        self.send(format!("40{NAMESPACE}{auth}")).await?;
        let pid = timeout(PATIENCE, self.connected()).await;
        let pid = pid.context("CONNECT is not answered")??;
        if self.wire.pid.as_ref() == Some(&pid) {
            self.viewer.on_recovered(self.wire.joined.iter());
        } else {
            if self.wire.pid.is_some() {
                self.viewer.tapes.open().on_anew();
            }
            self.wire.joined.clear();
        }
        self.wire.pid = Some(pid);
        Ok(())
    }

    async fn connected(&mut self) -> anyhow::Result<String> {
        loop {
            if let Said::Connected(pid) = self.next().await? {
                return Ok(pid);
            }
        }
    }

    async fn join(&mut self, channel: &str) -> anyhow::Result<()> {
        self.owe(channel);
        let asked = json!({ "channelId": channel, "limit": PAGE });
        self.ask("join_channel", &asked).await?;
        self.wire.joined.insert(channel.to_owned());
        Ok(())
    }
}

impl Wire for Kept {
    fn question(&self, number: u64, event: &str, data: &Value) -> String {
        let arguments = json!([event, data]);
        format!("42{NAMESPACE}{number}{arguments}")
    }

    fn on_text(&mut self, viewer: &Viewer, text: Utf8Bytes) -> anyhow::Result<Said> {
        let said = text.as_str();
        if said == "2" {
            return Ok(Said::Pinged("3"));
        }
        let Some((packet, rest)) = said.split_once(NAMESPACE) else {
            return Ok(Said::Other);
        };
        let name = rest.strip_prefix("[\"").unwrap_or_default();
        if packet == "42" && is_read_later(name_in(name)) {
            viewer.tapes.say(text, |seen, at, text| {
                let (_, rest) = text
                    .split_once(NAMESPACE)
                    .context("it is of the namespace")?;
                read_event(seen, at, rest).map(drop)
            });
            return Ok(Said::Other);
        }
        match packet {
            "40" => {
                let answer: Value = serde_json::from_str(rest)?;
                let pid = answer["pid"].as_str().unwrap_or_default();
                Ok(Said::Connected(pid.to_owned()))
            }
            "42" => {
                let page = read_event(&mut viewer.tapes.open(), Instant::now(), rest)?;
                Ok(page.map_or(Said::Other, |(channel, cursor)| Said::Page(channel, cursor)))
            }
            "43" => {
                let (id, arguments) = rest.split_at(rest.find('[').context("it has arguments")?);
                let arguments: [Value; 1] = serde_json::from_str(arguments)?;
                let [answer] = arguments;
                Ok(Said::Answered(id.parse()?, answer))
            }
            other => bail!("{other}: {rest}"),
        }
    }
}

fn read_event(
    seen: &mut Seen,
    at: Instant,
    arguments: &str,
) -> anyhow::Result<Option<(String, Cursor)>> {
    let arguments: Vec<&RawValue> = serde_json::from_str(arguments)?;
    let [name, data, rest @ ..] = arguments.as_slice() else {
        bail!("an event without data");
    };
    let name: &str = serde_json::from_str(name.get())?;
    if let [offset] = rest {
        let offset = serde_json::from_str(offset.get())?;
        seen.offsets.insert(String::new(), offset);
    }
    on_event(seen, at, name, data)
}
