//! `GET /api/channels/{channelId}/stream`.

use std::time::Duration;

use reqwest::Method;

use crate::harness::{Events, HIDDEN, MEMBER, Node, PATIENCE, TEXT};

async fn open(node: &Node, path: &str) -> Events {
    let request = node
        .http
        .get(node.url(path))
        .bearer_auth(node.token(MEMBER));
    Events::new(request.send().await.unwrap())
}

fn path(channel: u64, query: &str) -> String {
    format!("/api/channels/{channel}/stream{query}")
}

#[tokio::test]
async fn a_stream_begins_with_the_page_and_goes_on_live() {
    let node = Node::start().await;
    node.say(TEXT, 1, "before").await;
    let mut events = open(&node, &path(TEXT, "")).await;
    let page = events.next().await.unwrap();
    assert_eq!(page.event, "messages_bulk");
    assert_eq!(page.data["messages"][0]["content"], "before");
    assert!(
        page.id.is_some()
            && events
                .retry_ms
                .is_some_and(|ms| (1_000..=5_000).contains(&ms))
    );
    node.say(TEXT, 2, "live\nand in two lines").await;
    let live = events.until("message").await;
    assert_eq!(live.data["content"], "live\nand in two lines");
}

#[tokio::test]
async fn a_stream_goes_on_from_its_last_event() {
    let node = Node::start().await;
    let mut events = open(&node, &path(TEXT, "")).await;
    events.next().await.unwrap();
    node.say(TEXT, 1, "seen").await;
    let seen = events.until("message").await.id.unwrap();
    drop(events);
    node.say(TEXT, 2, "missed").await;
    for by_header in [true, false] {
        let mut events = if by_header {
            let request = node.request(Method::GET, &path(TEXT, ""), MEMBER);
            let request = request.header("last-event-id", &seen);
            Events::new(request.send().await.unwrap())
        } else {
            open(&node, &path(TEXT, &format!("?offset={seen}"))).await
        };
        // How many watch has no place among the messages, and may be told before.
        let missed = events.until("message").await;
        assert_eq!(missed.data["id"], "2");
    }
    let mut events = open(&node, &path(TEXT, "?offset=of-another-server")).await;
    assert_eq!(events.next().await.unwrap().event, "messages_bulk");
}

#[tokio::test]
async fn refusals_come_before_the_stream() {
    let node = Node::start().await;
    for (path, status, code) in [
        (path(HIDDEN, ""), 403, "FORBIDDEN"),
        (path(999, ""), 403, "FORBIDDEN"),
        ("/api/channels/x/stream".to_owned(), 400, "BAD_REQUEST"),
        (path(TEXT, "?limit=0"), 400, "BAD_REQUEST"),
        (path(TEXT, "?token=x"), 400, "BAD_REQUEST"),
    ] {
        let (got, body) = node.get(&path, MEMBER).await;
        assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{path}");
    }
    let answer = node.http.get(node.url(&path(TEXT, ""))).send().await;
    assert_eq!(answer.unwrap().status(), 401);
    // Who was refused is counted no longer.
    let (_, health) = node.get("/api/health", MEMBER).await;
    assert_eq!(health["connections"]["total"], 0);
}

#[tokio::test]
async fn a_stream_ends_when_its_channel_is_hidden() {
    let node = Node::start().await;
    let mut events = open(&node, &path(TEXT, "")).await;
    events.next().await.unwrap();
    node.hide(TEXT).await;
    node.say(TEXT, 2, "after").await;
    let left = loop {
        let sent = events.next().await.unwrap();
        assert!(!sent.data.to_string().contains("after"), "{sent:?}");
        if sent.event == "channel_left" {
            break sent;
        }
    };
    assert_eq!(left.data["reason"], "access_revoked");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives_and_a_drain_ends_it() {
    let node = Node::with(&[("SOCKET_PING_INTERVAL", "50")]).await;
    let request = node.request(Method::GET, &path(TEXT, ""), MEMBER);
    let mut answer = request.send().await.unwrap();
    let mut text = String::new();
    while !text.contains("\n:\n\n") {
        let chunk = tokio::time::timeout(PATIENCE, answer.chunk())
            .await
            .unwrap();
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    node.life.soft.cancel();
    let rest = tokio::time::timeout(Duration::from_secs(10), answer.bytes()).await;
    assert!(rest.unwrap().is_ok());
}
