//! How transports end, and that the application is told so exactly once.

use std::time::{Duration, Instant};

use actix_socketio::{Close, Config, DisconnectReason};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{
    client::masked,
    harness::{Order, TestServer, eventually, quick},
};

#[tokio::test]
async fn a_close_of_the_client_is_echoed() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    let close = CloseFrame {
        code: CloseCode::Library(4001),
        reason: "bye".into(),
    };
    client.send_message(Message::Close(Some(close))).await;
    assert_eq!(client.close_code().await, 4001);
    server.assert_disconnected(DisconnectReason::TransportClosed);
    server.until_empty().await;
    assert!(server.is_quiet());
}

#[tokio::test]
async fn a_client_that_vanishes_is_noticed() {
    let server = TestServer::start(quick());
    drop(server.connected("/").await);
    server.assert_disconnected(DisconnectReason::TransportClosed);
    server.until_empty().await;
}

#[tokio::test]
async fn an_engine_close_ends_the_transport() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    client.send("1").await;
    assert_eq!(client.close_code().await, 1000);
    server.assert_disconnected(DisconnectReason::TransportClosed);
}

#[tokio::test]
async fn a_host_closes_after_what_is_queued_and_the_first_code_wins() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    client.connect("/discord").await;
    client.send(r#"42["close"]"#).await;
    assert_eq!(client.text().await, r#"42["last"]"#);
    assert_eq!(client.close_code().await, 1008);
    server.assert_disconnected(DisconnectReason::Closed(Close::Policy));
    server.assert_disconnected(DisconnectReason::Closed(Close::Policy));
    server.until_empty().await;
    assert!(server.is_quiet());
}

#[tokio::test]
async fn a_host_that_panics_loses_that_transport_alone() {
    let server = TestServer::start(quick());
    let mut other = server.connected("/").await;
    let mut client = server.connected("/").await;
    client.send(r#"42["panic"]"#).await;
    assert_eq!(client.close_code().await, 1011);
    server.assert_disconnected(DisconnectReason::HostPanicked);
    other.send(r#"42["echo",1]"#).await;
    assert_eq!(other.text().await, r#"42["echo",1]"#);
}

#[tokio::test]
async fn a_drain_closes_everybody_with_going_away() {
    let server = TestServer::start(quick());
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(server.connected("/discord").await);
    }
    // Twenty slices of 15: when the first is gone, most are here for a second yet, and the last goes at the end.
    let (began, over) = (Instant::now(), Duration::from_secs(2));
    server.order(Order::CloseAll(Close::GoingAway, over));
    for number in 1..=300 {
        server.assert_disconnected(DisconnectReason::Closed(Close::GoingAway));
        if number == 15 {
            let left = server.stats.sockets();
            assert!((150..=285).contains(&left), "{left}");
        }
    }
    assert!(began.elapsed() >= over, "{:?}", began.elapsed());
    for client in &mut clients {
        assert_eq!(client.close_code().await, 1001);
    }
    server.until_empty().await;
    assert_eq!(server.closes("closed"), 300);
}

#[tokio::test]
async fn an_upgrade_that_is_dropped_closes_its_transports() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    server.order(Order::Stop);
    assert_eq!(client.close_code().await, 1001);
    server.until_empty().await;
}

#[tokio::test]
async fn a_client_without_a_namespace_is_closed_in_time() {
    let server = TestServer::start(Config {
        connect_timeout: Duration::from_millis(200),
        ..quick()
    });
    let mut idle = server.client().await;
    let mut waiting = server.client().await;
    waiting.send(r#"40{"token":"never"}"#).await;
    let mut leaving = server.connected("/").await;
    let mut staying = server.connected("/").await;
    leaving.send("41").await;
    assert_eq!(idle.close_code().await, 1008);
    assert_eq!(waiting.close_code().await, 1008);
    assert_eq!(leaving.close_code().await, 1008);
    eventually("all but one are closed", || server.stats.connections() == 1).await;
    staying.send(r#"42["echo"]"#).await;
    assert_eq!(staying.text().await, r#"42["echo"]"#);
    assert_eq!(server.closes("connect_timeout"), 3);
}

#[tokio::test]
async fn a_client_that_answers_pings_stays_and_one_that_does_not_is_closed() {
    let server = TestServer::start(Config {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(300),
        ..quick()
    });
    let mut dead = server.connected("/").await;
    let mut alive = server.connected("/").await;
    let mut pings = 0;
    while pings < 8 {
        assert_eq!(alive.next().await, Message::text("2"));
        alive.send("3").await;
        pings += 1;
    }
    assert_eq!(dead.close_code().await, 1008);
    server.assert_disconnected(DisconnectReason::PingTimeout);
    assert_eq!(server.stats.sockets(), 1);
}

#[tokio::test]
async fn a_peer_that_never_ends_its_half_is_dropped() {
    let server = TestServer::start(quick());
    let client = server.connected("/").await;
    let mut raw = client.into_raw();
    raw.send(&masked(0x81, b"abc")).await;
    server.assert_disconnected(DisconnectReason::ProtocolError);
    // The stream stays open on this side, and nothing is read.
    server.until_empty().await;
    assert!(server.is_quiet());
    drop(raw);
}
