//! Tokens that are taken back, renewed, and changed for tickets.

use fanout::auth::{AuthError, Claims};
use runtime::time::now_ms;
use serde_json::json;

use crate::harness::{Events, HIDDEN, INSIDER, MEMBER, MUTE, Node, TEXT, UNPLACED, Ws};

const DAY: i64 = 24 * 60 * 60;

fn claims() -> Claims {
    let now = now_ms() / 1_000;
    Claims {
        discord_id: MEMBER.to_string(),
        username: "user2".into(),
        iat: now,
        exp: now + 60,
        ..Claims::default()
    }
}

async fn closed_for(ws: &mut Ws) -> String {
    let error = ws.until_event("error").await;
    assert_eq!(ws.until_closed().await, 1008);
    error["data"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_logout_closes_the_sockets_of_its_token_on_all_instances_and_holds() {
    let first = Node::start().await;
    let second = first.beside().await;
    let token = first.token(MEMBER);
    let mut here = first.ws_by(&token).await;
    let mut there = second.ws_by(&token).await;
    let mut other = second.ws(MEMBER).await;
    let (status, _) = first.post("/api/auth/logout", &token, &json!({})).await;
    assert_eq!(status, 204);
    for ws in [&mut here, &mut there] {
        assert_eq!(closed_for(ws).await, AuthError::Revoked.code());
    }
    // Of the same user, by another token: nothing happens to it.
    other.join(TEXT, None).await;
    assert_eq!(other.until_ack(1).await["success"], true);
    // An instance that starts later knows it too.
    let third = first.beside().await;
    for node in [&first, &second, &third] {
        let request = node.http.get(node.url("/api/channels"));
        let (status, body) = node.asked(request.bearer_auth(&token)).await;
        assert_eq!((status, body["code"].as_str()), (401, Some("AUTH_REVOKED")));
        let mut ws = node.try_ws("/ws", &[]).await.unwrap();
        ws.send(&json!({ "event": "auth", "data": { "token": token } }))
            .await;
        assert_eq!(closed_for(&mut ws).await, "AUTH_REVOKED");
    }
    let (status, body) = second.post("/api/auth/logout", &token, &json!({})).await;
    assert_eq!((status, body["code"].as_str()), (401, Some("AUTH_REVOKED")));
}

#[tokio::test]
async fn a_logout_that_nobody_can_write_down_says_so_after_closing_what_it_can() {
    let node = Node::start().await;
    let token = node.token(MEMBER);
    let mut ws = node.ws_by(&token).await;
    node.store.close().await;
    let (status, body) = node.post("/api/auth/logout", &token, &json!({})).await;
    assert_eq!((status, body["code"].as_str()), (503, Some("UNAVAILABLE")));
    assert_eq!(closed_for(&mut ws).await, "AUTH_REVOKED");
}

#[tokio::test]
async fn a_token_is_renewed_for_thirty_days_after_the_login() {
    let node = Node::start().await;
    let now = now_ms() / 1_000;
    let logged_in = |at: i64| Claims {
        auth_time: Some(at),
        ..claims()
    };
    let embed = Claims {
        channels: Some(vec![TEXT.to_string()]),
        ..claims()
    };
    let expired = Claims {
        exp: now - 5,
        ..claims()
    };
    let table = [
        (claims(), 200, None),
        (logged_in(now - 29 * DAY), 200, None),
        (logged_in(now - 31 * DAY), 403, Some("FORBIDDEN")),
        (embed, 403, Some("FORBIDDEN")),
        // Within the skew, in which it would still be let in.
        (expired, 401, Some("AUTH_EXPIRED")),
    ];
    for (claims, status, code) in table {
        let token = node.signed(claims.clone());
        let (got, body) = node.post("/api/auth/refresh", &token, &json!({})).await;
        assert_eq!((got, body["code"].as_str()), (status, code), "{claims:?}");
    }
    // The new one is taken where the old one is, and carries the login.
    let old = node.signed(logged_in(now - DAY));
    let (_, body) = node.post("/api/auth/refresh", &old, &json!({})).await;
    let new = body["token"].as_str().unwrap();
    let mut ws = node.ws_by(&old).await;
    ws.send(&json!({ "event": "refresh_token", "data": { "token": new }, "id": 5 }))
        .await;
    assert_eq!(ws.until_ack(5).await, json!({ "success": true }));
    let (_, body) = node.post("/api/auth/refresh", new, &json!({})).await;
    assert!(body["token"].is_string());
}

async fn ticket(node: &Node, token: &str, channel: u64) -> String {
    let wanted = json!({ "channelId": channel.to_string() });
    let (status, body) = node.post("/api/auth/ticket", token, &wanted).await;
    assert_eq!((status, &body["expiresIn"]), (200, &json!(30)));
    body["ticket"].as_str().unwrap().to_owned()
}

async fn open(node: &Node, ticket: &str, channel: u64) -> reqwest::Response {
    let path = format!("/api/channels/{channel}/stream?ticket={ticket}");
    node.http.get(node.url(&path)).send().await.unwrap()
}

#[tokio::test]
async fn a_ticket_opens_one_stream_again_and_again_and_no_other() {
    let node = Node::start().await;
    let token = node.token(INSIDER);
    let ticket = ticket(&node, &token, TEXT).await;
    assert_eq!(open(&node, &ticket, HIDDEN).await.status(), 204);
    assert_eq!(
        open(&node, "0123456789abcdef0123456789abcdef", TEXT)
            .await
            .status(),
        204
    );
    let mut first = Events::new(open(&node, &ticket, TEXT).await);
    first.until("messages_bulk").await;
    let mut second = Events::new(open(&node, &ticket, TEXT).await);
    second.until("messages_bulk").await;
    // One at a time: the newer one has it.
    while first.next().await.is_some() {}
    node.say(TEXT, 1, "live").await;
    second.until("message").await;
    let (status, _) = node.post("/api/auth/logout", &token, &json!({})).await;
    assert_eq!(status, 204);
    assert_eq!(second.until("error").await.data["code"], "AUTH_REVOKED");
    assert_eq!(second.next().await, None);
    assert_eq!(open(&node, &ticket, TEXT).await.status(), 204);
}

#[tokio::test]
async fn a_ticket_serves_streams_alone_and_needs_a_token_and_a_channel() {
    let node = Node::start().await;
    let token = node.token(MEMBER);
    let ticket = ticket(&node, &token, TEXT).await;
    let path = format!("/api/channels?ticket={ticket}");
    let (status, _) = node.asked(node.http.get(node.url(&path))).await;
    assert_eq!(status, 401);
    for body in [json!({}), json!({ "channelId": 300 }), json!("300")] {
        let (status, answer) = node.post("/api/auth/ticket", &token, &body).await;
        assert_eq!(
            (status, answer["code"].as_str()),
            (400, Some("BAD_REQUEST"))
        );
    }
    let wanted = json!({ "channelId": "300" });
    let (status, answer) = node.post("/api/auth/ticket", "x", &wanted).await;
    assert_eq!(
        (status, answer["code"].as_str()),
        (401, Some("AUTH_INVALID"))
    );
}

#[tokio::test]
async fn a_ticket_is_for_what_its_bearer_sees() {
    let node = Node::start().await;
    let token = node.token(MEMBER);
    let mut refusals = Vec::new();
    // Nobody learns whether there is such a channel.
    for channel in [HIDDEN, 999] {
        let wanted = json!({ "channelId": channel.to_string() });
        let (status, mut answer) = node.post("/api/auth/ticket", &token, &wanted).await;
        assert_eq!((status, answer["code"].as_str()), (403, Some("FORBIDDEN")));
        answer.as_object_mut().unwrap().remove("timestamp");
        refusals.push(answer);
    }
    assert_eq!(refusals[0], refusals[1]);
    ticket(&node, &node.token(INSIDER), HIDDEN).await;
    let embed = node.signed(Claims {
        channels: Some(vec![TEXT.to_string()]),
        ..claims()
    });
    ticket(&node, &embed, TEXT).await;
    let wanted = json!({ "channelId": MUTE.to_string() });
    let (status, _) = node.post("/api/auth/ticket", &embed, &wanted).await;
    assert_eq!(status, 403);
    // What was seen when the ticket was given may be hidden by now.
    let ticket = ticket(&node, &token, TEXT).await;
    node.hide(TEXT).await;
    assert_eq!(open(&node, &ticket, TEXT).await.status(), 403);
}

#[tokio::test]
async fn there_is_no_ticket_while_nobody_can_say_what_its_bearer_is() {
    let node = Node::start().await;
    let token = node.token(UNPLACED);
    let wanted = json!({ "channelId": TEXT.to_string() });
    let (status, answer) = node.post("/api/auth/ticket", &token, &wanted).await;
    assert_eq!(
        (status, answer["code"].as_str()),
        (503, Some("UNAVAILABLE"))
    );
}
