//! <https://socket.io/docs/v4/engine-io-protocol/>: transports, handshake, heartbeat, messages.

use std::time::{Duration, Instant};

use actix_socketio::DisconnectReason;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    http::{Polling, Request},
    mirror::{MirrorServer, PATH},
};

/// "If a mandatory query parameter is missing, then the server MUST respond with an HTTP 400 error status."
#[tokio::test]
async fn a_request_without_a_mandatory_parameter_is_answered_with_400() {
    let server = MirrorServer::start();
    let sid = server.polling(4).await.sid;
    for query in [
        "transport=polling".to_owned(),
        "EIO=abc&transport=polling".to_owned(),
        "EIO=4".to_owned(),
        "EIO=4&transport=abc".to_owned(),
        format!("transport=polling&sid={sid}"),
        format!("EIO=4&sid={sid}"),
    ] {
        let target = format!("{PATH}?{query}");
        let request = Request::send(server.address(), "GET", &target, &[], b"").await;
        assert_eq!(request.answer().await.status, 400, "{query}");
    }
}

/// "If a mandatory query parameter is missing, then the server MUST close the WebSocket connection."
#[tokio::test]
async fn a_websocket_without_a_mandatory_parameter_is_closed() {
    let server = MirrorServer::start();
    for query in [
        "transport=websocket",
        "EIO=abc&transport=websocket",
        "EIO=4",
        "EIO=4&transport=abc",
    ] {
        let refused = server.try_websocket(&format!("{PATH}?{query}")).await;
        assert!(refused.is_err(), "{query}");
    }
}

/// "To establish a connection, the client MUST send an HTTP `GET` request to the server".
#[tokio::test]
async fn a_session_begins_with_a_get_and_nothing_else() {
    let server = MirrorServer::start();
    let target = format!("{PATH}?EIO=4&transport=polling");
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = Request::send(server.address(), method, &target, &[], b"").await;
        let answer = request.answer().await;
        assert_eq!(answer.status, 400, "{method}");
        assert_eq!(
            answer.text(),
            r#"{"code":2,"message":"Bad handshake method"}"#
        );
    }
}

/// "If the server accepts the connection, then it MUST respond with an `open` packet with the following JSON-encoded
/// payload".
#[tokio::test]
async fn a_session_that_polls_is_opened_with_everything_that_its_client_needs() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let open = polling.open.as_object().unwrap();
    let keys: std::collections::BTreeSet<_> = open.keys().map(String::as_str).collect();
    let expected = [
        "maxPayload",
        "pingInterval",
        "pingTimeout",
        "sid",
        "upgrades",
    ];
    assert_eq!(keys, expected.into());
    assert_eq!(polling.open["upgrades"], serde_json::json!(["websocket"]));
    assert_eq!(polling.open["pingInterval"], 300);
    assert_eq!(polling.open["pingTimeout"], 200);
    assert_eq!(polling.open["maxPayload"], 1_000_000);
}

/// The same over a WebSocket, where nothing is left to upgrade to.
#[tokio::test]
async fn a_session_over_a_websocket_has_no_upgrades() {
    let server = MirrorServer::start();
    let target = format!("{PATH}?EIO=4&transport=websocket");
    let mut client = server.try_websocket(&target).await.unwrap();
    let open = client.text().await;
    let json: serde_json::Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    assert_eq!(json["upgrades"], serde_json::json!([]));
    assert_eq!(
        (&json["pingInterval"], &json["pingTimeout"]),
        (&300.into(), &200.into())
    );
    assert!(json["sid"].is_string() && json["maxPayload"] == 1_000_000);
}

/// "Without an explicit `Content-Type` header, the receiver SHOULD infer that the data is plaintext."
#[tokio::test]
async fn a_body_without_a_type_is_text() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let (target, body) = (polling.target(), "4é".as_bytes());
    let post = Request::send(polling.address, "POST", &target, &[], body).await;
    assert_eq!(post.answer().await.status, 200);
    let answer = polling.poll().await;
    assert_eq!(answer.text(), "4é");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

/// "To indicate success, the server MUST return an HTTP 200 response, with the string `ok` in the response body."
#[tokio::test]
async fn a_post_is_answered_with_ok() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let answer = polling.post("4hello").await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert_eq!(polling.packets().await, "4hello");
}

/// "The server MUST return an HTTP 400 response if the session ID (from the `sid` query parameter) is not known." For a POST
/// and for a GET.
#[tokio::test]
async fn a_session_that_is_not_known_is_answered_with_400() {
    let server = MirrorServer::start();
    let known = server.polling(4).await;
    for sid in [
        "abc",
        "0.AAAAAAAAAAAAAAAAAAAAA",
        "0.9AAAAAAAAAAAAAAAAAAAA",
        "other.AAAAAAAAAAAAAAAAAAAAA",
    ] {
        let polling = Polling {
            sid: sid.to_owned(),
            ..known.clone()
        };
        for answer in [polling.poll().await, polling.post("4hello").await] {
            assert_eq!(answer.status, 400, "{sid}");
            assert_eq!(
                answer.text(),
                r#"{"code":1,"message":"Session ID unknown"}"#
            );
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
        let refused = server.try_websocket(&polling.upgrade_target()).await;
        assert!(refused.is_err(), "{sid}");
    }
    known.send("4still there").await;
    assert_eq!(known.packets().await, "4still there");
}

/// "To ensure packet ordering, a client MUST NOT have more than one active `POST` request. Should it happen, the server MUST
/// return an HTTP 400 error status and close the session."
#[tokio::test]
async fn a_second_post_at_a_time_closes_the_session() {
    use tokio::io::AsyncWriteExt;
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    // A body of which one byte is missing.
    let mut stream = tokio::net::TcpStream::connect(polling.address)
        .await
        .unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n4hell",
        polling.target()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let second = loop {
        let answer = polling.post("4world").await;
        // Until the first has arrived the second is the only one.
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(second.status, 400);
    server.assert_closed(DisconnectReason::ProtocolError);
    assert_eq!(polling.poll().await.status, 400);
}

/// "The server MAY not respond right away if there are no packets buffered for the given session. Once there are some packets
/// to be sent, the server SHOULD encode them and send them in the response body of the HTTP request."
#[tokio::test]
async fn a_poll_waits_for_packets() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let poll = polling.begin_poll().await;
    polling.send("4later").await;
    assert_eq!(poll.answer().await.text(), "4later");
}

/// "To ensure packet ordering, a client MUST NOT have more than one active `GET` request. Should it happen, the server MUST
/// return an HTTP 400 error status and close the session."
#[tokio::test]
async fn a_second_poll_at_a_time_closes_the_session() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let first = polling.begin_poll().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = polling.poll().await;
    assert_eq!(second.status, 400);
    let first = first.answer().await;
    assert_eq!((first.status, first.text()), (200, "1"));
    server.assert_closed(DisconnectReason::ProtocolError);
    assert_eq!(polling.poll().await.status, 400);
}

/// Nobody could say whether the packets of a poll that was given up have arrived.
#[tokio::test]
async fn a_poll_that_is_given_up_closes_the_session() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let poll = polling.begin_poll().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    drop(poll);
    server.assert_closed(DisconnectReason::TransportClosed);
    assert_eq!(polling.poll().await.status, 400);
}

/// The same for a POST.
#[tokio::test]
async fn a_post_that_is_given_up_closes_the_session() {
    use tokio::io::AsyncWriteExt;
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let mut stream = tokio::net::TcpStream::connect(polling.address)
        .await
        .unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n4hell",
        polling.target()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    drop(stream);
    server.assert_closed(DisconnectReason::TransportClosed);
}

/// "A client MUST NOT open more than one WebSocket connection per session. Should it happen, the server MUST close the
/// WebSocket connection."
#[tokio::test]
async fn a_second_websocket_of_a_session_is_closed() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let mut first = server
        .try_websocket(&polling.upgrade_target())
        .await
        .unwrap();
    first.send("2probe").await;
    assert_eq!(first.text().await, "3probe");
    let mut second = server
        .try_websocket(&polling.upgrade_target())
        .await
        .unwrap();
    second.close_code().await;
    first.send("5").await;
    let mut third = server
        .try_websocket(&polling.upgrade_target())
        .await
        .unwrap();
    third.close_code().await;
    first.send("4hello").await;
    assert_eq!(first.text().await, "4hello");
}

/// "Each packet (read or write) is sent its own WebSocket frame."
#[tokio::test]
async fn each_packet_is_a_frame_of_its_own() {
    let server = MirrorServer::start();
    let mut client = server.websocket(4).await;
    client.send("4one").await;
    client.send("4two").await;
    assert_eq!(client.text().await, "4one");
    assert_eq!(client.text().await, "4two");
}

/// "Binary payloads are sent as is, without modification."
#[tokio::test]
async fn bytes_go_over_a_websocket_as_they_are() {
    let server = MirrorServer::start();
    let mut client = server.websocket(4).await;
    let bytes = Message::binary(vec![1, 2, 3, 4]);
    client.send_message(bytes.clone()).await;
    assert_eq!(client.message().await, bytes);
}

/// "At a given interval (the `pingInterval` value sent in the handshake) the server sends a `ping` packet and the client has
/// a few seconds (the `pingTimeout` value) to send a `pong` packet back."
#[tokio::test]
async fn the_server_pings_and_a_client_that_answers_stays() {
    let server = MirrorServer::start();
    let mut client = server.websocket(4).await;
    let polling = server.polling(4).await;
    for _ in 0..3 {
        assert_eq!(client.next().await, Message::text("2"));
        client.send("3").await;
        assert_eq!(polling.packets().await, "2");
        polling.send("3").await;
    }
}

/// "If the server does not receive a `pong` packet back, then it SHOULD consider that the connection is closed."
#[tokio::test]
async fn a_client_that_does_not_answer_a_ping_is_gone() {
    let server = MirrorServer::start();
    let began = Instant::now();
    let polling = server.polling(4).await;
    let mut client = server.websocket(4).await;
    client.close_code().await;
    assert!(began.elapsed() >= Duration::from_millis(500));
    server.assert_closed(DisconnectReason::PingTimeout);
    server.assert_closed(DisconnectReason::PingTimeout);
    assert_eq!(polling.poll().await.status, 400);
}

/// The moment counts, not whether a timer has noticed.
#[tokio::test]
async fn a_poll_that_comes_when_its_time_is_over_is_too_late() {
    let server = MirrorServer::start();
    for _ in 0..3 {
        let polling = server.polling(4).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(polling.poll().await.status, 400);
    }
}

/// "The packets are separated by the record separator character: `\x1e`".
#[tokio::test]
async fn a_payload_is_several_packets() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    polling.send("4test1\x1e4test2\x1e4test3").await;
    assert_eq!(polling.packets().await, "4test1\x1e4test2\x1e4test3");
}

/// "Binary payloads MUST be base64-encoded and prefixed with a `b` character".
#[tokio::test]
async fn bytes_are_base64_in_a_payload() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    polling.send("4hello\x1ebAQIDBA==").await;
    assert_eq!(polling.packets().await, "4hello\x1ebAQIDBA==");
    // The reference server takes no other form either.
    let answer = polling
        .post_bytes(&[1, 2], "application/octet-stream")
        .await;
    assert_eq!(answer.status, 400);
    server.assert_closed(DisconnectReason::ProtocolError);
}

/// "The character encoding is UTF-8 for plain text and for base64-encoded binary payloads."
#[tokio::test]
async fn a_body_that_is_no_utf_8_closes_the_session() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let answer = polling.post_bytes(&[b'4', 0xFF], "text/plain").await;
    assert_eq!(answer.status, 400);
    server.assert_closed(DisconnectReason::ProtocolError);
}

/// An invalid packet closes the session, over both transports.
#[tokio::test]
async fn an_invalid_packet_closes_the_session() {
    let server = MirrorServer::start();
    for body in ["abc", "", "4a\x1e", "2", "0{}", "b!!"] {
        let polling = server.polling(4).await;
        assert_eq!(polling.post(body).await.status, 400, "{body}");
        server.assert_closed(DisconnectReason::ProtocolError);
        assert_eq!(polling.poll().await.status, 400, "{body}");
    }
    let mut client = server.websocket(4).await;
    client.send("abc").await;
    client.close_code().await;
    server.assert_closed(DisconnectReason::ProtocolError);
}

/// "close: Used to indicate that a transport can be closed." Of the client: its poll ends with nothing.
#[tokio::test]
async fn a_client_closes_its_session() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let poll = polling.begin_poll().await;
    polling.send("1").await;
    let answer = poll.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "6"));
    server.assert_closed(DisconnectReason::TransportClosed);
    assert_eq!(polling.poll().await.status, 400);
    let mut client = server.websocket(4).await;
    client.send("1").await;
    assert_eq!(client.close_code().await, 1000);
    server.assert_closed(DisconnectReason::TransportClosed);
}

/// Of the server: the client learns it with its poll, or with its next one.
#[tokio::test]
async fn the_server_closes_a_session_that_polls() {
    let server = MirrorServer::start();
    let waiting = server.polling(4).await;
    let poll = waiting.begin_poll().await;
    waiting.send("4close").await;
    assert_eq!(poll.answer().await.text(), "1");
    let coming = server.polling(4).await;
    coming.send("4before\x1e4close").await;
    assert_eq!(coming.packets().await, "4before\x1e1");
    assert_eq!(coming.poll().await.status, 400);
}

/// A client that is to come back is told nothing: its polls fail, which all official clients take for a broken transport.
#[tokio::test]
async fn the_server_sends_a_session_that_polls_elsewhere() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let poll = polling.begin_poll().await;
    polling.send("4go away").await;
    assert_eq!(poll.answer().await.status, 400);
    server.assert_closed(DisconnectReason::Closed(actix_socketio::Close::GoingAway));
    assert_eq!(polling.poll().await.status, 400);
}

/// "The client SHOULD use the `maxPayload` value": a client that does not is refused.
#[tokio::test]
async fn a_body_over_the_limit_closes_the_session() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let body = format!("4{}", "x".repeat(999_999));
    polling.send(&body).await;
    assert_eq!(polling.packets().await.len(), 1_000_000);
    assert_eq!(polling.post(&format!("{body}x")).await.status, 413);
    server.assert_closed(DisconnectReason::TooBig);
}

/// A refusal of the application is its own answer.
#[tokio::test]
async fn the_application_refuses_a_handshake() {
    let server = MirrorServer::start();
    let target = format!("{PATH}?EIO=4&transport=polling");
    let request = Request::send(server.address(), "GET", &target, &[("x-refuse", "1")], b"");
    let answer = request.await.answer().await;
    assert_eq!((answer.status, answer.text()), (403, r#"{"no":true}"#));
}
