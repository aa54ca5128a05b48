//! Socket.IO: connecting, leaving, events, acknowledgements, and packets out of order.

use std::time::Duration;

use actix_socketio::{Config, DisconnectReason};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::Client,
    harness::{TestServer, Told, quick},
};

#[tokio::test]
async fn both_namespaces_connect_over_one_transport() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    client.connect("/discord").await;
    assert_eq!(server.told(), Told::Connected("/".to_owned()));
    assert_eq!(server.told(), Told::Connected("/discord".to_owned()));
    assert_eq!((server.stats.connections(), server.stats.sockets()), (1, 2));

    client
        .send(r#"42/discord,["echo",{"a":[1,"é"]},null]"#)
        .await;
    assert_eq!(
        client.text().await,
        r#"42/discord,["echo",{"a":[1,"é"]},null]"#
    );
    client.send(r#"42["echo"]"#).await;
    assert_eq!(client.text().await, r#"42["echo"]"#);
}

#[tokio::test]
async fn a_connect_may_carry_a_query_and_be_answered_with_a_private_id() {
    let server = TestServer::start(quick());
    let mut client = server.client().await;
    client.send(r#"40/discord?token=a%20b,{"pid":1}"#).await;
    let answer = client.text().await;
    assert!(answer.ends_with(r#","pid":"private"}"#), "{answer}");
    let welcome = client.text().await;
    assert!(
        welcome.contains(r#"/discord Some(\"token=a%20b\") None"#),
        "{welcome}"
    );
}

#[tokio::test]
async fn a_refused_connect_may_be_tried_again() {
    let server = TestServer::start(quick());
    let mut client = server.client().await;
    client.send(r#"40/discord,{"token":"bad"}"#).await;
    let refusal = r#"44/discord,{"message":"no entry","data":{"code":"BAD"}}"#;
    assert_eq!(client.text().await, refusal);
    client.send("40/random?a=b,").await;
    assert_eq!(
        client.text().await,
        r#"44/random,{"message":"Invalid namespace"}"#
    );
    client.connect("/discord").await;
}

#[tokio::test]
async fn acknowledgements_answer_their_event() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/discord").await;
    client.send(r#"42/discord,7["echo",1,{"b":2}]"#).await;
    assert_eq!(client.text().await, r#"43/discord,7[1,{"b":2}]"#);
    client
        .send(r#"42/discord,18446744073709551615["echo"]"#)
        .await;
    assert_eq!(client.text().await, "43/discord,18446744073709551615[]");
    client.send(r#"42/discord,8["json"]"#).await;
    assert_eq!(client.text().await, r#"43/discord,8[{"ok":true}]"#);
    // An answer to nothing that was asked is passed over, and an acknowledgement that is dropped sends nothing.
    client.send("43/discord,1[]").await;
    client.send(r#"42/discord,9["unanswered"]"#).await;
    client.send(r#"42/discord,["echo",3]"#).await;
    assert_eq!(client.text().await, r#"42/discord,["echo",3]"#);
}

#[tokio::test]
async fn a_client_leaves_one_namespace_and_may_come_back() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    client.connect("/discord").await;
    client.send("41/discord,").await;
    server.assert_disconnected(DisconnectReason::ClientLeft);
    client.send(r#"42["echo",1]"#).await;
    assert_eq!(client.text().await, r#"42["echo",1]"#);
    client.connect("/discord").await;
}

#[tokio::test]
async fn a_server_ends_one_namespace_with_one_packet() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    client.connect("/discord").await;
    // The second was on its way when the first took effect.
    client.send(r#"42/discord,["leave"]"#).await;
    client.send(r#"42/discord,["echo"]"#).await;
    client.send(r#"42["echo",1]"#).await;
    assert_eq!(client.text().await, "41/discord,");
    assert_eq!(client.text().await, r#"42["echo",1]"#);
    server.assert_disconnected(DisconnectReason::ServerLeft);
    assert_eq!(
        server.told(),
        Told::Event("echo".to_owned(), "1".to_owned())
    );
    assert!(server.is_quiet());
    client.connect("/discord").await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_connects_is_forgotten() {
    let server = TestServer::start(quick());
    let mut client = server.client().await;
    client.send(r#"40/discord,{"token":"never"}"#).await;
    client.send("41/discord,").await;
    assert_eq!(server.told(), Told::ConnectDropped);
    client.connect("/discord").await;
}

#[tokio::test]
async fn packets_that_are_invalid_or_out_of_order_close_the_transport() {
    let server = TestServer::start(quick());
    for (text, code) in [
        ("abc", 1002),
        ("2", 1002),
        ("0{}", 1002),
        ("7", 1002),
        ("", 1002),
        ("4", 1002),
        ("4abc", 1002),
        ("40", 1002),
        ("40/discord,[]", 1002),
        ("42{}", 1002),
        ("42[]", 1002),
        ("42[1]", 1002),
        (r#"42["disconnect"]"#, 1002),
        (r#"42abc["message-with-ack",1]"#, 1002),
        (r#"42/discord,["echo"]"#, 1002),
        (r#"42/random,["echo"]"#, 1002),
        ("41/discord,", 1002),
        ("43/discord,1[]", 1002),
        ("44{}", 1002),
        (r#"451-["echo",{"_placeholder":true,"num":1}]"#, 1002),
    ] {
        let mut client = server.connected("/").await;
        client.send(text).await;
        assert_eq!(client.close_code().await, code, "{text}");
        server.assert_disconnected(DisconnectReason::ProtocolError);
    }
}

#[tokio::test]
async fn a_second_connect_while_the_first_is_pending_closes_the_transport() {
    let server = TestServer::start(quick());
    let mut client = server.client().await;
    client.send(r#"40{"token":"never"}"#).await;
    client.send("40").await;
    assert_eq!(client.close_code().await, 1002);
    assert_eq!(server.told(), Told::ConnectDropped);
    assert!(server.is_quiet());
}

#[tokio::test]
async fn pings_of_the_websocket_are_answered() {
    let server = TestServer::start(quick());
    let mut client = Client::open(server.address, &[]).await;
    client.send_message(Message::Ping(vec![1, 2].into())).await;
    assert_eq!(client.next().await, Message::Pong(vec![1, 2].into()));
}

#[tokio::test]
async fn a_client_that_uses_no_bytes_sends_attachments_in_base64_over_a_websocket_too() {
    let server = TestServer::start(Config {
        allow_eio3: true,
        ..quick()
    });
    let event = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    let mut client = server.connected("/").await;
    client.send(event).await;
    client.send("bAQID").await;
    assert_eq!(client.text().await, event);
    assert_eq!(
        client.message().await,
        Message::Binary(vec![1, 2, 3].into())
    );

    let query = "/socket.io/?EIO=3&transport=websocket";
    let mut old = Client::try_open(server.address, query, &[]).await.unwrap();
    assert!(old.text().await.starts_with('0'));
    old.connect_eio3().await;
    old.send(event).await;
    old.send("b4AQID").await;
    assert_eq!(old.text().await, event);
    assert_eq!(
        old.message().await,
        Message::Binary(vec![4, 1, 2, 3].into())
    );

    client.send("b not base64").await;
    assert_eq!(client.close_code().await, 1002);
}

#[tokio::test]
async fn a_connect_that_is_not_decided_in_time_is_refused_beside_another_namespace() {
    let server = TestServer::start(Config {
        connect_timeout: Duration::from_secs(1),
        ..quick()
    });
    let mut client = server.connected("/").await;
    client.send(r#"40/discord,{"never":true}"#).await;
    assert_eq!(client.text().await, r#"44/discord,{"message":"Timeout"}"#);
    client.send(r#"42["echo"]"#).await;
    assert_eq!(client.text().await, r#"42["echo"]"#);
}
