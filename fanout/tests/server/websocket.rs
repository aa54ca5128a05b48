//! `GET /ws`.

use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as Raw;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use crate::harness::{HIDDEN, MEMBER, MUTE, Node, TEXT, Ws};

#[tokio::test]
async fn a_viewer_reads_a_channel_and_what_is_posted_to_it() {
    let node = Node::start().await;
    node.say(TEXT, 1, "before").await;
    let mut ws = node.ws(MEMBER).await;
    assert_eq!(ws.until_event("user_info").await["data"]["id"], "2");
    ws.join(TEXT, None).await;
    let page = ws.until_event("messages_bulk").await;
    assert_eq!(page["data"]["messages"][0]["content"], "before");
    assert!(page["offset"].is_string());
    let joined = ws.until_ack(1).await;
    assert_eq!(joined, json!({ "success": true, "channelId": "300" }));
    node.say(TEXT, 2, "live").await;
    let live = ws.until_event("message").await;
    assert_eq!(live["data"]["content"], "live");
    assert!(live["offset"].is_string());
}

#[tokio::test]
async fn a_viewer_is_out_of_a_hidden_channel_and_told_nothing_more_of_it() {
    let node = Node::start().await;
    let mut ws = node.ws(MEMBER).await;
    ws.join(TEXT, None).await;
    ws.until_ack(1).await;
    node.say(TEXT, 1, "before").await;
    ws.until_event("message").await;
    node.hide(TEXT).await;
    node.say(TEXT, 2, "after").await;
    let left = ws.until_event("channel_left").await;
    let told = json!({ "channelId": TEXT.to_string(), "reason": "access_revoked" });
    assert_eq!(left["data"], told);
    let list = ws.until_event("channels_list").await;
    assert!(!list["data"].to_string().contains(&TEXT.to_string()));
    ws.join(TEXT, None).await;
    // All that came until then.
    let refused = loop {
        let message = ws.next().await.unwrap();
        assert!(!message.to_string().contains("after"), "{message}");
        if message["ack"] == 1 {
            break message["data"].clone();
        }
    };
    assert_eq!(refused["code"], "FORBIDDEN");
}

#[tokio::test]
async fn the_authorization_header_serves_in_place_of_the_first_message() {
    let node = Node::start().await;
    let header = format!("Bearer {}", node.token(MEMBER));
    let mut ws = node
        .try_ws("/ws", &[("authorization", &header)])
        .await
        .unwrap();
    ws.send(&json!({ "event": "get_channels", "id": "a" }))
        .await;
    let list = loop {
        let message = ws.next().await.unwrap();
        if message["ack"] == "a" {
            break message["data"].clone();
        }
    };
    let ids: Vec<_> = list["channels"].as_array().unwrap().iter().collect();
    assert_eq!((ids.len(), &ids[0]["id"]), (2, &json!("300")));
}

#[tokio::test]
async fn who_has_no_good_token_is_told_why_and_closed() {
    let node = Node::start().await;
    let table = [
        (json!({ "event": "get_channels" }), "AUTH_REQUIRED"),
        (
            json!({ "event": "auth", "data": { "token": "x" } }),
            "AUTH_INVALID",
        ),
        (json!("no object"), "BAD_REQUEST"),
    ];
    for (message, code) in table {
        let mut ws = node.try_ws("/ws", &[]).await.unwrap();
        ws.send(&message).await;
        let error = ws.until_event("error").await;
        assert_eq!(error["data"]["code"], code, "{message}");
        assert_eq!(ws.until_closed().await, 1008, "{message}");
    }
}

#[tokio::test]
async fn other_sites_and_tokens_in_the_url_are_refused_before_the_upgrade() {
    let node = Node::start().await;
    let origin = |value: &'static str| vec![("origin", value)];
    let table = [
        ("/ws", origin("https://evil.example"), 403),
        ("/ws", origin("null"), 403),
        ("/ws?token=x", vec![], 400),
        ("/ws/", vec![], 404),
        ("/elsewhere", vec![], 404),
    ];
    for (path, headers, status) in table {
        match node.try_ws(path, &headers).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), status, "{path} {headers:?}"),
            other => panic!("{path} {headers:?}: {:?}", other.map(|_| "upgraded")),
        }
    }
    let front = [("origin", "https://front.example")];
    assert!(node.try_ws("/ws", &front).await.is_ok());
}

#[tokio::test]
async fn each_violation_of_the_protocol_has_its_close_code() {
    let node = Node::with(&[("SOCKET_MAX_HTTP_BUFFER_SIZE", "20000")]).await;
    let raw = |opcode, payload: &'static [u8]| {
        Frame::Frame(Raw::message(payload, OpCode::Data(opcode), true))
    };
    let table = [
        (Frame::binary(vec![1]), 1003),
        (raw(Data::Text, b"\xFF"), 1007),
        (raw(Data::Continue, b"x"), 1002),
        (Frame::text("x".repeat(20_001)), 1009),
    ];
    for (frame, code) in table {
        let mut ws = node.ws(MEMBER).await;
        ws.send_frame(frame).await;
        assert_eq!(ws.until_closed().await, code);
    }
    // Who is not known yet may say less.
    let mut ws = node.try_ws("/ws", &[]).await.unwrap();
    ws.send_frame(Frame::text("x".repeat(16 * 1024 + 1))).await;
    assert_eq!(ws.until_closed().await, 1009);
}

#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let node = Node::start().await;
    let mut ws = node.ws(MEMBER).await;
    ws.socket.close(None).await.unwrap();
    assert_eq!(ws.until_closed().await, 1005);
}

#[tokio::test]
async fn who_takes_nothing_is_closed_and_does_not_hold_the_others_up() {
    let node = Node::with(&[("SOCKET_QUEUE_MAX", "100KiB")]).await;
    let mut slow = node.ws(MEMBER).await;
    slow.join(TEXT, None).await;
    slow.until_ack(1).await;
    let mut quick = node.ws(MEMBER).await;
    quick.join(TEXT, None).await;
    quick.until_ack(1).await;
    // Few and large: the server says why to who wakes up within 3 s.
    let content = "x".repeat(500_000);
    // More than the kernel's buffers and the queue together take for somebody who does not read.
    for id in 1..=20 {
        node.say(TEXT, id, &content).await;
        assert_eq!(
            quick.until_event("message").await["data"]["id"],
            id.to_string()
        );
    }
    assert_eq!(slow.until_closed().await, 1013);
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_one_that_never_answers_is_closed() {
    let node = Node::with(&[
        ("SOCKET_PING_INTERVAL", "50"),
        ("SOCKET_PING_TIMEOUT", "300"),
    ])
    .await;
    // Reading answers pings.
    let mut ws = node.ws(MEMBER).await;
    let listening = tokio::time::timeout(std::time::Duration::from_secs(1), ws.until_closed());
    assert!(listening.await.is_err());
    // And who does not read, answers none: the silence itself is what is tried.
    let mut silent = node.ws(MEMBER).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(silent.until_closed().await, 1008);
}

#[tokio::test]
async fn a_drain_sends_clients_elsewhere() {
    let node = Node::start().await;
    let mut ws = node.ws(MEMBER).await;
    node.life.soft.cancel();
    assert_eq!(ws.until_closed().await, 1001);
}

async fn offset_of_last(ws: &mut Ws, id: u64) -> String {
    loop {
        let message = ws.until_event("message").await;
        if message["data"]["id"].as_str() == Some(&id.to_string()) {
            return message["offset"].as_str().unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn a_join_goes_on_from_an_offset_with_what_was_missed_and_no_page() {
    let node = Node::start().await;
    let mut first = node.ws(MEMBER).await;
    first.join(TEXT, None).await;
    first.until_ack(1).await;
    node.say(TEXT, 1, "seen").await;
    let offset = offset_of_last(&mut first, 1).await;
    drop(first);
    node.say(TEXT, 2, "missed").await;
    node.say(TEXT, 3, "missed and gone").await;
    node.delete(TEXT, 3).await;
    node.delete(TEXT, 1).await;
    let mut second = node.ws(MEMBER).await;
    second.join(TEXT, Some(&offset)).await;
    let joined = second.until_ack(1).await;
    assert_eq!(
        joined,
        json!({ "success": true, "channelId": "300", "recovered": true })
    );
    node.say(TEXT, 4, "live").await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(_, id)| *id != json!("4")) {
        let event = second.next().await.unwrap();
        // How many watch is state, and may come at any time.
        if event["event"] == "viewers" {
            continue;
        }
        let data = &event["data"];
        let id = data.get("messageId").or(data.get("id"));
        seen.push((event["event"].clone(), id.cloned().unwrap_or_default()));
    }
    let expected = [
        (json!("message"), json!("2")),
        (json!("message_delete"), json!("1")),
        (json!("message"), json!("4")),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_can_not_be_whole_is_a_page() {
    let node = Node::start().await;
    node.say(TEXT, 1, "said").await;
    node.say(MUTE, 2, "said").await;
    let mut ws = node.ws(MEMBER).await;
    for (channel, offset, messages) in [
        (TEXT, "not ours", 1),
        (TEXT, "00000000000000ab.1", 1),
        (MUTE, "0000000000000000.1", 0),
    ] {
        let mut ws = node.ws(MEMBER).await;
        ws.join(channel, Some(offset)).await;
        let page = ws.until_event("messages_bulk").await;
        assert_eq!(page["data"]["messages"].as_array().unwrap().len(), messages);
        assert_eq!(ws.until_ack(1).await["recovered"], false, "{offset}");
    }
    ws.join(HIDDEN, Some("00000000000000ab.1")).await;
    assert_eq!(ws.until_ack(1).await["code"], "FORBIDDEN");
}

/// The feed waits for what its own stream has, never for what a client says: one frame of one viewer would
/// otherwise close everybody.
#[tokio::test]
async fn an_offset_ahead_of_the_stream_is_a_page_and_disturbs_nobody() {
    let node = Node::start().await;
    let mut watching = node.ws(MEMBER).await;
    watching.join(TEXT, None).await;
    watching.until_ack(1).await;
    node.say(TEXT, 1, "said").await;
    let offset = offset_of_last(&mut watching, 1).await;
    let generation = offset.split_once('.').unwrap().0;
    for ahead in [
        format!("{generation}.{}", u64::MAX),
        format!("{generation}.99"),
    ] {
        let mut ws = node.ws(MEMBER).await;
        ws.join(TEXT, Some(&ahead)).await;
        assert_eq!(ws.until_ack(1).await["recovered"], false, "{ahead}");
    }
    // Longer than the feed looks for what it lacks before it begins anew.
    for id in 2..=31 {
        node.say(TEXT, id, "live").await;
        assert!(
            offset_of_last(&mut watching, id)
                .await
                .starts_with(generation)
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
