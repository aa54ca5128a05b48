//! Server-Sent Events of one channel, gone on from by `Last-Event-ID`.

use anyhow::Context as _;
use reqwest::StatusCode;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout};

use super::{AGAIN, Back, Cursor, PAGE, PATIENCE, SILENCE, Viewer, is_read_later, on_event};
use crate::tape::Seen;

/// One channel's stream, over all its connections.
struct Reader {
    viewer: Viewer,
    channel: String,
    http: reqwest::Client,
    last_id: Option<String>,
    /// What is still to be asked for.
    owed: Option<Back>,
}

/// Watches until it is ended from outside.
pub(super) async fn run(viewer: Viewer, channel: String) {
    let mut reader = Reader {
        viewer,
        channel,
        http: reqwest::Client::new(),
        last_id: None,
        owed: None,
    };
    for tries in 0.. {
        let port = reader.viewer.port(tries);
        // Whatever ended it, the viewer comes back: that is what it is for.
        let ended = reader.connection(port).await;
        reader.viewer.on_cut(ended).await;
    }
}

/// An event of a stream, as its lines say it.
struct Event<'a> {
    name: &'a str,
    data: &'a str,
    id: Option<&'a str>,
}

impl<'a> Event<'a> {
    fn of(text: &'a str) -> Self {
        let (mut name, mut data, mut id) = ("message", "", None);
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("event", rest)) => name = rest,
                Some(("data", rest)) => data = rest,
                Some(("id", rest)) => id = Some(rest),
                _ => {}
            }
        }
        Self { name, data, id }
    }

    fn read(&self, seen: &mut Seen, at: Instant) -> anyhow::Result<Option<(String, Cursor)>> {
        let data: &RawValue = serde_json::from_str(self.data)?;
        on_event(seen, at, self.name, data)
    }
}

impl Reader {
    async fn connection(&mut self, port: u16) -> anyhow::Result<()> {
        let url = format!(
            "http://127.0.0.1:{port}/api/channels/{}/stream",
            self.channel
        );
        let request = self.http.get(url).bearer_auth(&self.viewer.token);
        let request = match &self.last_id {
            Some(id) => request.header("Last-Event-ID", id),
            None => request,
        };
        let answer = timeout(PATIENCE, request.send()).await??;
        let mut answer = answer.error_for_status()?;
        // In a quiet channel nothing may come for long.
        self.viewer.tapes.open().on_back();
        self.page_back(port).await?;
        let (mut text, mut is_first) = (Vec::new(), true);
        loop {
            let chunk = timeout(SILENCE, answer.chunk()).await??;
            text.extend_from_slice(&chunk.context("the stream ended")?);
            let end = text.windows(2).rposition(|two| two == b"\n\n");
            let rest = text.split_off(end.map_or(0, |end| end + 2));
            let events = String::from_utf8(std::mem::replace(&mut text, rest))?;
            for event in events.split_terminator("\n\n") {
                self.on_event(event, &mut is_first, port).await?;
            }
        }
    }

    async fn on_event(
        &mut self,
        event: &str,
        is_first: &mut bool,
        port: u16,
    ) -> anyhow::Result<()> {
        let said = Event::of(event);
        let Event { name, data, id } = said;
        anyhow::ensure!(name != "error", "{data}");
        if data.is_empty() {
            return Ok(());
        }
        let is_page = name == "messages_bulk";
        // State has no offset and says nothing of how the stream began.
        if (is_page || id.is_some()) && std::mem::take(is_first) && self.last_id.is_some() {
            if is_page {
                self.viewer.tapes.open().on_anew();
            } else {
                self.viewer.on_recovered(std::iter::once(&self.channel));
            }
        }
        self.last_id = id.map(str::to_owned).or(self.last_id.take());
        if is_read_later(name) {
            self.viewer.tapes.say(event.into(), |seen, at, event| {
                Event::of(event).read(seen, at).map(drop)
            });
            return Ok(());
        }
        let known = is_page.then(|| self.viewer.newest(&self.channel)).flatten();
        let page = said.read(&mut self.viewer.tapes.open(), Instant::now())?;
        if let Some((_, cursor)) = page {
            // What was not reached before is to be reached yet.
            let known = self.owed.take().and_then(|back| back.known).or(known);
            self.owed = Some(Back { cursor, known });
            self.page_back(port).await?;
        }
        Ok(())
    }

    /// Pages back to what the viewer had.
    async fn page_back(&mut self, port: u16) -> anyhow::Result<()> {
        while let Some(before) = self.owed.as_ref().and_then(Back::before) {
            let path = format!("/api/channels/{}/messages", self.channel);
            let url = format!("http://127.0.0.1:{port}{path}?before={before}&limit={PAGE}");
            let request = self.http.get(url).bearer_auth(&self.viewer.token);
            let answer = timeout(PATIENCE, request.send()).await??;
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                sleep(AGAIN).await;
                continue;
            }
            let answer = answer.error_for_status()?.json().await?;
            let cursor = self.viewer.on_older(&answer)?;
            if let Some(back) = &mut self.owed {
                back.cursor = cursor;
            }
        }
        self.owed = None;
        Ok(())
    }
}
