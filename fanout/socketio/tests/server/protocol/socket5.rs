//! <https://socket.io/docs/v4/socket-io-protocol/>: connecting to namespaces and leaving them, with the differences of the
//! clients of version 2.

use std::time::Duration;

use actix_socketio::{Config, DisconnectReason};

use crate::{
    client::Client,
    harness::{TestServer, Told, quick},
    http::Polling,
};

fn conformance() -> Config {
    Config {
        allow_eio3: true,
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_secs(1),
        ..quick()
    }
}

/// The settings of clients that take their time.
fn unhurried() -> Config {
    Config {
        allow_eio3: true,
        ..quick()
    }
}

async fn eio3(server: &TestServer, headers: &[(&'static str, &str)]) -> Client {
    let target = "/socket.io/?EIO=3&transport=websocket";
    let mut client = Client::try_open(server.address, target, headers)
        .await
        .unwrap();
    assert!(client.text().await.starts_with("0{"));
    client
}

/// "At the beginning of a Socket.IO session, the client MUST send a `CONNECT` packet". "The server MUST respond with a
/// `CONNECT` packet if the connection is successful, with the session ID in the payload".
#[tokio::test]
async fn a_connect_is_answered_with_an_id() {
    let server = TestServer::start(conformance());
    for (sent, prefix) in [
        ("40", "40"),
        (r#"40{"token":"123"}"#, "40"),
        ("40/discord,", "40/discord,"),
        ("40/discord", "40/discord,"),
        (r#"40/discord,{"token":"123"}"#, "40/discord,"),
    ] {
        let mut client = server.client().await;
        client.send(sent).await;
        let answer = client.text().await;
        let payload = answer.strip_prefix(prefix).unwrap();
        let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
        let keys: Vec<_> = payload.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["sid"], "{sent}");
        assert_eq!(payload["sid"].as_str().unwrap().len(), 20);
    }
}

/// "or a `CONNECT_ERROR` packet if the connection is not allowed".
#[tokio::test]
async fn a_refusal_is_a_connect_error_and_the_transport_stays() {
    let server = TestServer::start(conformance());
    let mut client = server.client().await;
    client.send(r#"40{"token":"bad"}"#).await;
    assert_eq!(
        client.text().await,
        r#"44{"message":"no entry","data":{"code":"BAD"}}"#
    );
    client.send("40/random").await;
    assert_eq!(
        client.text().await,
        r#"44/random,{"message":"Invalid namespace"}"#
    );
    client.connect("/").await;
}

/// "If the server does not receive a `CONNECT` packet first, then it MUST close the connection immediately."
#[tokio::test]
async fn anything_before_the_connect_closes_the_transport() {
    let server = TestServer::start(conformance());
    for packet in [
        r#"42["echo"]"#,
        "41",
        "431[]",
        "44{}",
        "4abc",
        r#"451-["echo",{"_placeholder":true,"num":0}]"#,
    ] {
        let mut client = server.client().await;
        client.send(packet).await;
        if packet.starts_with("45") {
            client.send_message(vec![1].into()).await;
        }
        assert_eq!(client.close_code().await, 1002, "{packet}");
    }
}

/// And nothing at all in time.
#[tokio::test]
async fn a_client_that_does_not_connect_in_time_is_closed() {
    let server = TestServer::start(Config {
        connect_timeout: Duration::from_millis(200),
        ..conformance()
    });
    let mut client = server.client().await;
    assert_eq!(client.close_code().await, 1008);
    server.until_empty().await;
    assert_eq!(server.closes("connect_timeout"), 1);
}

/// "A client MAY be connected to multiple namespaces at the same time, with the same underlying WebSocket connection."
#[tokio::test]
async fn a_client_is_connected_to_several_namespaces() {
    let server = TestServer::start(conformance());
    let mut client = server.client().await;
    client.connect("/").await;
    client.connect("/discord").await;
    client.send(r#"42["echo",1]"#).await;
    client.send(r#"42/discord,["echo",2]"#).await;
    assert_eq!(client.text().await, r#"42["echo",1]"#);
    assert_eq!(client.text().await, r#"42/discord,["echo",2]"#);
}

/// "At any time, one side can end the connection to a namespace by sending a `DISCONNECT` packet". "No response is expected
/// from the other side. The low-level connection MAY be kept alive".
#[tokio::test]
async fn a_client_leaves_one_namespace_and_stays_in_the_other() {
    let server = TestServer::start(conformance());
    let mut client = server.client().await;
    client.connect("/").await;
    client.connect("/discord").await;
    client.send("41/discord").await;
    client.send(r#"42["echo","to main"]"#).await;
    assert_eq!(client.text().await, r#"42["echo","to main"]"#);
    client.send("41").await;
    // Nothing but the next ping.
    assert_eq!(client.next().await, "2".into());
    server.assert_disconnected(DisconnectReason::ClientLeft);
}

/// The other way round.
#[tokio::test]
async fn the_server_ends_a_namespace_with_a_disconnect() {
    let server = TestServer::start(conformance());
    let mut client = server.client().await;
    client.connect("/").await;
    client.connect("/discord").await;
    client.send(r#"42/discord,["leave"]"#).await;
    assert_eq!(client.text().await, "41/discord,");
    client.send(r#"42["echo"]"#).await;
    assert_eq!(client.text().await, r#"42["echo"]"#);
    server.assert_disconnected(DisconnectReason::ServerLeft);
}

/// The sample session of the page, over long polling.
#[tokio::test]
async fn the_sample_session_goes_over_polling_and_moves_to_a_websocket() {
    let server = TestServer::start(unhurried());
    let polling = Polling::open(server.address, "/socket.io/", "EIO=4").await;
    polling.send("40").await;
    let mut packets = String::new();
    while packets.matches('\x1e').count() < 1 {
        packets.push_str(&polling.packets().await);
        if !packets.contains("welcome") {
            packets.push('\x1e');
        }
    }
    assert!(packets.starts_with(r#"40{"sid":""#), "{packets}");
    assert!(packets.contains(r#"42["welcome""#), "{packets}");
    polling
        .send("42[\"echo\",\"hello\"]\x1e42[\"echo\",\"world\"]")
        .await;
    assert_eq!(
        polling.packets().await,
        "42[\"echo\",\"hello\"]\x1e42[\"echo\",\"world\"]"
    );
    let mut client = Client::try_open(server.address, &polling.upgrade_target(), &[])
        .await
        .unwrap();
    client.send("2probe").await;
    assert_eq!(client.text().await, "3probe");
    client.send("5").await;
    client.send(r#"421["echo","over"]"#).await;
    assert_eq!(client.text().await, r#"431["over"]"#);
    assert_eq!(server.stats.sockets(), 1);
}

/// The private id of connection state recovery stands beside the socket's, and what the client remembers is read.
#[tokio::test]
async fn a_recovered_client_gets_its_ids_back_and_what_it_missed_before_anything_else() {
    let server = TestServer::start(conformance());
    let mut client = server.client().await;
    client.send(r#"40{"token":"pid"}"#).await;
    let answer = client.text().await;
    assert!(answer.ends_with(r#"","pid":"private"}"#), "{answer}");
    client.text().await;
    let mut again = server.client().await;
    again
        .send(r#"40{"pid":"private","offset":"7","token":"pid"}"#)
        .await;
    assert_eq!(
        again.text().await,
        r#"40{"sid":"restored","pid":"private"}"#
    );
    for number in 8..=10 {
        assert_eq!(
            again.text().await,
            format!(r#"42["missed",{number},"{number}"]"#)
        );
    }
    assert!(again.text().await.contains("welcome"));
}

// --- clients of version 2, over Engine.IO 3

/// They are put into `/` without a CONNECT, and are answered without a payload.
#[tokio::test]
async fn a_client_of_version_2_is_put_into_the_main_namespace() {
    let server = TestServer::start(unhurried());
    let mut client = eio3(&server, &[]).await;
    assert_eq!(client.text().await, "40");
    assert!(client.text().await.starts_with(r#"42["welcome","#));
    assert_eq!(server.told(), Told::Connected("/".into()));
    // Its own CONNECT for `/` changes nothing.
    client.send("40").await;
    client.send("40/discord?token=x&y=%2C,").await;
    assert_eq!(client.text().await, "40/discord,");
    let welcome = client.text().await;
    assert!(welcome.contains(r#"Some(\"token=x&y=%2C\")"#), "{welcome}");
    client.send(r#"42/discord,12["echo",1]"#).await;
    assert_eq!(client.text().await, "43/discord,12[1]");
}

/// They hear of refusals as plain texts.
#[tokio::test]
async fn a_client_of_version_2_is_refused_with_a_text() {
    let server = TestServer::start(unhurried());
    let mut client = eio3(&server, &[]).await;
    client.connect_eio3().await;
    client.send("40/random,").await;
    assert_eq!(client.text().await, r#"44/random,"Invalid namespace""#);
    let mut refused = eio3(&server, &[("x-no-entry", "1")]).await;
    assert_eq!(refused.text().await, r#"44"no entry""#);
    refused.send("40/discord,").await;
    assert_eq!(refused.text().await, r#"44/discord,"no entry""#);
}

/// With a grace nothing at all is said of `/`, as long as another namespace may come.
#[tokio::test]
async fn a_refusal_that_nobody_asked_for_is_held_back() {
    let server = TestServer::start(Config {
        implicit_grace: Some(Duration::from_millis(300)),
        ..unhurried()
    });
    let headers = [("x-no-entry", "implicit")];
    let mut elsewhere = eio3(&server, &headers).await;
    elsewhere.send("40/discord,").await;
    assert_eq!(elsewhere.text().await, "40/discord,");
    elsewhere.text().await;
    let mut nowhere = eio3(&server, &headers).await;
    assert_eq!(nowhere.text().await, r#"44"no entry""#);
    nowhere.close_code().await;
    elsewhere.send(r#"42/discord,["echo"]"#).await;
    assert_eq!(elsewhere.text().await, r#"42/discord,["echo"]"#);
}
