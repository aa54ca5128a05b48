//! One viewer: it joins its channels, writes down what it is shown, and comes back whenever it is cut off.
//!
//! It does what the contract asks of a client and no more: it comes back with what it was given to come back with, and
//! where that does not do, it joins again and pages back to what it has.

mod session;
mod socketio;
mod stream;
mod websocket;

use std::time::Duration;

use rand::RngExt as _;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::book::Kind;
use crate::posts::number_of;
use crate::tape::{Entry, Row, Seen, Tapes};

/// How a viewer watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Socket.IO over WebSocket.
    SocketIo,
    /// `GET /ws`.
    WebSocket,
    /// Server-Sent Events, one connection a channel.
    Stream,
}

/// Messages of a page.
const PAGE: u32 = 100;

/// Before a question is asked again that could not be answered now.
const AGAIN: Duration = Duration::from_millis(200);

/// Between two tries to connect, with its jitter; official clients wait longer.
const BACK: std::ops::Range<u64> = 100..500;

/// How long an answer may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection on which nothing came for so long is given up: the services ping every 5 s here.
const SILENCE: Duration = Duration::from_secs(12);

/// Whom a viewer is.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    /// Where instances listen, the viewer's own first.
    pub(crate) ports: Vec<u16>,
    pub(crate) token: String,
    pub(crate) channels: Vec<String>,
    pub(crate) tapes: Tapes,
}

/// A viewer that watches; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Watching {
    /// How it watches.
    pub(crate) transport: Transport,
    /// What it has seen.
    pub(crate) tapes: Tapes,
    /// Channels that it joins.
    pub(crate) channels: usize,
    tasks: Vec<AbortHandle>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Viewer {
    /// Watches from now on.
    pub(crate) fn watch(self, transport: Transport) -> Watching {
        let tapes = self.tapes.clone();
        let channels = self.channels.len();
        let tasks = match transport {
            Transport::SocketIo => vec![tokio::spawn(socketio::run(self)).abort_handle()],
            Transport::WebSocket => vec![tokio::spawn(websocket::run(self)).abort_handle()],
            Transport::Stream => {
                let channels = self.channels.clone().into_iter();
                let streams =
                    channels.map(|channel| tokio::spawn(stream::run(self.clone(), channel)));
                streams.map(|stream| stream.abort_handle()).collect()
            }
        };
        Watching {
            transport,
            tapes,
            channels,
            tasks,
        }
    }

    /// The instance of this try.
    fn port(&self, tries: usize) -> u16 {
        let place = tries % self.ports.len().max(1);
        self.ports.get(place).copied().unwrap_or_default()
    }

    /// The newest message that was shown in a channel before now.
    fn newest(&self, channel: &str) -> Option<u64> {
        let seen = self.tapes.open();
        seen.tapes.get(channel).and_then(crate::tape::Tape::newest)
    }

    /// The viewer was cut off.
    async fn on_cut(&self, ended: anyhow::Result<()>) {
        {
            let mut seen = self.tapes.open();
            seen.on_cut();
            seen.last_word = ended
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
        }
        let wait = rand::rng().random_range(BACK);
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }

    /// The viewer is back with everything, in these channels.
    fn on_recovered<'a>(&self, channels: impl Iterator<Item = &'a String>) {
        let mut seen = self.tapes.open();
        for channel in channels {
            seen.push(Instant::now(), channel, Entry::Recovered);
        }
        seen.on_recovered();
    }

    /// An older page, which was asked for; where the one before it begins.
    fn on_older(&self, answer: &Value) -> anyhow::Result<Cursor> {
        let text = answer.to_string();
        let page: Page<'_> = serde_json::from_str(&text)?;
        let (rows, cursor) = page.rows()?;
        let (mut seen, at) = (self.tapes.open(), Instant::now());
        seen.push(at, &page.channel_id, Entry::Older(rows));
        on_shown(&mut seen, at, &page.channel_id, &page.reacted()?);
        Ok(cursor)
    }
}

/// Writes an event down that came at this moment; a page's channel and where it ends downwards, if it was one.
fn on_event(
    seen: &mut Seen,
    at: Instant,
    name: &str,
    data: &RawValue,
) -> anyhow::Result<Option<(String, Cursor)>> {
    let data = data.get();
    match name {
        "message" | "message_update" => {
            let message: Message<'_> = serde_json::from_str(data)?;
            let (id, number) = message.row()?;
            let kind = if name == "message" {
                Kind::Create
            } else {
                Kind::Update
            };
            seen.push(at, &message.channel_id, Entry::Event(kind, id, number));
            on_shown(seen, at, &message.channel_id, &[message.reacted()?]);
        }
        "message_delete" => {
            let deleted: Deleted<'_> = serde_json::from_str(data)?;
            let event = Entry::Event(Kind::Delete, deleted.message_id.parse()?, 0);
            seen.push(at, &deleted.channel_id, event);
        }
        "reaction_update" => {
            let changed: Changed<'_> = serde_json::from_str(data)?;
            let count = counted(&changed.reactions);
            let reacted = Entry::Reactions(changed.message_id.parse()?, count);
            seen.push(at, &changed.channel_id, reacted);
        }
        "messages_bulk" => {
            let page: Page<'_> = serde_json::from_str(data)?;
            let (rows, cursor) = page.rows()?;
            seen.push(at, &page.channel_id, Entry::Page(rows, page.has_more));
            on_shown(seen, at, &page.channel_id, &page.reacted()?);
            return Ok(Some((page.channel_id.into_owned(), cursor)));
        }
        _ => {}
    }
    Ok(None)
}

/// Of messages that were just shown, those that have reactions.
fn on_shown(seen: &mut Seen, at: Instant, channel: &str, reacted: &[(u64, u64)]) {
    for (message, count) in reacted.iter().filter(|(_, count)| *count > 0) {
        seen.push(at, channel, Entry::Reactions(*message, *count));
    }
}

/// Whether an event of this name can be read later: nothing follows from it now. What is no event has none.
fn is_read_later(name: &str) -> bool {
    !matches!(name, "" | "messages_bulk")
}

/// The name that a text begins with, up to its quotation mark.
fn name_in(text: &str) -> &str {
    text.split_once('"').map_or("", |(name, _)| name)
}

/// Where a page ends downwards.
#[derive(Clone, Debug, Default)]
struct Cursor {
    next: Option<String>,
    oldest: Option<u64>,
}

/// What a viewer still has to ask for, which may take it several connections.
#[derive(Clone, Debug, Default)]
struct Back {
    cursor: Cursor,
    /// The newest message that it had before; none if it had nothing.
    known: Option<u64>,
}

impl Back {
    /// Where to page on, if the last page does not reach what the viewer had.
    fn before(&self) -> Option<String> {
        let reaches = match (self.known, self.cursor.oldest) {
            (None, _) => true,
            (Some(known), Some(oldest)) => oldest <= known,
            (Some(_), None) => false,
        };
        self.cursor.next.clone().filter(|_| !reaches)
    }
}

/// The channel that an event is of; none where it names none.
fn channel_of(data: &RawValue) -> anyhow::Result<Option<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Of {
        channel_id: Option<String>,
    }
    let text = data.get();
    if !text.starts_with('{') {
        return Ok(None);
    }
    Ok(serde_json::from_str::<Of>(text)?.channel_id)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    id: std::borrow::Cow<'a, str>,
    content: std::borrow::Cow<'a, str>,
    channel_id: std::borrow::Cow<'a, str>,
    reactions: Vec<Reaction>,
}

impl Message<'_> {
    fn row(&self) -> anyhow::Result<Row> {
        Ok((self.id.parse()?, number_of(&self.content)))
    }

    /// It, and how often it was reacted to.
    fn reacted(&self) -> anyhow::Result<(u64, u64)> {
        Ok((self.id.parse()?, counted(&self.reactions)))
    }
}

#[derive(Deserialize)]
struct Reaction {
    count: u64,
}

fn counted(reactions: &[Reaction]) -> u64 {
    reactions.iter().map(|one| one.count).sum()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changed<'a> {
    message_id: std::borrow::Cow<'a, str>,
    channel_id: std::borrow::Cow<'a, str>,
    reactions: Vec<Reaction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deleted<'a> {
    message_id: std::borrow::Cow<'a, str>,
    channel_id: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    channel_id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    has_more: bool,
    next_cursor: Option<String>,
}

impl Page<'_> {
    fn rows(&self) -> anyhow::Result<(Vec<Row>, Cursor)> {
        let rows: anyhow::Result<Vec<Row>> = self.messages.iter().map(Message::row).collect();
        let rows = rows?;
        let cursor = Cursor {
            next: self.next_cursor.clone(),
            oldest: rows.iter().map(|(id, _)| *id).min(),
        };
        Ok((rows, cursor))
    }

    fn reacted(&self) -> anyhow::Result<Vec<(u64, u64)>> {
        self.messages.iter().map(Message::reacted).collect()
    }
}
