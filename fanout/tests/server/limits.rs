//! What a client, an address and a user are held to, on Socket.IO and on `/ws`.

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::harness::{MEMBER, Node, PATIENCE, Ws};

async fn socketio(node: &Node) -> Ws {
    let path = "/socket.io/?EIO=4&transport=websocket";
    node.try_ws(path, &[]).await.unwrap()
}

/// Connects a namespace; the error's object, if it is refused.
async fn connect(ws: &mut Ws, namespace: &str, token: &str) -> Option<Value> {
    let packet = format!("40{namespace}{}", json!({ "token": token }));
    ws.send_frame(Frame::text(packet)).await;
    let (accepted, refused) = (format!("40{namespace}"), format!("44{namespace}"));
    loop {
        let frame = tokio::time::timeout(PATIENCE, ws.socket.next()).await;
        let frame = frame.expect("something comes in time").unwrap().unwrap();
        let Frame::Text(text) = frame else { continue };
        if let Some(error) = text.strip_prefix(&refused) {
            return Some(serde_json::from_str(error).unwrap());
        }
        if text.starts_with(&accepted) {
            return None;
        }
    }
}

fn assert_too_many(error: &Value) {
    assert_eq!(error["message"], "Too many connections");
    assert_eq!(error["data"]["code"], "RATE_LIMITED");
    assert!(error["data"]["retryAfter"].as_u64() > Some(0), "{error}");
}

#[tokio::test]
async fn a_user_has_so_many_connections_and_a_namespace_is_none() {
    let node = Node::with(&[("CONNECTIONS_PER_USER_MAX", "1")]).await;
    let token = node.token(MEMBER);
    let mut first = socketio(&node).await;
    assert_eq!(connect(&mut first, "/discord,", &token).await, None);
    assert_eq!(connect(&mut first, "", &token).await, None);
    let mut second = socketio(&node).await;
    let refused = connect(&mut second, "/discord,", &token).await;
    assert_too_many(&refused.expect("one too many"));
    let other = node.token(MEMBER + 1);
    assert_eq!(connect(&mut second, "/discord,", &other).await, None);
    // The place is free again once the connection has ended.
    drop(first);
    let mut third = socketio(&node).await;
    while connect(&mut third, "/discord,", &token).await.is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_address_has_so_many_handshakes_a_minute_over_all_transports() {
    let node = Node::with(&[("CONNECT_RATE_PER_ADDRESS", "2")]).await;
    let _first = node.ws(MEMBER).await;
    let mut second = socketio(&node).await;
    let bad = connect(&mut second, "/discord,", "garbage").await;
    assert_eq!(bad.expect("no token")["data"]["code"], "AUTH_INVALID");
    let refused = connect(&mut second, "/discord,", &node.token(MEMBER)).await;
    assert_too_many(&refused.expect("a bad token is a handshake too"));
    let mut third = node.try_ws("/ws", &[]).await.unwrap();
    let auth = json!({ "event": "auth", "data": { "token": node.token(MEMBER) } });
    third.send(&auth).await;
    let error = third.until_event("error").await;
    assert_eq!(error["data"]["code"], "RATE_LIMITED");
    assert_eq!(third.until_closed().await, 1013);
}

#[tokio::test]
async fn an_event_over_the_quota_is_refused_in_its_answer_and_by_an_event() {
    let node = Node::with(&[("RATE_LIMIT_MAX_REQUESTS", "2")]).await;
    let mut ws = node.ws(MEMBER).await;
    for id in 1..=2 {
        ws.send(&json!({ "event": "get_channels", "id": id })).await;
        assert_eq!(ws.until_ack(id).await["success"], true);
    }
    ws.send(&json!({ "event": "get_channels", "id": 3 })).await;
    let told = ws.until_event("rate_limited").await;
    let refused = ws.until_ack(3).await;
    assert_eq!(refused["success"], false);
    assert_eq!(refused["code"], "RATE_LIMITED");
    assert_eq!(refused["retryAfter"], told["data"]["retryAfter"]);
    let seconds = refused["retryAfter"].as_u64().unwrap();
    assert!((1..=30).contains(&seconds), "{refused}");
}
