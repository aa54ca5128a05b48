//! A simulator, an HTTP client and raw gateway clients. Every dispatch that a client reads is also parsed with the types
//! of twilight, which the real consumer uses; a shape that they refuse fails the test that saw it.

use std::time::Duration;

use discord_sim::{Sim, SimConfig, SimHandle};
use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeSeed;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use twilight_model::gateway::event::GatewayEventDeserializer;

/// Every intent that needs no further permission, and the two privileged ones that the application has: not presences.
pub(crate) const ALL_INTENTS: u64 = ((1 << 26) - 1) & !(1 << 8);
/// Guilds, messages with their content, and reactions.
pub(crate) const PLAIN_INTENTS: u64 = 1 | 1 << 9 | 1 << 10 | 1 << 15;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a test waits to see that nothing comes.
const QUIET: Duration = Duration::from_millis(300);

pub(crate) struct World {
    pub(crate) sim: SimHandle,
    pub(crate) overview: Value,
    http: reqwest::Client,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(SimConfig::default()).await
    }

    pub(crate) async fn start_with(config: SimConfig) -> Self {
        // A second test in the same process finds it installed, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let sim = Sim::start(config).await.unwrap();
        let http = reqwest::Client::new();
        let url = format!("http://{}/sim/world", sim.addr());
        let overview = http.get(url).send().await.unwrap().json().await.unwrap();
        Self {
            sim,
            overview,
            http,
        }
    }

    /// The first guild's entry in the overview.
    pub(crate) fn guild(&self) -> &Value {
        &self.overview["guilds"][0]
    }

    pub(crate) fn guild_id(&self) -> &str {
        self.guild()["id"].as_str().unwrap()
    }

    pub(crate) fn channel(&self, name: &str) -> String {
        self.named("channels", "name", name)
    }

    pub(crate) fn role(&self, name: &str) -> String {
        self.named("roles", "name", name)
    }

    pub(crate) fn member(&self, username: &str) -> String {
        self.named("members", "username", username)
    }

    fn named(&self, list: &str, key: &str, name: &str) -> String {
        let entries = self.guild()[list].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry[key] == name);
        entry.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// A request to the REST API with the bot's token; the body is null where there is none.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.sim.api_url());
        let mut request = self.http.request(method, url);
        request = request.header("authorization", format!("Bot {}", self.sim.token()));
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// A GET with the bot's token, its answer with headers and all.
    pub(crate) async fn raw(&self, method: Method, path: &str) -> reqwest::Response {
        let request = self
            .http
            .request(method, format!("{}{path}", self.sim.api_url()));
        let token = format!("Bot {}", self.sim.token());
        request.header("authorization", token).send().await.unwrap()
    }

    /// A POST of a multipart form with this boundary.
    pub(crate) async fn upload(
        &self,
        path: &str,
        boundary: &str,
        body: String,
    ) -> reqwest::Response {
        let request = self.http.post(format!("{}{path}", self.sim.api_url()));
        let kind = format!("multipart/form-data; boundary={boundary}");
        let request = request.header("content-type", kind).body(body);
        let token = format!("Bot {}", self.sim.token());
        request.header("authorization", token).send().await.unwrap()
    }

    /// A GET that must be answered so.
    pub(crate) async fn get_status(&self, path: &str, expected: StatusCode) {
        let (status, body) = self.call(Method::GET, path, Value::Null).await;
        assert_eq!(status, expected, "{path}: {body}");
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.done(Method::GET, path, Value::Null).await
    }

    /// A request that must succeed.
    pub(crate) async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    /// A POST that makes something; answers its id.
    pub(crate) async fn create(&self, path: &str, body: Value) -> String {
        let made = self.done(Method::POST, path, body).await;
        made["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn post_message(&self, channel: &str, body: Value) -> Value {
        self.done(Method::POST, &format!("/channels/{channel}/messages"), body)
            .await
    }

    /// A request to `/sim`, or anywhere else without a token.
    pub(crate) async fn control(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> reqwest::Response {
        let url = format!("http://{}{path}", self.sim.addr());
        self.http
            .request(method, url)
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn fault(&self, body: Value) {
        let answer = self.control(Method::POST, "/sim/faults", body).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    pub(crate) async fn stats(&self) -> Value {
        self.control(Method::GET, "/sim/stats", Value::Null)
            .await
            .json()
            .await
            .unwrap()
    }

    pub(crate) fn gateway_url(&self) -> String {
        format!("ws://{}/gateway/?v=10&encoding=json", self.sim.addr())
    }

    /// A connection that has seen HELLO.
    pub(crate) async fn connect(&self) -> Gateway {
        let mut gateway = self.connect_silently().await.unwrap();
        let hello = gateway.next().await;
        assert_eq!(hello["op"], 10);
        assert_eq!(hello["d"]["heartbeat_interval"], 41_250);
        gateway
    }

    pub(crate) async fn connect_silently(&self) -> Result<Gateway, Error> {
        let (socket, _) = connect_async(self.gateway_url()).await?;
        Ok(Gateway {
            socket,
            token: self.sim.token(),
            session_id: String::new(),
            seq: 0,
        })
    }

    /// A session that has seen READY and all its guilds.
    pub(crate) async fn identified(&self, intents: u64) -> Gateway {
        let mut gateway = self.connect().await;
        gateway.identify(intents).await;
        let ready = gateway.next_named("READY").await;
        for _ in ready["d"]["guilds"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|_| intents & 1 == 1)
        {
            gateway.next_named("GUILD_CREATE").await;
        }
        gateway
    }

    /// A new connection that resumes the session of an old one.
    pub(crate) async fn resumed(&self, old: &Gateway) -> Gateway {
        let mut gateway = self.connect().await;
        gateway.session_id = old.session_id.clone();
        gateway.seq = old.seq;
        let resume =
            json!({ "token": gateway.token, "session_id": old.session_id, "seq": old.seq });
        gateway.send(json!({ "op": 6, "d": resume })).await;
        gateway
    }
}

pub(crate) struct Gateway {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    token: &'static str,
    pub(crate) session_id: String,
    /// The last sequence seen.
    pub(crate) seq: u64,
}

impl Gateway {
    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn identify(&mut self, intents: u64) {
        let identify = json!({ "token": self.token, "intents": intents, "properties": {} });
        self.send(json!({ "op": 2, "d": identify })).await;
    }

    pub(crate) async fn identify_as(&mut self, intents: u64, shard: [u64; 2]) {
        let identify =
            json!({ "token": self.token, "intents": intents, "properties": {}, "shard": shard });
        self.send(json!({ "op": 2, "d": identify })).await;
    }

    /// The next frame, whatever it is.
    pub(crate) async fn next_raw(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(PATIENCE, self.socket.next())
            .await
            .expect("a frame in time")
    }

    /// The text of the next text frame.
    pub(crate) async fn next_text(&mut self) -> String {
        match self
            .next_raw()
            .await
            .expect("the connection is open")
            .unwrap()
        {
            Message::Text(text) => text.to_string(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    /// The next text frame, checked: a dispatch carries the next sequence and a shape that twilight takes.
    pub(crate) async fn next(&mut self) -> Value {
        let text = self.next_text().await;
        let frame: Value = serde_json::from_str(&text).unwrap();
        if frame["op"] == 0 {
            let seq = frame["s"].as_u64().unwrap();
            assert_eq!(seq, self.seq + 1, "no gap in the sequence");
            self.seq = seq;
            // Of this one twilight expects a form that Discord does not document: `meta` tagged by the opcode's name.
            if frame["t"] != "RATE_LIMITED" {
                check_shape(&text);
            }
        }
        if frame["t"] == "READY" {
            let session_id = frame["d"]["session_id"].as_str();
            self.session_id = session_id.unwrap().into();
        }
        frame
    }

    pub(crate) async fn next_named(&mut self, name: &str) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["t"], name, "{frame}");
        frame
    }

    /// The code of the close frame, which must come next.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self
                .next_raw()
                .await
                .expect("a close frame")
                .expect("a close frame")
            {
                Message::Close(Some(frame)) => return frame.code.into(),
                Message::Close(None) => panic!("a close frame without a code"),
                _ => {}
            }
        }
    }

    pub(crate) async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(QUIET, self.socket.next())
            .await
            .is_err()
    }

    pub(crate) async fn leave(mut self, code: u16) -> Self {
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        self.socket.close(Some(frame)).await.unwrap();
        // The server's end of the connection: from here on it knows.
        while let Ok(Some(Ok(_))) = tokio::time::timeout(PATIENCE, self.socket.next()).await {}
        self
    }
}

/// Parses a dispatch with twilight's types.
fn check_shape(text: &str) {
    let event = GatewayEventDeserializer::from_json(text).expect("op, s and t are found");
    let parsed = event.deserialize(&mut serde_json::Deserializer::from_str(text));
    assert!(parsed.is_ok(), "{}\n{text}", parsed.unwrap_err());
}

/// Waits until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
