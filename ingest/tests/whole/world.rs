//! The world that ingest runs in: its simulated Discord, its broker and its database, each of one test alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::{Broker, Clock, Embedded, EmbeddedSettings, Freshness, Publication};
use discord_sim::{Sim, SimConfig, SimHandle};
use ingest::{Ingest, IngestError, IngestSettings, Status};
use prost::Message as _;
use proto::envelope::Opened;
use proto::event::{Event, Guild, MemberAnswer, MemberReply, MemberRequest, Message};
use proto::identity::{Dispatch, Identity};
use proto::{ChannelId, Envelope, GuildId, MessageId, Subject, subject};
use runtime::{Health, Lifecycle, Settings};
use serde_json::{Value, json};
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// How long anything that must happen may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what} did not come");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A gateway that closes each connection as soon as it stands; how often it was dialled.
pub(crate) async fn closing_gateway() -> (String, watch::Receiver<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ws://{}", listener.local_addr().unwrap());
    let (count, dialled) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.send_modify(|count| *count += 1);
            if let Ok(mut socket) = accept_async(stream).await {
                let frame = CloseFrame {
                    code: 4000.into(),
                    reason: "".into(),
                };
                socket.close(Some(frame)).await.ok();
            }
        }
    });
    (address, dialled)
}

/// What is around the service.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) broker: Arc<Embedded>,
    pub(crate) guild: GuildId,
    pub(crate) channel: ChannelId,
    /// A member of the guild who is no bot.
    pub(crate) human: u64,
    pub(crate) token: String,
    pub(crate) buffer_bytes_max: usize,
    pub(crate) gateway_url: Option<String>,
    /// Further settings of the service.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// How far the broker's clock is ahead.
    pub(crate) ahead_ms: Arc<AtomicU64>,
    sim: SimHandle,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

/// A running service.
pub(crate) struct Service {
    pub(crate) status: Status,
    pub(crate) health: Health,
    life: Lifecycle,
    ended: oneshot::Receiver<Result<(), IngestError>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_members(0).await
    }

    /// A world whose first guild has so many members more.
    pub(crate) async fn with_members(extra_members: usize) -> Self {
        Self::of(SimConfig {
            extra_members,
            ..SimConfig::default()
        })
        .await
    }

    /// A world in which Discord recommends so many shards.
    pub(crate) async fn with_shards(shards: u64) -> Self {
        Self::of(SimConfig {
            shards,
            ..SimConfig::default()
        })
        .await
    }

    async fn of(config: SimConfig) -> Self {
        runtime::start::install_tls();
        let sim = Sim::start(config).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.sqlite");
        let url = format!("sqlite://{}", folder.path().join("store.sqlite").display());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let world = sim.world();
        let ahead_ms = Arc::new(AtomicU64::new(0));
        let settings = EmbeddedSettings {
            clock: Clock::new({
                let ahead_ms = Arc::clone(&ahead_ms);
                move || Clock::system().now_ms() + ahead_ms.load(Ordering::Relaxed)
            }),
            ..EmbeddedSettings::default()
        };
        let guild = &world["guilds"][0];
        let id = |value: &Value| value["id"].as_str().unwrap().parse::<u64>().unwrap();
        let all = |name: &str| guild[name].as_array().unwrap().iter();
        let is_text = |channel: &&Value| channel["type"] == 0 && channel["private"] == false;
        let is_human =
            |member: &&Value| member["bot"] == false && member["id"] != guild["owner_id"];
        Self {
            store: Store::open(&url).await.unwrap(),
            broker: Embedded::open(&log, settings).await.unwrap(),
            guild: GuildId::new(id(guild)).unwrap(),
            channel: ChannelId::new(id(all("channels").find(is_text).unwrap())).unwrap(),
            human: id(all("members").find(is_human).unwrap()),
            token: sim.token().to_owned(),
            buffer_bytes_max: 128 << 20,
            gateway_url: None,
            settings: Vec::new(),
            ahead_ms,
            sim,
            http,
            _folder: folder,
        }
    }

    /// The settings of the service.
    pub(crate) fn read_settings(&self) -> IngestSettings {
        let mut settings = Settings::default();
        settings.set("DISCORD_BOT_TOKEN", self.token.as_str());
        settings.set("DISCORD_API_URL", self.url("/api/v10"));
        if let Some(url) = &self.gateway_url {
            settings.set("DISCORD_GATEWAY_URL", url.as_str());
        }
        for (name, value) in &self.settings {
            settings.set(name, value.as_str());
        }
        let mut settings = IngestSettings::from(&settings).unwrap();
        // Smaller than an operator may set it.
        settings.buffer_bytes_max = self.buffer_bytes_max;
        settings
    }

    /// Starts the service.
    pub(crate) fn start(&self) -> Service {
        let settings = self.read_settings();
        let (health, life) = (Health::new(), Lifecycle::new());
        let broker = Arc::clone(&self.broker) as Arc<dyn Broker>;
        let (of_health, of_life) = (health.clone(), life.clone());
        let service = Ingest::new(settings, broker, self.store.clone(), of_health, of_life);
        let service = service.unwrap();
        Service {
            status: service.status(),
            health,
            life,
            ended: service.spawn(),
        }
    }

    /// Ends the rest of the world.
    pub(crate) async fn end(self) {
        self.broker.close().await;
        self.store.close().await;
        self.sim.stop().await.unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.sim.addr())
    }

    async fn send(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(self.url(path)).json(body);
        let request = request.header("Authorization", format!("Bot {}", self.token));
        let response = request.send().await.unwrap();
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        response.json().await.unwrap_or_default()
    }

    /// What the simulated Discord says of itself.
    pub(crate) fn overview(&self) -> Value {
        self.sim.world()
    }

    /// A request without a body, such as a reaction.
    pub(crate) async fn call(&self, method: reqwest::Method, path: &str) {
        let request = self.http.request(method, self.url(path));
        let request = request.header("Authorization", format!("Bot {}", self.token));
        let status = request.send().await.unwrap().status();
        assert!(status.is_success(), "{path}: {status}");
    }

    /// A request with a body.
    pub(crate) async fn change(&self, method: reqwest::Method, path: &str, body: &Value) {
        let request = self.http.request(method, self.url(path)).json(body);
        let request = request.header("Authorization", format!("Bot {}", self.token));
        let status = request.send().await.unwrap().status();
        assert!(status.is_success(), "{path}: {status}");
    }

    /// What Discord's API says.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.http.get(self.url(path));
        let request = request.header("Authorization", format!("Bot {}", self.token));
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Somebody types.
    pub(crate) async fn types(&self, user: u64) {
        let path = format!("/api/v10/channels/{}/typing", self.channel);
        self.send(&path, &json!({ "author_id": user.to_string() }))
            .await;
    }

    /// Posts a message and returns its id.
    pub(crate) async fn post(&self, content: &str) -> u64 {
        let path = format!("/api/v10/channels/{}/messages", self.channel);
        let posted = self.send(&path, &json!({ "content": content })).await;
        posted["id"].as_str().unwrap().parse().unwrap()
    }

    /// Posts a message with a file: its id, and the file's link.
    pub(crate) async fn attach(&self, draft: &Value) -> (u64, String) {
        let path = format!("/api/v10/channels/{}/messages", self.channel);
        let posted = self.send(&path, draft).await;
        let url = posted["attachments"][0]["url"].as_str().unwrap().to_owned();
        (posted["id"].as_str().unwrap().parse().unwrap(), url)
    }

    /// Goes on in a channel in which nobody has said anything.
    pub(crate) async fn open_channel(&mut self) {
        let path = format!("/api/v10/guilds/{}/channels", self.guild);
        let opened = self
            .send(&path, &json!({ "name": "fresh", "type": 0 }))
            .await;
        self.channel = opened["id"].as_str().unwrap().parse().unwrap();
    }

    /// Says something somewhere, as the bot or as somebody else.
    pub(crate) async fn say(&self, channel: &str, content: &str, author: Option<u64>) {
        let path = format!("/api/v10/channels/{channel}/messages");
        let mut draft = json!({ "content": content });
        if let Some(author) = author {
            draft["author_id"] = json!(author.to_string());
        }
        self.send(&path, &draft).await;
    }

    /// Puts a guild into the stream, as an earlier session would have left it there.
    pub(crate) async fn publish_guild(&self, guild: GuildId) {
        let event = Event::GuildUpdated(Guild {
            id: guild.get(),
            ..Guild::default()
        });
        let dispatch = Dispatch {
            epoch: 1,
            shard: 0,
            sequence: guild.get(),
        };
        let envelope = Envelope {
            identity: Identity::Dispatch(dispatch, 0),
            trace: None,
            guild,
            channel: None,
            received_ms: 0,
            event,
        };
        let publication = Publication {
            subject: envelope.subject(),
            identity: envelope.identity.to_string(),
            trace: None,
            payload: envelope.encode().payload,
        };
        self.broker.publish(&publication, 0).await.unwrap();
    }

    /// Puts a message into the stream, as an earlier session would have left it there.
    pub(crate) async fn publish_message(&self, message: Message) {
        let id = MessageId::new(message.id).unwrap();
        let envelope = Envelope {
            identity: Identity::Create(id),
            trace: None,
            guild: self.guild,
            channel: Some(self.channel),
            received_ms: 0,
            event: Event::MessageCreated(message),
        };
        let publication = Publication {
            subject: envelope.subject(),
            identity: envelope.identity.to_string(),
            trace: None,
            payload: envelope.encode().payload,
        };
        let last = self.broker.last_of(publication.subject).await.unwrap();
        let expected = last.map_or(0, |stored| stored.sequence);
        self.broker.publish(&publication, expected).await.unwrap();
    }

    /// A channel of the guild with this index, in which everybody may write.
    pub(crate) fn channel_of(&self, guild: usize) -> ChannelId {
        let overview = self.overview();
        let channels = overview["guilds"][guild]["channels"].as_array().unwrap();
        let is_text = |channel: &&Value| channel["type"] == 0 && channel["private"] == false;
        let id = &channels.iter().find(is_text).unwrap()["id"];
        id.as_str().unwrap().parse().unwrap()
    }

    /// Begins a load of numbered messages.
    pub(crate) async fn load(&self, count: u32, rate: u32) {
        self.load_in(self.channel, count, rate).await;
    }

    /// Begins such a load somewhere.
    pub(crate) async fn load_in(&self, channel: ChannelId, count: u32, rate: u32) {
        let channel = channel.to_string();
        let load = json!({ "channelId": channel, "rate": rate, "count": count, "bytes": 400 });
        self.send("/sim/load", &load).await;
    }

    /// What the bot's application may do, as its owner sets it in the portal.
    pub(crate) async fn application(&self, patch: &Value) {
        self.send("/sim/application", patch).await;
    }

    /// What the gateway says and demands before a session begins.
    pub(crate) async fn gateway(&self, patch: &Value) {
        self.send("/sim/gateway", patch).await;
    }

    /// What is recorded of the session of a shard.
    pub(crate) async fn record(&self, shard: u32) -> Value {
        let bytes = self.broker.value(&format!("session-{shard}")).await;
        let bytes = bytes.unwrap();
        bytes.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) async fn fault(&self, fault: &Value) {
        self.send("/sim/faults", fault).await;
    }

    pub(crate) async fn stats(&self) -> Value {
        let response = self.http.get(self.url("/sim/stats")).send().await.unwrap();
        response.json().await.unwrap()
    }

    /// All events that the stream holds.
    pub(crate) async fn events(&self) -> Vec<Event> {
        self.read(None).await
    }

    async fn read(&self, subject: Option<Subject>) -> Vec<Event> {
        let mut events = Vec::new();
        let mut from = 1;
        loop {
            let read = self.broker.read(from, subject, 500, Freshness::Leader);
            let stored = read.await.unwrap().events;
            let Some(last) = stored.last() else {
                return events;
            };
            from = last.sequence + 1;
            let opened = stored
                .iter()
                .map(|event| Opened::decode(event.payload.clone()));
            events.extend(opened.map(|opened| opened.unwrap().event));
        }
    }

    /// Waits until so much of a load has arrived.
    pub(crate) async fn arriving(&self, count: usize) {
        self.arriving_in(self.channel, count).await;
    }

    /// Waits until so much of a load somewhere has arrived.
    pub(crate) async fn arriving_in(&self, channel: ChannelId, count: usize) {
        eventually("the first of the load", async || {
            let events = self.read(Some(Subject::Channel(channel))).await;
            events.iter().filter_map(number).count() >= count
        })
        .await;
    }

    /// Waits until the load has arrived, and checks that it did so once and in order, in the stream and in SQL.
    pub(crate) async fn arrived(&self, count: u32) {
        self.arrived_in(self.channel, count).await;
    }

    /// The same of a load somewhere.
    pub(crate) async fn arrived_in(&self, channel: ChannelId, count: u32) {
        let mut numbers = Vec::new();
        eventually("the whole load", async || {
            let events = self.read(Some(Subject::Channel(channel))).await;
            numbers = events.iter().filter_map(number).collect();
            numbers.len() >= count as usize
        })
        .await;
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
        let last = self.broker.state().await.unwrap().last;
        eventually("the load in SQL", async || {
            let position = self.store.position().await;
            position.is_ok_and(|position| position.sequence >= last)
        })
        .await;
        let page = self.store.page(channel, None, 100).await.unwrap();
        let texts = page
            .messages
            .iter()
            .filter_map(|message| numbered(&message.content));
        let stored: Vec<u32> = texts.collect();
        // A page holds 100, and other messages of the channel may be among them.
        let all: Vec<u32> = (1..=count).collect();
        let newest = &all[all.len() - stored.len()..];
        assert!(stored.len() > 10 && stored == newest, "{stored:?}");
    }

    /// Asks as a fanout does; none if nobody answers in time.
    pub(crate) async fn ask_member(&self, user_id: u64, guild_ids: &[u64]) -> Option<MemberAnswer> {
        let reply = self.ask_members(user_id, guild_ids).await?;
        reply.answers.into_iter().next()
    }

    /// The whole answer about a user.
    pub(crate) async fn ask_members(&self, user_id: u64, guild_ids: &[u64]) -> Option<MemberReply> {
        let request = MemberRequest {
            user_id,
            guild_ids: guild_ids.to_vec(),
        };
        let payload = request.encode_to_vec().into();
        let patience = Duration::from_secs(2);
        let reply = self
            .broker
            .request(subject::RPC_MEMBER, payload, patience)
            .await
            .ok()?;
        Some(MemberReply::decode(reply).unwrap())
    }
}

fn number(event: &Event) -> Option<u32> {
    match event {
        Event::MessageCreated(message) => numbered(&message.content),
        _ => None,
    }
}

/// The `n` of a message of the load.
fn numbered(content: &str) -> Option<u32> {
    content.strip_prefix("n=")?.split(';').next()?.parse().ok()
}

impl Service {
    /// Waits until the gateway is connected.
    pub(crate) async fn connected(&self) {
        eventually("the gateway's connection", async || {
            self.status.is_connected()
        })
        .await;
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) {
        self.life.soft.cancel();
        self.life.finish(PATIENCE).await;
        assert!(!self.life.hard.is_cancelled(), "it did not end in time");
        self.ended.await.unwrap().unwrap();
        let outcomes = &self.status.json()["outcomes"];
        assert_eq!(outcomes["pending"], 0, "{outcomes}");
    }

    /// Ends it as a kill does: nothing is saved, given back or closed.
    pub(crate) async fn kill(self) {
        self.life.hard.cancel();
        timeout(PATIENCE, self.ended)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) async fn failure(self) -> IngestError {
        let ended = timeout(PATIENCE, self.ended).await.unwrap().unwrap();
        self.life.finish(PATIENCE).await;
        ended.unwrap_err()
    }
}
