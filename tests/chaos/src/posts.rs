//! Who posts: one author a channel, who waits for each answer, so that the order of the acts is certain.
//!
//! Of a hundred acts 70 are messages, 20 edits and 10 deletions, drawn from a seed; between them come reactions. Each is
//! written into the book. Knows Discord's API alone.

use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::book::{Act, Book, Kind};

/// Messages that an author may still edit, delete or react to.
const RECENT_MAX: usize = 60;

/// The reaction that is put and taken.
const EMOJI: &str = "%F0%9F%91%8D";

/// How to reach the simulated Discord.
#[derive(Clone, Debug)]
pub(crate) struct Discord {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) http: reqwest::Client,
}

impl Discord {
    /// Calls the API; what it answers, null where that is nothing.
    pub(crate) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let url = format!("{}/api/v10{path}", self.url);
        let request = self.http.request(method, url);
        let mut request = request.header("Authorization", format!("Bot {}", self.token));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Controls the simulator (contract.md §6).
    pub(crate) async fn control(&self, path: &str, body: Value) -> anyhow::Result<()> {
        let url = format!("{}/sim/{path}", self.url);
        let answer = self.http.post(url).json(&body).send().await?;
        answer.error_for_status()?;
        Ok(())
    }

    /// Lets something of Discord's go wrong.
    pub(crate) async fn fault(&self, fault: Value) -> anyhow::Result<()> {
        self.control("faults", fault).await
    }

    /// `GET /sim/stats`.
    pub(crate) async fn stats(&self) -> anyhow::Result<Value> {
        let url = format!("{}/sim/stats", self.url);
        Ok(self.http.get(url).send().await?.json().await?)
    }
}

/// How much is posted.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Acts a second, over all channels.
    pub rate: u32,
    /// Bytes of a text.
    pub bytes: usize,
    /// What the acts are drawn from.
    pub seed: u64,
}

/// Authors at work.
#[derive(Debug)]
pub(crate) struct Posts {
    authors: JoinSet<anyhow::Result<Author>>,
    stop: watch::Sender<bool>,
}

/// Who posts in one channel.
#[derive(Debug)]
pub(crate) struct Author {
    discord: Discord,
    channel: String,
    book: Book,
    chance: StdRng,
    bytes: usize,
    number: u32,
    recent: Vec<Recent>,
}

#[derive(Clone, Copy, Debug)]
struct Recent {
    message: u64,
    is_liked: bool,
}

impl Author {
    pub(crate) fn new(discord: &Discord, channel: &str, book: &Book, pace: Pace) -> Self {
        let salt: u64 = channel.parse().unwrap_or_default();
        Self {
            discord: discord.clone(),
            channel: channel.to_owned(),
            book: book.clone(),
            chance: StdRng::seed_from_u64(pace.seed ^ salt),
            bytes: pace.bytes,
            number: 0,
            recent: Vec::new(),
        }
    }

    /// Where it posts.
    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// One act, as it is drawn.
    pub(crate) async fn act(&mut self) -> anyhow::Result<()> {
        let drawn = self.chance.random_range(0..100);
        match (drawn, self.recent.is_empty()) {
            (70..90, false) => self.edit().await?,
            (90.., false) => self.delete().await?,
            _ => self.post().await?,
        }
        if self.chance.random_range(0..10) == 0 {
            self.react().await?;
        }
        Ok(())
    }

    /// A message; its act's number, and its id.
    pub(crate) async fn post(&mut self) -> anyhow::Result<()> {
        let path = format!("/channels/{}/messages", self.channel);
        let (text, asked) = (self.text(), Instant::now());
        let body = Some(json!({ "content": text }));
        let answer = self
            .discord
            .call(reqwest::Method::POST, &path, body)
            .await?;
        let id = answer["id"].as_str().context("a message has an id")?;
        let message = id.parse()?;
        self.write(Kind::Create, message, asked);
        self.recent.push(Recent {
            message,
            is_liked: false,
        });
        if self.recent.len() > RECENT_MAX {
            self.recent.remove(0);
        }
        Ok(())
    }

    async fn edit(&mut self) -> anyhow::Result<()> {
        let Recent { message, .. } = self.recent[self.chance.random_range(0..self.recent.len())];
        let path = format!("/channels/{}/messages/{message}", self.channel);
        let (text, asked) = (self.text(), Instant::now());
        let body = Some(json!({ "content": text }));
        self.discord
            .call(reqwest::Method::PATCH, &path, body)
            .await?;
        self.write(Kind::Update, message, asked);
        Ok(())
    }

    async fn delete(&mut self) -> anyhow::Result<()> {
        let place = self.chance.random_range(0..self.recent.len());
        let Recent { message, .. } = self.recent.remove(place);
        let path = format!("/channels/{}/messages/{message}", self.channel);
        self.number += 1;
        let asked = Instant::now();
        self.discord
            .call(reqwest::Method::DELETE, &path, None)
            .await?;
        self.write(Kind::Delete, message, asked);
        Ok(())
    }

    async fn react(&mut self) -> anyhow::Result<()> {
        if self.recent.is_empty() {
            return Ok(());
        }
        let place = self.chance.random_range(0..self.recent.len());
        let Recent { message, is_liked } = self.recent[place];
        let path = format!(
            "/channels/{}/messages/{message}/reactions/{EMOJI}/@me",
            self.channel
        );
        let method = if is_liked {
            reqwest::Method::DELETE
        } else {
            reqwest::Method::PUT
        };
        self.discord.call(method, &path, None).await?;
        self.recent[place].is_liked = !is_liked;
        let count = u64::from(!is_liked);
        self.book.react(&self.channel, message, count);
        Ok(())
    }

    /// The text of the next act, which names it.
    fn text(&mut self) -> String {
        self.number += 1;
        let mut text = format!("n={};", self.number);
        // Letters that no compressor makes small: what they cost is what a text of people's costs at the most.
        while text.len() < self.bytes {
            text.push(char::from(self.chance.random_range(b'a'..=b'z')));
        }
        text
    }

    fn write(&self, kind: Kind, message: u64, asked: Instant) {
        let act = Act {
            kind,
            message,
            number: self.number,
            asked,
            done: Instant::now(),
        };
        self.book.write(&self.channel, act);
    }
}

impl Posts {
    /// Lets these authors act at their pace, all together, until they are told to stop.
    pub(crate) fn begin(authors: Vec<Author>, pace: Pace) -> Self {
        let count = u32::try_from(authors.len().max(1)).unwrap_or(u32::MAX);
        let period = Duration::from_secs(1) * count / pace.rate.max(1);
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for mut author in authors {
            let stopped = stop.subscribe();
            let offset = period.mul_f64(author.chance.random_range(0.0..1.0));
            tasks.spawn(async move {
                tokio::time::sleep(offset).await;
                let mut turns = interval(period);
                turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
                loop {
                    turns.tick().await;
                    if *stopped.borrow() {
                        break;
                    }
                    author.act().await?;
                }
                Ok(author)
            });
        }
        Self {
            authors: tasks,
            stop,
        }
    }

    /// Stops them; who they are, in no order.
    pub(crate) async fn end(mut self) -> anyhow::Result<Vec<Author>> {
        self.stop.send_replace(true);
        let mut authors = Vec::new();
        while let Some(author) = self.authors.join_next().await {
            authors.push(author??);
        }
        Ok(authors)
    }
}

/// The number that a text names; 0 for one that is not ours.
pub(crate) fn number_of(text: &str) -> u32 {
    let number = text
        .strip_prefix("n=")
        .and_then(|rest| rest.split_once(';'));
    number
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or_default()
}
