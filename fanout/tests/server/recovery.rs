//! Connection state recovery on the wire, as an official client of Socket.IO asks for it: on this instance or another.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::harness::{HIDDEN, INSIDER, MEMBER, MUTE, Node, PATIENCE, TEXT, Ws};
use crate::redis_server::RedisServer;

/// A connected client, and what it comes back with.
struct Client {
    ws: Ws,
    /// The answer to its CONNECT.
    sid: String,
    pid: Option<String>,
    offset: Option<String>,
    acks: u64,
}

impl Client {
    async fn connect(node: &Node, auth: &Value) -> Result<Self, Value> {
        let path = "/socket.io/?EIO=4&transport=websocket";
        let mut ws = node.try_ws(path, &[]).await.unwrap();
        ws.send_frame(Frame::text(format!("40/discord,{auth}")))
            .await;
        let answer = packet(&mut ws, "40/discord,", "44/discord,").await?;
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        Ok(Self {
            sid: text("sid").unwrap(),
            pid: text("pid"),
            ws,
            offset: None,
            acks: 0,
        })
    }

    async fn start(node: &Node, user: u64, channels: &[u64]) -> Self {
        let auth = json!({ "token": node.token(user) });
        let mut client = Self::connect(node, &auth).await.unwrap();
        for channel in channels {
            let joined = client
                .ask("join_channel", &json!(channel.to_string()))
                .await;
            assert_eq!(joined["success"], true, "{joined}");
        }
        client
    }

    /// What it sends when it reconnects.
    fn auth(&self, token: &str) -> Value {
        json!({ "token": token, "pid": self.pid, "offset": self.offset })
    }

    /// Comes back, as whoever has this token.
    async fn back(&self, node: &Node, token: &str) -> Self {
        Self::connect(node, &self.auth(token)).await.unwrap()
    }

    async fn is_back(&self, node: &Node, token: &str) -> bool {
        let back = self.back(node, token).await;
        let is_same = (back.pid == self.pid, back.sid == self.sid);
        assert!(is_same.0 == is_same.1, "both or none");
        is_same.0
    }

    /// The next event and its object. Remembers the offset, as clients do.
    async fn next(&mut self) -> (String, Value) {
        let event = packet(&mut self.ws, "42/discord,", "41").await.unwrap();
        let mut event: Vec<Value> = serde_json::from_value(event).unwrap();
        if event.len() > 2
            && let Some(Value::String(offset)) = event.pop()
        {
            self.offset = Some(offset);
        }
        let name = event[0].as_str().unwrap().to_owned();
        (name, event[1].take())
    }

    async fn until(&mut self, name: &str) -> Value {
        loop {
            let (own, data) = self.next().await;
            if own == name {
                return data;
            }
        }
    }

    /// The ids of the next messages that it is told of, and of no others. Nothing else than state comes between.
    async fn messages(&mut self, count: usize) -> Vec<(String, String)> {
        let mut told = Vec::new();
        while told.len() < count {
            let (name, data) = self.next().await;
            let id = match name.as_str() {
                "message" => &data["id"],
                "message_delete" => &data["messageId"],
                "messages_bulk" => panic!("a page"),
                _ => continue,
            };
            told.push((name, id.as_str().unwrap().to_owned()));
        }
        told
    }

    async fn ask(&mut self, name: &str, data: &Value) -> Value {
        self.acks += 1;
        let packet = format!("42/discord,{}{}", self.acks, json!([name, data]));
        self.ws.send_frame(Frame::text(packet)).await;
        let acknowledged = format!("43/discord,{}", self.acks);
        loop {
            let text = text(&mut self.ws).await;
            if let Some(event) = text.strip_prefix("42/discord,") {
                let event: Vec<Value> = serde_json::from_str(event).unwrap();
                if let Some(Value::String(offset)) = event.last().filter(|_| event.len() > 2) {
                    self.offset = Some(offset.clone());
                }
            }
            if let Some(answer) = text.strip_prefix(&acknowledged) {
                let answer: Value = serde_json::from_str(answer).unwrap();
                return answer[0].clone();
            }
        }
    }
}

pub(crate) async fn text(ws: &mut Ws) -> String {
    loop {
        let frame = tokio::time::timeout(PATIENCE, ws.socket.next()).await;
        let frame = frame.expect("something comes in time");
        if let Frame::Text(text) = frame.expect("it is open").unwrap() {
            return text.to_string();
        }
    }
}

/// The payload of the next packet that begins so; an error for one that begins otherwise.
async fn packet(ws: &mut Ws, wanted: &str, other: &str) -> Result<Value, Value> {
    loop {
        let text = text(ws).await;
        if let Some(payload) = text.strip_prefix(wanted) {
            return Ok(serde_json::from_str(payload).unwrap());
        }
        if let Some(payload) = text.strip_prefix(other) {
            return Err(serde_json::from_str(payload).unwrap_or_default());
        }
    }
}

fn posted(ids: &[&str]) -> Vec<(String, String)> {
    let ids = ids.iter();
    ids.map(|id| ("message".to_owned(), (*id).to_owned()))
        .collect()
}

/// Two instances that share what is kept.
async fn two(redis: &RedisServer) -> (Node, Node) {
    let url = redis.url();
    let settings = [("REDIS_URL", url.as_str()), ("RECOVERY_WINDOW_MS", "3000")];
    let first = Node::with(&settings).await;
    let second = first.beside_with(&settings).await;
    (first, second)
}

#[tokio::test]
async fn who_is_cut_goes_on_at_another_instance_with_what_was_missed() {
    let redis = RedisServer::start();
    let (first, second) = two(&redis).await;
    let mut client = Client::start(&first, MEMBER, &[TEXT, MUTE]).await;
    first.say(TEXT, 1, "seen").await;
    assert_eq!(client.messages(1).await, posted(&["1"]));
    let token = first.token(MEMBER);
    let (mut at, mut other) = (&second, &first);
    for round in 0..3 {
        let ids: Vec<u64> = (0..5).map(|id| 10 + round * 10 + id).collect();
        first.say(TEXT, ids[0], "missed").await;
        // Who may not read what was said before they came may read what was said since.
        first.say(MUTE, ids[1], "missed").await;
        first.say(TEXT, ids[2], "missed and gone").await;
        first.delete(TEXT, ids[2]).await;
        first.say(TEXT, ids[3], "missed").await;
        let mut back = client.back(at, &token).await;
        assert_eq!((&back.pid, &back.sid), (&client.pid, &client.sid));
        let missed = [ids[0], ids[1], ids[3]].map(|id| id.to_string());
        let missed: Vec<&str> = missed.iter().map(String::as_str).collect();
        assert_eq!(back.messages(3).await, posted(&missed));
        back.until("channels_list").await;
        first.say(MUTE, ids[4], "live").await;
        assert_eq!(back.messages(1).await, posted(&[&ids[4].to_string()]));
        let again = back.ask("join_channel", &json!(TEXT.to_string())).await;
        assert_eq!(again["alreadyJoined"], true, "{again}");
        client = back;
        std::mem::swap(&mut at, &mut other);
    }
}

#[tokio::test]
async fn a_half_open_connection_is_closed_when_its_client_is_back_elsewhere() {
    let redis = RedisServer::start();
    let (first, second) = two(&redis).await;
    let mut former = Client::start(&first, MEMBER, &[TEXT]).await;
    let mut client = former.back(&second, &first.token(MEMBER)).await;
    assert_eq!(client.sid, former.sid);
    // Its transport, without a DISCONNECT.
    loop {
        match former.ws.socket.next().await {
            Some(Ok(Frame::Text(text))) => assert!(!text.starts_with("41"), "{text}"),
            Some(Ok(Frame::Close(close))) => {
                assert_eq!(u16::from(close.unwrap().code), 1001);
                break;
            }
            _ => {}
        }
    }
    first.say(TEXT, 1, "live").await;
    assert_eq!(client.messages(1).await, posted(&["1"]));
}

#[tokio::test]
async fn who_can_not_go_on_comes_anew() {
    let node = Node::start().await;
    let token = node.token(MEMBER);
    let client = Client::start(&node, MEMBER, &[TEXT]).await;
    let offset = client.offset.clone();
    for (user, pid, offset) in [
        // A pid without an offset.
        (MEMBER, client.pid.clone(), None),
        (MEMBER, client.pid.clone(), Some("nonsense".to_owned())),
        (MEMBER, Some("0".repeat(32)), offset.clone()),
        // Of somebody else.
        (INSIDER, client.pid.clone(), offset.clone()),
    ] {
        let auth = json!({ "token": node.token(user), "pid": pid, "offset": offset });
        let mut back = Client::connect(&node, &auth).await.unwrap();
        assert!(back.pid.is_some() && back.pid != pid && back.sid != client.sid);
        let left = back
            .ask("leave_channel", &json!({ "channelId": TEXT.to_string() }))
            .await;
        assert_eq!(left["code"], "NOT_JOINED", "nothing is joined");
    }
    let refused = Client::connect(&node, &client.auth("garbage")).await;
    assert_eq!(refused.err().unwrap()["data"]["code"], "AUTH_INVALID");
    assert!(client.is_back(&node, &token).await, "nobody has taken it");
    let (status, _) = node.post("/api/auth/logout", &token, &json!({})).await;
    assert_eq!(status, 204);
    let refused = Client::connect(&node, &client.auth(&token)).await;
    assert_eq!(refused.err().unwrap()["data"]["code"], "AUTH_REVOKED");
}

#[tokio::test]
async fn who_leaves_by_themselves_does_not_come_back() {
    let node = Node::start().await;
    let mut client = Client::start(&node, MEMBER, &[TEXT]).await;
    client.ws.send_frame(Frame::text("41/discord,")).await;
    // Answered in order: the session has ended before.
    let token = node.token(MEMBER);
    let auth = json!({ "token": token });
    client
        .ws
        .send_frame(Frame::text(format!("40/discord,{auth}")))
        .await;
    packet(&mut client.ws, "40/discord,", "44").await.unwrap();
    assert!(!client.is_back(&node, &token).await);
}

#[tokio::test]
async fn a_window_is_renewed_while_connected_and_over_when_it_is_over() {
    let node = Node::with(&[("RECOVERY_WINDOW_MS", "1500")]).await;
    let token = node.token(MEMBER);
    let client = Client::start(&node, MEMBER, &[TEXT]).await;
    // The passing of time itself is what is tried.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let mut client = {
        let back = client.back(&node, &token).await;
        assert_eq!(back.sid, client.sid);
        Client {
            offset: client.offset.clone(),
            ..back
        }
    };
    client.ws.socket.close(None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert!(!client.is_back(&node, &token).await);
    let off = Node::with(&[("RECOVERY_WINDOW_MS", "0")]).await;
    let client = Client::start(&off, MEMBER, &[TEXT]).await;
    assert_eq!(client.pid, None);
}

#[tokio::test]
async fn without_redis_joins_work_and_nobody_comes_back() {
    let mut redis = RedisServer::start();
    let (first, second) = two(&redis).await;
    let token = first.token(INSIDER);
    let mut client = Client::start(&first, INSIDER, &[TEXT]).await;
    redis.kill();
    let joined = client.ask("join_channel", &json!(HIDDEN.to_string())).await;
    assert_eq!(joined["success"], true, "{joined}");
    assert!(!client.is_back(&second, &token).await);
    first.say(HIDDEN, 1, "live").await;
    assert_eq!(client.messages(1).await, posted(&["1"]));
    // What could not be written is, when it can.
    redis.restart();
    let is_back = async {
        loop {
            if client.is_back(&second, &token).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_back)
        .await
        .expect("in time");
}

#[tokio::test]
async fn coming_back_is_no_handshake_and_failing_to_is_one() {
    let node = Node::with(&[("CONNECT_RATE_PER_ADDRESS", "2")]).await;
    let token = node.token(MEMBER);
    let client = Client::start(&node, MEMBER, &[TEXT]).await;
    for _ in 0..5 {
        assert!(client.is_back(&node, &token).await);
    }
    let auth = json!({ "token": token, "pid": "0".repeat(32), "offset": client.offset });
    assert!(Client::connect(&node, &auth).await.is_ok());
    let refused = Client::connect(&node, &auth).await.err().unwrap();
    assert_eq!(refused["data"]["code"], "RATE_LIMITED");
    assert!(client.is_back(&node, &token).await);
}

/// A page that was lost comes again, and what was joined before it is gone on with.
#[tokio::test]
async fn who_is_cut_before_a_page_gets_it_after_what_was_missed() {
    let node = Node::start().await;
    let token = node.token(INSIDER);
    let mut client = Client::start(&node, INSIDER, &[TEXT]).await;
    let first = client.offset.clone();
    client.ask("join_channel", &json!(HIDDEN.to_string())).await;
    client.offset = first;
    node.say(TEXT, 1, "missed").await;
    node.say(HIDDEN, 2, "missed").await;
    let mut back = client.back(&node, &token).await;
    assert_eq!(back.sid, client.sid);
    assert_eq!(back.messages(1).await, posted(&["1"]));
    let page = back.until("messages_bulk").await;
    assert_eq!(page["channelId"], HIDDEN.to_string());
    assert_eq!(page["messages"][0]["id"], "2");
}
