//! Bytes that are too many, in the wrong form or in pieces.

use actix_socketio::{Config, DisconnectReason};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::{
    client::masked,
    harness::{TestServer, quick},
};

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009() {
    let server = TestServer::start(Config {
        max_payload: 100_000,
        ..quick()
    });
    let mut client = server.connected("/").await;
    let fits = format!(r#"42["echo","{}"]"#, "x".repeat(100_000 - 13));
    assert_eq!(fits.len(), 100_000);
    client.send(&fits).await;
    assert_eq!(client.text().await, fits);
    client.send(&format!("{fits} ")).await;
    assert_eq!(client.close_code().await, 1009);
    server.assert_disconnected(DisconnectReason::TooBig);
}

#[tokio::test]
async fn the_limit_is_lower_before_a_namespace_is_connected() {
    let server = TestServer::start(quick());
    let payload = |length: usize| format!(r#"40{{"x":"{}"}}"#, "x".repeat(length - 10));
    let mut client = server.client().await;
    client.send(&payload(16 * 1024)).await;
    assert!(client.text().await.starts_with("40{"));
    client.text().await;
    client
        .send(&format!(r#"42["echo","{}"]"#, "x".repeat(500_000)))
        .await;
    assert_eq!(client.text().await.len(), 500_013);

    let mut other = server.client().await;
    other.send(&payload(16 * 1024 + 1)).await;
    assert_eq!(other.close_code().await, 1009);
}

#[tokio::test]
async fn a_message_may_come_in_fragments_with_a_ping_between() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    let fragment = |payload: &'static str, opcode, is_final| {
        Message::Frame(Frame::message(payload, OpCode::Data(opcode), is_final))
    };
    client
        .send_message(fragment(r#"42["ec"#, Data::Text, false))
        .await;
    client.send_message(Message::Ping(vec![7].into())).await;
    client
        .send_message(fragment("ho\",", Data::Continue, false))
        .await;
    assert_eq!(client.next().await, Message::Pong(vec![7].into()));
    client
        .send_message(fragment("1]", Data::Continue, true))
        .await;
    assert_eq!(client.text().await, r#"42["echo",1]"#);
}

#[tokio::test]
async fn a_message_may_come_byte_by_byte() {
    let server = TestServer::start(quick());
    let mut raw = server.connected("/").await.into_raw();
    raw.0.set_nodelay(true).unwrap();
    let stream = [
        masked(0x81, r#"42["echo","é"]"#.as_bytes()),
        masked(0x88, &[3, 232]),
    ]
    .concat();
    for byte in stream {
        raw.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    let answer = raw.read_to_end().await;
    let expected = [
        &b"\x81\x0f"[..],
        r#"42["echo","é"]"#.as_bytes(),
        &[0x88, 2, 3, 232],
    ]
    .concat();
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn bytes_that_are_no_websocket_close_with_their_codes() {
    let server = TestServer::start(quick());
    for (name, bytes, code) in [
        ("not UTF-8", masked(0x81, &[b'4', 0xC3, 0x28]), 1007),
        ("unmasked", b"\x81\x0240".to_vec(), 1002),
        ("reserved bit", masked(0xC1, b"3"), 1002),
        ("bytes that belong to no packet", masked(0x82, b"4"), 1002),
        ("continuation of nothing", masked(0x80, b"3"), 1002),
    ] {
        let mut raw = server.connected("/").await.into_raw();
        raw.send(&bytes).await;
        assert_eq!(raw.close_code().await, code, "{name}");
        server.assert_disconnected(DisconnectReason::ProtocolError);
    }
}

#[tokio::test]
async fn a_close_reaches_a_client_that_is_still_sending() {
    let server = TestServer::start(quick());
    let mut raw = server.connected("/").await.into_raw();
    // Twice what is allowed: without reading on, the server's end would reset the connection over its own farewell.
    let header = [&[0x81, 0xFF][..], &2_000_000_u64.to_be_bytes(), &[0; 4]].concat();
    raw.send(&header).await;
    raw.send(&vec![b'x'; 2_000_000]).await;
    assert_eq!(raw.close_code().await, 1009);
}
