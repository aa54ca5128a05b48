//! `GET /ws`: events as JSON, each channel gone on from by its own offset.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::session::{Owed, Said, Session, Wire};
use super::{PAGE, Viewer};
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

/// Watches until it is ended from outside.
pub(super) async fn run(viewer: Viewer) {
    let (mut offsets, mut owed) = (Offsets::new(), Owed::new());
    for tries in 0.. {
        let port = viewer.port(tries);
        // Whatever ended it, the viewer comes back: that is what it is for.
        let ended = connection(&viewer, &mut offsets, &mut owed, port).await;
        viewer.on_cut(ended).await;
    }
}

async fn connection(
    viewer: &Viewer,
    offsets: &mut Offsets,
    owed: &mut Owed,
    port: u16,
) -> anyhow::Result<()> {
    let url = format!("ws://127.0.0.1:{port}/ws");
    let mut session = Session::connect(viewer, offsets, owed, url).await?;
    let auth = json!({ "event": "auth", "data": { "token": viewer.token } });
    session.send(auth.to_string()).await?;
    for channel in &viewer.channels {
        session.join(channel).await?;
    }
    session.page_back().await?;
    session.watch().await
}

impl Session<'_, Offsets> {
    /// Goes on where the viewer was in a channel, or joins it anew.
    async fn join(&mut self, channel: &str) -> anyhow::Result<()> {
        self.owe(channel);
        let offset = self.wire.get(channel).cloned();
        let mut asked = json!({ "channelId": channel, "limit": PAGE });
        if let Some(offset) = &offset {
            asked["offset"] = json!(offset);
        }
        let answer = self.ask("join_channel", &asked).await?;
        if offset.is_some() && answer["recovered"] != true {
            self.viewer.tapes.open().on_anew();
        }
        Ok(())
    }
}

impl Wire for Offsets {
    fn question(&self, number: u64, event: &str, data: &Value) -> String {
        json!({ "event": event, "data": data, "id": number }).to_string()
    }

    fn on_text(&mut self, viewer: &Viewer, text: &str) -> anyhow::Result<Said> {
        let frame: Frame<'_> = serde_json::from_str(text)?;
        let data = frame.data.context("a frame has data")?;
        if let Some(ack) = frame.ack {
            let answer: Value = serde_json::from_str(data.get())?;
            // What was missed follows the promise, so that it is written down in between.
            if answer["recovered"] == true
                && let Some(channel) = answer["channelId"].as_str()
            {
                viewer.tapes.push(channel, Entry::Recovered);
                viewer.tapes.open().on_recovered();
            }
            return Ok(Said::Answered(ack, answer));
        }
        let name = frame.event.context("a frame has a name")?;
        let channel = super::channel_of(data)?;
        if let (Some(offset), Some(channel)) = (frame.offset, channel) {
            self.insert(channel, offset.to_owned());
        }
        let page = viewer.on_event(name, data)?;
        Ok(page.map_or(Said::Other, |(channel, cursor)| Said::Page(channel, cursor)))
    }
}
