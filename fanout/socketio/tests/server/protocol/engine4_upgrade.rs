//! <https://socket.io/docs/v4/engine-io-protocol/#upgrade>: a session moves from long polling to a WebSocket.

use std::time::Duration;

use actix_socketio::{Config, DisconnectReason};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::Client,
    http::Polling,
    mirror::{MirrorServer, conformance},
};

async fn probed(server: &MirrorServer, polling: &Polling) -> Client {
    let mut client = server
        .try_websocket(&polling.upgrade_target())
        .await
        .unwrap();
    client.send("2probe").await;
    assert_eq!(client.text().await, "3probe");
    client
}

/// "respond with a `pong` packet with the string `probe` in the payload", "send a `noop` packet to any pending `GET` request (if
/// applicable) to cleanly close HTTP long-polling transport", "the client MUST send a `upgrade` packet to complete the upgrade".
#[tokio::test]
async fn a_session_moves_to_a_websocket() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let poll = polling.begin_poll().await;
    // The poll must be there before the probe, for this test to be about it.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut client = probed(&server, &polling).await;
    assert_eq!(poll.answer().await.text(), "6");
    assert_eq!(polling.packets().await, "6");
    client.send("5").await;
    client.send("4hello").await;
    assert_eq!(client.text().await, "4hello");
    assert_eq!(server.running.stats[0].upgraded(), 1);
}

/// Everything may come at once, and what follows the upgrade belongs to the session.
#[tokio::test]
async fn what_follows_the_upgrade_at_once_is_not_lost() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let client = server
        .try_websocket(&polling.upgrade_target())
        .await
        .unwrap();
    let mut raw = client.into_raw();
    let frames =
        ["2probe", "5", "4one", "4two"].map(|text| crate::client::masked(0x81, text.as_bytes()));
    raw.send(&frames.concat()).await;
    let mut client = raw.into_client().await;
    for expected in ["3probe", "4one", "4two"] {
        assert_eq!(client.text().await, expected);
    }
}

/// What was queued while the client polled no more goes out over the WebSocket, in order.
#[tokio::test]
async fn what_is_queued_during_the_upgrade_arrives_once_and_in_order() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    polling.send("4one").await;
    let mut client = probed(&server, &polling).await;
    polling.send("4two").await;
    client.send("5").await;
    client.send("4three").await;
    for expected in ["4one", "4two", "4three"] {
        assert_eq!(client.text().await, expected);
    }
}

/// After the upgrade the polling transport is gone.
#[tokio::test]
async fn polling_requests_after_the_upgrade_are_refused_and_change_nothing() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let mut client = probed(&server, &polling).await;
    client.send("5").await;
    client.send("4there").await;
    assert_eq!(client.text().await, "4there");
    assert_eq!(polling.poll().await.status, 400);
    assert_eq!(polling.post("4hello").await.status, 400);
    client.send("4hello").await;
    assert_eq!(client.text().await, "4hello");
}

/// The heartbeat goes on over the new transport.
#[tokio::test]
async fn the_heartbeat_moves_with_the_session() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    let mut client = probed(&server, &polling).await;
    client.send("5").await;
    for _ in 0..2 {
        assert_eq!(client.next().await, Message::text("2"));
        client.send("3").await;
    }
    client.close_code().await;
    server.assert_closed(DisconnectReason::PingTimeout);
}

/// A WebSocket that says anything else is closed, and the session stays where it is.
#[tokio::test]
async fn a_probe_that_fails_leaves_the_session_alone_and_another_may_try() {
    let server = MirrorServer::start();
    let polling = server.polling(4).await;
    for wrong in ["2", "5", "4hello", "2prob", "abc"] {
        let mut client = server
            .try_websocket(&polling.upgrade_target())
            .await
            .unwrap();
        client.send(wrong).await;
        client.close_code().await;
    }
    let mut client = server
        .try_websocket(&polling.upgrade_target())
        .await
        .unwrap();
    client.send_message(Message::binary(vec![4])).await;
    client.close_code().await;
    drop(probed(&server, &polling).await);
    let mut client = loop {
        // The one that has vanished must be noticed first.
        let mut client = server
            .try_websocket(&polling.upgrade_target())
            .await
            .unwrap();
        client.send("2probe").await;
        if client.next().await == Message::text("3probe") {
            break client;
        }
    };
    client.send("5").await;
    client.send("4hello").await;
    assert_eq!(client.text().await, "4hello");
}

/// A WebSocket that says nothing is closed, and the session stays where it is.
#[tokio::test]
async fn a_probe_that_takes_too_long_is_closed() {
    let server = MirrorServer::start_with(
        Config {
            upgrade_timeout: Duration::from_millis(100),
            ..conformance()
        },
        1,
    );
    let polling = server.polling(4).await;
    let mut silent = server
        .try_websocket(&polling.upgrade_target())
        .await
        .unwrap();
    silent.close_code().await;
    let mut probed = probed(&server, &polling).await;
    probed.close_code().await;
    polling.send("4hello").await;
    assert_eq!(polling.packets().await, "4hello");
}

/// A session whose requests arrive on other threads than its own is the same session.
#[tokio::test]
async fn a_session_is_found_from_every_worker() {
    let workers = 4;
    let server = MirrorServer::start_with(conformance(), workers);
    for _ in 0..8 {
        let polling = server.polling(4).await;
        for number in 0..workers * 2 {
            polling.send(&format!("4{number}")).await;
            assert_eq!(polling.packets().await, format!("4{number}"));
        }
        let mut client = probed(&server, &polling).await;
        client.send("5").await;
        client.send("4hello").await;
        assert_eq!(client.text().await, "4hello");
    }
    let opened: Vec<u64> = server
        .running
        .stats
        .iter()
        .map(|stats| stats.opened())
        .collect();
    assert!(
        opened.iter().filter(|count| **count > 0).count() > 1,
        "{opened:?}"
    );
}
