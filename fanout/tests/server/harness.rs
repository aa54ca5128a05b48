//! A fanout of its own for each test, a guild whose events the test publishes, and the clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Embedded, EmbeddedSettings, Publication};
use fanout::auth::{Claims, Keys};
use fanout::token::TokenArgs;
use fanout::{Fanout, FanoutSettings};
use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use proto::event::{
    Channel, Event, Guild, GuildSnapshotBegin, GuildSnapshotEnd, GuildSnapshotPart, Member,
    MemberAnswer, MemberReply, MemberRequest, MemberStatus, Message, MessageDeleted, Overwrite,
    Role, User,
};
use proto::identity::{Dispatch, Identity};
use proto::{ChannelId, Envelope, GuildId, subject};
use reqwest::{Method, RequestBuilder};
use runtime::{Health, Lifecycle, Settings};
use serde_json::{Value, json};
use store::Store;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) const GUILD: u64 = 100;
pub(crate) const TEXT: u64 = 300;
/// Nobody sees it but member 9.
pub(crate) const HIDDEN: u64 = 301;
/// Members may see it, and not read what was said before.
pub(crate) const MUTE: u64 = 302;
pub(crate) const MEMBER: u64 = 2;
pub(crate) const INSIDER: u64 = 9;
/// Nobody can say whether they are a member.
pub(crate) const UNPLACED: u64 = 78;

const INSIDERS: u64 = 201;
const VIEW: u64 = 1 << 10;
const HISTORY: u64 = 1 << 16;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One running fanout.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) broker: Arc<Embedded>,
    pub(crate) store: Store,
    pub(crate) keys: Keys,
    pub(crate) life: Lifecycle,
    pub(crate) http: reqwest::Client,
    published: std::sync::atomic::AtomicU64,
    folder: Arc<tempfile::TempDir>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A fanout with these settings beside those that it needs, whose guild has come.
    pub(crate) async fn with(more: &[(&'static str, &str)]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let path = folder.path().join("events.db");
        let broker = Embedded::open(&path, EmbeddedSettings::default())
            .await
            .unwrap();
        let url = format!("sqlite://{}", folder.path().join("store.db").display());
        let store = Store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let (node, health) = Self::over(broker, store, folder, more);
        node.answer_for_members().await;
        node.snapshot().await;
        node.ready(&health).await;
        node
    }

    /// Another instance beside this one.
    pub(crate) async fn beside(&self) -> Self {
        self.beside_with(&[]).await
    }

    /// Another instance beside this one, with these settings.
    pub(crate) async fn beside_with(&self, more: &[(&'static str, &str)]) -> Self {
        let (broker, store) = (self.broker.clone(), self.store.clone());
        let (node, health) = Self::over(broker, store, self.folder.clone(), more);
        node.ready(&health).await;
        node
    }

    fn over(
        broker: Arc<Embedded>,
        store: Store,
        folder: Arc<tempfile::TempDir>,
        more: &[(&'static str, &str)],
    ) -> (Self, Health) {
        runtime::start::install_tls();
        let mut settings = Settings::default();
        let own = [
            ("PORT", "0"),
            ("SHUTDOWN_GRACE_MS", "0"),
            ("DRAIN_SECONDS", "0"),
            ("FRONTEND_URL", "https://front.example"),
        ];
        for (name, value) in own.iter().chain(more) {
            settings.set(name, *value);
        }
        if !more.iter().any(|(name, _)| *name == "JWT_JWKS_URL") {
            settings.set("JWT_SECRET", SECRET);
        }
        let fanout = FanoutSettings::read(&settings).unwrap();
        let (keys, life, health) = (fanout.keys.clone(), Lifecycle::new(), Health::new());
        let address = Fanout::new(
            fanout,
            broker.clone(),
            store.clone(),
            health.clone(),
            life.clone(),
        )
        .spawn()
        .unwrap();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let node = Self {
            address: SocketAddr::new([127, 0, 0, 1].into(), address.port()),
            broker,
            store,
            keys,
            life,
            http: http.build().unwrap(),
            published: std::sync::atomic::AtomicU64::new(0),
            folder,
        };
        (node, health)
    }

    async fn ready(&self, health: &Health) {
        let ready = tokio::time::timeout(PATIENCE, health.ready()).await;
        assert!(ready.is_ok(), "not ready: {:?}", health.unready());
    }

    /// Says of users 2 to 9 that they are members, as ingest would.
    async fn answer_for_members(&self) {
        let mut requests = self.broker.serve(subject::RPC_MEMBER).await.unwrap();
        tokio::spawn(async move {
            while let Some(answer) = requests.next().await {
                let request = MemberRequest::decode(answer.payload).unwrap();
                let status = match request.user_id {
                    MEMBER..=INSIDER => MemberStatus::Member,
                    UNPLACED => MemberStatus::Unavailable,
                    _ => MemberStatus::NotMember,
                };
                let answers = request.guild_ids.iter().map(|guild| MemberAnswer {
                    guild_id: *guild,
                    status: status.into(),
                    ..MemberAnswer::default()
                });
                let reply = MemberReply {
                    answers: answers.collect(),
                    recheck_after_ms: 0,
                };
                // Whoever asked may be gone.
                answer.reply.send(reply.encode_to_vec().into()).ok();
            }
        });
    }

    async fn snapshot(&self) {
        let version = "first".to_owned();
        let channels = [
            channel(TEXT, &[]),
            channel(HIDDEN, &[(GUILD, 0, VIEW), (INSIDERS, VIEW, 0)]),
            channel(MUTE, &[(GUILD, 0, HISTORY)]),
        ];
        let roles = [(GUILD, VIEW | HISTORY), (INSIDERS, 0)];
        let part = GuildSnapshotPart {
            version: version.clone(),
            roles: roles.map(|(id, permissions)| role(id, permissions)).into(),
            channels: channels.into(),
            members: (MEMBER..=INSIDER).map(member).collect(),
        };
        let begin = GuildSnapshotBegin {
            version: version.clone(),
            guild: Some(Guild {
                id: GUILD,
                name: "guild".into(),
                owner_id: 1,
                ..Guild::default()
            }),
            roles: 2,
            channels: 3,
            members: 8,
        };
        self.publish(None, Event::GuildSnapshotBegin(begin)).await;
        self.publish(None, Event::GuildSnapshotPart(part)).await;
        let end = GuildSnapshotEnd { version };
        self.publish(None, Event::GuildSnapshotEnd(end)).await;
    }

    /// Publishes an event, of a channel or of the guild's directory.
    pub(crate) async fn publish(&self, channel: Option<u64>, event: Event) {
        let number = &self.published;
        let sequence = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let dispatch = Dispatch {
            epoch: 1,
            shard: 0,
            sequence,
        };
        let envelope = Envelope {
            identity: Identity::Dispatch(dispatch, 0),
            trace: None,
            guild: GuildId::new(GUILD).unwrap(),
            channel: channel.map(|id| ChannelId::new(id).unwrap()),
            received_ms: 1,
            event,
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

    /// Posts a message.
    pub(crate) async fn say(&self, channel: u64, id: u64, content: &str) {
        let message = Message {
            id,
            channel_id: channel,
            content: content.into(),
            ..Message::default()
        };
        self.publish(Some(channel), Event::MessageCreated(message))
            .await;
    }

    pub(crate) async fn delete(&self, channel: u64, message_id: u64) {
        let deleted = MessageDeleted { message_id };
        self.publish(Some(channel), Event::MessageDeleted(deleted))
            .await;
    }

    /// Takes what everybody may see of a channel away.
    pub(crate) async fn hide(&self, id: u64) {
        let channel = channel(id, &[(GUILD, 0, VIEW)]);
        self.publish(None, Event::ChannelUpserted(channel)).await;
    }

    /// A token of these claims.
    pub(crate) fn signed(&self, claims: Claims) -> String {
        self.keys.sign(claims).unwrap()
    }

    /// A token of a user, valid for so long.
    pub(crate) fn token_for(&self, user: u64, expires: Duration) -> String {
        let arguments = TokenArgs {
            discord_id: user.to_string().parse().unwrap(),
            username: format!("user{user}"),
            channels: Vec::new(),
            private: false,
            expires: Some(expires),
        };
        arguments.sign(&self.keys, expires).unwrap()
    }

    pub(crate) fn token(&self, user: u64) -> String {
        self.token_for(user, Duration::from_hours(1))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request with a user's token.
    pub(crate) fn request(&self, method: Method, path: &str, user: u64) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
        request.bearer_auth(self.token(user)).timeout(PATIENCE)
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(self.url(path)).bearer_auth(token);
        self.asked(request.body(body.to_string())).await
    }

    /// The status and the JSON of a request's answer.
    pub(crate) async fn asked(&self, request: RequestBuilder) -> (u16, Value) {
        let answer = request.timeout(PATIENCE).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str, user: u64) -> (u16, Value) {
        self.asked(self.request(Method::GET, path, user)).await
    }

    /// Opens `/ws` with these headers.
    pub(crate) async fn try_ws(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Ws, tungstenite::Error> {
        let url = format!("ws://{}{path}", self.address);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Ws { socket })
    }

    /// Opens `/ws` as a user, by the first message.
    pub(crate) async fn ws(&self, user: u64) -> Ws {
        self.ws_by(&self.token(user)).await
    }

    pub(crate) async fn ws_by(&self, token: &str) -> Ws {
        let mut ws = self.try_ws("/ws", &[]).await.unwrap();
        let auth = json!({ "event": "auth", "data": { "token": token }, "id": 0 });
        ws.send(&auth).await;
        assert_eq!(ws.until_ack(0).await, json!({ "success": true }));
        ws
    }
}

/// A plain WebSocket.
pub(crate) struct Ws {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Ws {
    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_frame(Frame::text(message.to_string())).await;
    }

    pub(crate) async fn send_frame(&mut self, frame: Frame) {
        self.socket.send(frame).await.unwrap();
    }

    /// The next message, or the code that it was closed with.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match frame.expect("something comes in time") {
                Some(Ok(Frame::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Frame::Close(close))) => {
                    return Err(close.map_or(1005, |close| close.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// The next message that this is true of.
    async fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next().await.expect("the socket is open");
            if is_it(&message) {
                return message;
            }
        }
    }

    /// The next event of this name.
    pub(crate) async fn until_event(&mut self, name: &str) -> Value {
        self.until(|message| message["event"] == name).await
    }

    /// The answer to a request.
    pub(crate) async fn until_ack(&mut self, id: u64) -> Value {
        self.until(|message| message["ack"] == id).await["data"].take()
    }

    /// The code that it is closed with.
    pub(crate) async fn until_closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    pub(crate) async fn join(&mut self, channel: u64, offset: Option<&str>) {
        let data = json!({ "channelId": channel.to_string(), "offset": offset });
        self.send(&json!({ "event": "join_channel", "data": data, "id": 1 }))
            .await;
    }
}

/// One event of an event stream.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Sent {
    pub(crate) event: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

/// An open event stream.
pub(crate) struct Events {
    response: reqwest::Response,
    text: String,
    pub(crate) retry_ms: Option<u64>,
}

impl Events {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
            retry_ms: None,
        }
    }

    /// The next event; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let sent = read_block(block, &mut self.retry_ms);
                self.text = rest.to_owned();
                match sent {
                    Some(sent) => return Some(sent),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("something comes in time").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    pub(crate) async fn until(&mut self, name: &str) -> Sent {
        loop {
            let sent = self.next().await.expect("the stream is open");
            if sent.event == name {
                return sent;
            }
        }
    }
}

fn read_block(block: &str, retry_ms: &mut Option<u64>) -> Option<Sent> {
    let mut sent = Sent::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => sent.event = name.to_owned(),
            Some(("id", id)) => sent.id = Some(id.to_owned()),
            Some(("data", data)) => sent.data = serde_json::from_str(data).unwrap(),
            Some(("retry", ms)) => *retry_ms = Some(ms.parse().unwrap()),
            _ => assert!(line.starts_with(':'), "{line}"),
        }
    }
    (!sent.event.is_empty()).then_some(sent)
}

fn channel(id: u64, overwrites: &[(u64, u64, u64)]) -> Channel {
    let overwrites = overwrites.iter().map(|(id, allow, deny)| Overwrite {
        id: *id,
        member: false,
        allow: *allow,
        deny: *deny,
    });
    Channel {
        id,
        name: format!("channel {id}"),
        overwrites: overwrites.collect(),
        ..Channel::default()
    }
}

fn role(id: u64, permissions: u64) -> Role {
    Role {
        id,
        permissions,
        ..Role::default()
    }
}

fn member(id: u64) -> Member {
    Member {
        user: Some(User {
            id,
            username: format!("user{id}"),
            ..User::default()
        }),
        roles: if id == INSIDER {
            vec![INSIDERS]
        } else {
            vec![]
        },
        ..Member::default()
    }
}
