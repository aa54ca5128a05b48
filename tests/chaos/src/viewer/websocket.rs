//! `GET /ws`: events as JSON, each channel gone on from by its own offset.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::session::{Owed, Said, Session, Wire};
use super::{Cursor, PAGE, Viewer, is_read_later, name_in, on_event};
use crate::tape::{Entry, Seen};

#[derive(Deserialize)]
struct Frame<'a> {
    event: Option<&'a str>,
    #[serde(borrow)]
    data: &'a RawValue,
    offset: Option<&'a str>,
    ack: Option<u64>,
}

/// What a viewer comes back with is on its tapes.
struct Frames;

/// Watches until it is ended from outside.
pub(super) async fn run(viewer: Viewer) {
    let mut owed = Owed::new();
    for tries in 0.. {
        let port = viewer.port(tries);
        // Whatever ended it, the viewer comes back: that is what it is for.
        let ended = connection(&viewer, &mut owed, port).await;
        viewer.on_cut(ended).await;
    }
}

async fn connection(viewer: &Viewer, owed: &mut Owed, port: u16) -> anyhow::Result<()> {
    let url = format!("ws://127.0.0.1:{port}/ws");
    let mut frames = Frames;
    let mut session = Session::connect(viewer, &mut frames, owed, url).await?;
    let auth = json!({ "event": "auth", "data": { "token": viewer.token } });
    session.send(auth.to_string()).await?;
    for channel in &viewer.channels {
        session.join(channel).await?;
    }
    session.page_back().await?;
    session.watch().await
}

impl Session<'_, Frames> {
    /// Goes on where the viewer was in a channel, or joins it anew.
    async fn join(&mut self, channel: &str) -> anyhow::Result<()> {
        self.owe(channel);
        let offset = self.viewer.tapes.open().offsets.get(channel).cloned();
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

impl Wire for Frames {
    fn question(&self, number: u64, event: &str, data: &Value) -> String {
        json!({ "event": event, "data": data, "id": number }).to_string()
    }

    fn on_text(&mut self, viewer: &Viewer, text: Utf8Bytes) -> anyhow::Result<Said> {
        let name = text.strip_prefix(r#"{"event":""#).unwrap_or_default();
        if is_read_later(name_in(name)) {
            let reading = |seen: &mut Seen, at, text: &str| {
                read_event(seen, at, &serde_json::from_str(text)?).map(drop)
            };
            viewer.tapes.say(text, reading);
            return Ok(Said::Other);
        }
        let frame: Frame<'_> = serde_json::from_str(&text)?;
        let (mut seen, at) = (viewer.tapes.open(), Instant::now());
        if let Some(ack) = frame.ack {
            let answer: Value = serde_json::from_str(frame.data.get())?;
            // What was missed follows the promise, so that it is written down in between.
            if answer["recovered"] == true
                && let Some(channel) = answer["channelId"].as_str()
            {
                seen.push(at, channel, Entry::Recovered);
                seen.on_recovered();
            }
            return Ok(Said::Answered(ack, answer));
        }
        let page = read_event(&mut seen, at, &frame)?;
        Ok(page.map_or(Said::Other, |(channel, cursor)| Said::Page(channel, cursor)))
    }
}

fn read_event(
    seen: &mut Seen,
    at: Instant,
    frame: &Frame<'_>,
) -> anyhow::Result<Option<(String, Cursor)>> {
    let name = frame.event.context("a frame has a name")?;
    let channel = super::channel_of(frame.data)?;
    if let (Some(offset), Some(channel)) = (frame.offset, channel) {
        seen.offsets.insert(channel, offset.to_owned());
    }
    on_event(seen, at, name, frame.data)
}
