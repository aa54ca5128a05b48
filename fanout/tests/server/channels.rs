//! `GET /api/channels` and `GET /api/channels/{channelId}/messages`.

use reqwest::Method;
use serde_json::json;

use crate::harness::{HIDDEN, INSIDER, MEMBER, MUTE, Node, TEXT};

#[tokio::test]
async fn the_list_is_what_the_bearer_sees() {
    let node = Node::start().await;
    let ids = async |user| {
        let (status, body) = node.get("/api/channels", user).await;
        assert_eq!(status, 200);
        let channels = body["channels"].as_array().unwrap().clone();
        let ids = channels.into_iter().map(|channel| channel["id"].clone());
        assert_eq!(body.as_object().unwrap().len(), 1);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(MEMBER).await, [json!("300"), json!("302")]);
    assert_eq!(ids(INSIDER).await.len(), 3);
    assert!(ids(77).await.is_empty());
}

#[tokio::test]
async fn pages_go_back_to_the_first_message() {
    let node = Node::start().await;
    for id in 1..=5 {
        node.say(TEXT, id, "said").await;
    }
    let mut path = "/api/channels/300/messages?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let (status, page) = node.get(&path, MEMBER).await;
        assert_eq!((status, &page["channelId"]), (200, &json!("300")));
        let mut ids: Vec<_> = page["messages"].as_array().unwrap().clone();
        ids.reverse();
        seen.extend(ids.into_iter().map(|message| message["id"].clone()));
        let Some(cursor) = page["nextCursor"].as_str() else {
            assert_eq!(page["hasMore"], false);
            break;
        };
        path = format!("/api/channels/300/messages?limit=2&before={cursor}");
    }
    assert_eq!(seen, ["5", "4", "3", "2", "1"].map(|id| json!(id)));
}

#[tokio::test]
async fn refusals_name_their_code() {
    let node = Node::start().await;
    node.say(HIDDEN, 1, "secret").await;
    node.say(MUTE, 2, "said").await;
    let messages = |channel: u64, query: &str| format!("/api/channels/{channel}/messages{query}");
    for (path, status, code) in [
        (messages(HIDDEN, ""), 403, "FORBIDDEN"),
        (messages(999, ""), 403, "FORBIDDEN"),
        (messages(TEXT, "?limit=101"), 400, "BAD_REQUEST"),
        (messages(TEXT, "?before=x"), 400, "BAD_REQUEST"),
        (messages(TEXT, "?access_token=x"), 400, "BAD_REQUEST"),
        ("/api/channels?token=x".to_owned(), 400, "BAD_REQUEST"),
    ] {
        let (got, body) = node.get(&path, MEMBER).await;
        assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{path}");
    }
    let (_, page) = node.get(&messages(MUTE, ""), MEMBER).await;
    assert_eq!(page["messages"], json!([]));
    for token in ["", "x"] {
        let request = node.http.get(node.url("/api/channels")).bearer_auth(token);
        let (status, body) = node.asked(request).await;
        let code = body["code"].as_str().unwrap();
        assert_eq!(status, 401);
        assert!(["AUTH_REQUIRED", "AUTH_INVALID"].contains(&code), "{code}");
    }
}

#[tokio::test]
async fn requests_over_the_quota_are_told_when_to_come_back() {
    let node = Node::with(&[("RATE_LIMIT_MAX_REQUESTS", "3")]).await;
    let token = node.token(MEMBER);
    let wanted = json!({ "channelId": "300" });
    for _ in 0..2 {
        assert_eq!(node.get("/api/channels", MEMBER).await.0, 200);
    }
    // Requests of all kinds and tokens of one user are counted together.
    let (status, _) = node.post("/api/auth/ticket", &token, &wanted).await;
    assert_eq!(status, 200);
    let answer = node
        .request(Method::GET, "/api/channels", MEMBER)
        .send()
        .await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let (status, body) = node.post("/api/auth/ticket", &token, &wanted).await;
    assert_eq!((status, body["code"].as_str()), (429, Some("RATE_LIMITED")));
    // Another user is not held to it, and who leaves is always heard.
    assert_eq!(node.get("/api/channels", INSIDER).await.0, 200);
    let (status, _) = node.post("/api/auth/logout", &token, &json!({})).await;
    assert_eq!(status, 204);
}
