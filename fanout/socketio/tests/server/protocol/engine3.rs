//! Revision 3 of the Engine.IO protocol, which clients of Socket.IO 1 and 2 speak.
//! <https://github.com/socketio/engine.io-protocol/tree/v3>

use std::time::Duration;

use actix_socketio::{Config, DisconnectReason};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    http::{Polling, Request},
    mirror::{MirrorServer, PATH, conformance},
};

/// "Server responds with an `open` packet with JSON-encoded handshake data", its length before it.
#[tokio::test]
async fn a_session_is_opened_with_its_length_before_it() {
    let server = MirrorServer::start();
    let target = format!("{PATH}?EIO=3&transport=polling");
    let answer = Request::send(server.address(), "GET", &target, &[], b"")
        .await
        .answer()
        .await;
    let (length, packet) = answer.text().split_once(':').unwrap();
    assert_eq!(length, packet.len().to_string());
    let json: serde_json::Value = serde_json::from_str(packet.strip_prefix('0').unwrap()).unwrap();
    assert_eq!(json["upgrades"], serde_json::json!(["websocket"]));
    assert_eq!(
        (&json["pingInterval"], &json["pingTimeout"]),
        (&300.into(), &200.into())
    );
    assert!(json["sid"].is_string());
}

/// The revision is served only where it is wanted.
#[tokio::test]
async fn a_server_that_does_not_want_this_revision_says_so() {
    let server = MirrorServer::start_with(
        Config {
            allow_eio3: false,
            ..conformance()
        },
        1,
    );
    let target = format!("{PATH}?EIO=3&transport=polling");
    let answer = Request::send(server.address(), "GET", &target, &[], b"")
        .await
        .answer()
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.text(),
        r#"{"code":5,"message":"Unsupported protocol version"}"#
    );
}

/// "Server must respond to periodic `ping` packets sent by the client with `pong` packets."
#[tokio::test]
async fn the_client_pings_and_stays() {
    let server = MirrorServer::start();
    let mut client = server.websocket(3).await;
    let polling = server.polling(3).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        client.send("2").await;
        assert_eq!(client.next().await, Message::text("3"));
        polling.send("1:2").await;
        assert_eq!(polling.packets().await, "1:3");
    }
}

/// "Server should answer with a pong packet containing the same data".
#[tokio::test]
async fn a_pong_repeats_the_data_of_its_ping() {
    let server = MirrorServer::start();
    let mut client = server.websocket(3).await;
    client.send("2probe").await;
    assert_eq!(client.next().await, Message::text("3probe"));
}

/// A client that says nothing for the interval and the timeout is gone.
#[tokio::test]
async fn a_client_that_says_nothing_is_gone() {
    let server = MirrorServer::start();
    let polling = server.polling(3).await;
    let mut client = server.websocket(3).await;
    client.close_code().await;
    server.assert_closed(DisconnectReason::PingTimeout);
    server.assert_closed(DisconnectReason::PingTimeout);
    assert_eq!(polling.post("1:2").await.status, 400);
    let late = server.polling(3).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(late.post("1:2").await.status, 400);
}

/// "Client and server can exchange `message` packets at will."
#[tokio::test]
async fn messages_go_both_ways() {
    let server = MirrorServer::start();
    let mut client = server.websocket(3).await;
    client.send("4HelloWorld").await;
    assert_eq!(client.text().await, "4HelloWorld");
    let polling = server.polling(3).await;
    polling.send("6:4hello").await;
    assert_eq!(polling.packets().await, "6:4hello");
}

/// "Polling transports can send a `close` packet to close the socket".
#[tokio::test]
async fn a_client_closes_its_session() {
    let server = MirrorServer::start();
    let polling = server.polling(3).await;
    let poll = polling.begin_poll().await;
    polling.send("1:1").await;
    assert_eq!(poll.answer().await.text(), "1:6");
    assert_eq!(polling.poll().await.status, 400);
    let mut client = server.websocket(3).await;
    client.send("1").await;
    client.close_code().await;
}

/// "`<length1>:<packet1>[<length2>:<packet2>[...]]`", "length of the packet in characters".
#[tokio::test]
async fn a_payload_of_text_counts_characters() {
    let server = MirrorServer::start();
    let polling = server.polling(3).await;
    polling.send("6:4test16:4test22:4€3:4😀").await;
    assert_eq!(polling.packets().await, "6:4test16:4test22:4€3:4😀");
}

/// "When XHR2 is not supported, the same encoding principle is used also when binary data is sent, but it is sent as base64
/// encoded strings."
#[tokio::test]
async fn a_client_without_xhr2_gets_base64() {
    let server = MirrorServer::start();
    let polling = Polling::open(server.address(), PATH, "EIO=3&b64=1").await;
    polling.send("6:4hello10:b4AQIDBA==").await;
    assert_eq!(polling.packets().await, "6:4hello10:b4AQIDBA==");
}

/// "When XHR2 is supported, a similar principle is used, but everything is encoded directly into binary".
#[tokio::test]
async fn a_client_with_xhr2_gets_and_sends_bytes() {
    let server = MirrorServer::start();
    let polling = server.polling(3).await;
    polling.send("6:4hello10:b4AQIDBA==").await;
    let answer = polling.poll().await;
    let bytes = [
        0, 6, 255, 52, 104, 101, 108, 108, 111, 1, 5, 255, 4, 1, 2, 3, 4,
    ];
    assert_eq!(answer.body, bytes);
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
    let posted = polling.post_bytes(&bytes, "application/octet-stream").await;
    assert_eq!((posted.status, posted.text()), (200, "ok"));
    assert_eq!(polling.poll().await.body, bytes);
    polling.send("6:4hello").await;
    assert_eq!(polling.packets().await, "6:4hello");
}

/// "When sending binary data, the packet type id is sent in the first byte of the binary contents".
#[tokio::test]
async fn bytes_over_a_websocket_have_their_type_before_them() {
    let server = MirrorServer::start();
    let mut client = server.websocket(3).await;
    let bytes = Message::binary(vec![4, 1, 2, 3, 4]);
    client.send_message(bytes.clone()).await;
    assert_eq!(client.message().await, bytes);
    client.send_message(Message::binary(vec![9, 1])).await;
    client.close_code().await;
}

/// An invalid packet or payload closes the session.
#[tokio::test]
async fn what_is_invalid_closes_the_session() {
    let server = MirrorServer::start();
    for body in ["abc", "", "7:4hello", "1:3", "3:7ab", "x:4"] {
        let polling = server.polling(3).await;
        assert_eq!(polling.post(body).await.status, 400, "{body}");
        server.assert_closed(DisconnectReason::ProtocolError);
        assert_eq!(polling.poll().await.status, 400, "{body}");
    }
    let mut client = server.websocket(3).await;
    client.send("abc").await;
    client.close_code().await;
}

/// Polls may not overlap here either.
#[tokio::test]
async fn a_second_poll_at_a_time_closes_the_session() {
    let server = MirrorServer::start();
    let polling = server.polling(3).await;
    let first = polling.begin_poll().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(polling.poll().await.status, 400);
    assert_eq!(first.answer().await.text(), "1:1");
}

/// "If this test succeed, the client sends an upgrade packets which requests the server to flush its cache on the old transport
/// and switch to the new transport."
#[tokio::test]
async fn a_session_moves_to_a_websocket() {
    let server = MirrorServer::start();
    let polling = server.polling(3).await;
    let mut client = server
        .try_websocket(&polling.upgrade_target())
        .await
        .unwrap();
    client.send("2probe").await;
    assert_eq!(client.text().await, "3probe");
    assert_eq!(polling.packets().await, "1:6");
    polling.send("6:4cache").await;
    client.send("5").await;
    client.send("4hello").await;
    assert_eq!(client.text().await, "4cache");
    assert_eq!(client.text().await, "4hello");
    assert_eq!(polling.poll().await.status, 400);
}
