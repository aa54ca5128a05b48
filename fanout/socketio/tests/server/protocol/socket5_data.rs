//! <https://socket.io/docs/v4/socket-io-protocol/>: events, acknowledgements, attachments.

use actix_socketio::{Config, DisconnectReason};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::Client,
    harness::{TestServer, quick},
    http::Polling,
};

const PLACES: &str = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;

/// "The payload is mandatory and MUST be a non-empty array. If that's not the case, then the receiver MUST close the
/// connection."
#[tokio::test]
async fn an_event_without_an_array_that_begins_with_a_name_closes_the_transport() {
    let server = TestServer::start(quick());
    for packet in [
        "42",
        "42{}",
        "42[]",
        "42null",
        r#"42"echo""#,
        "42[1]",
        r#"42["echo""#,
        "4212",
    ] {
        let mut client = server.connected("/").await;
        client.send(packet).await;
        assert_eq!(client.close_code().await, 1002, "{packet}");
        server.assert_disconnected(DisconnectReason::ProtocolError);
    }
}

/// "Once the connection to a namespace is established, the client and the server can begin exchanging data".
#[tokio::test]
async fn an_event_arrives_with_all_of_its_arguments() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    let event = r#"42["echo",1,"2",{"3":[true]},null,"é€😀"]"#;
    client.send(event).await;
    assert_eq!(client.text().await, event);
}

/// "The receiver MUST respond with an `ACK` packet with the same event ID." "The payload is mandatory and MUST be an array
/// (possibly empty)."
#[tokio::test]
async fn an_acknowledgement_has_the_events_id() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/discord").await;
    client
        .send(r#"42/discord,456["echo",1,"2",{"3":[false]}]"#)
        .await;
    assert_eq!(
        client.text().await,
        r#"43/discord,456[1,"2",{"3":[false]}]"#
    );
    client.send(r#"42/discord,0["echo"]"#).await;
    assert_eq!(client.text().await, "43/discord,0[]");
    client.send(r#"42/discord,7["json"]"#).await;
    assert_eq!(client.text().await, r#"43/discord,7[{"ok":true}]"#);
}

/// "The sender MAY include an event ID in order to request an acknowledgement from the receiver": the server asks.
#[tokio::test]
async fn the_server_asks_and_is_answered() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    for id in 0..3 {
        client.send(r#"42["ask","how?"]"#).await;
        assert_eq!(client.text().await, format!(r#"42{id}["question","how?"]"#));
        client.send(&format!(r#"43{id}["so",{id}]"#)).await;
        assert_eq!(client.text().await, format!(r#"42["answered","so",{id}]"#));
    }
    // An answer that nobody waits for is passed over, whether it was never asked for or is the second.
    client.send("439[]").await;
    client.send("430[]").await;
    // A question whose socket ends is answered by that.
    client.send(r#"42["ask"]"#).await;
    client.text().await;
    client.send(r#"42["ask late"]"#).await;
    assert_eq!(client.text().await, r#"424["question"]"#);
    assert_eq!(
        client.text().await,
        r#"42["unanswered","no answer in time"]"#
    );
}

/// "`BINARY_EVENT`: Used to send binary data to the other side": the text with its placeholders, then the attachments.
#[tokio::test]
async fn an_event_with_attachments_goes_both_ways() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    let header = format!(r#"452-["echo",{PLACES}]"#);
    client.send(&header).await;
    let attachments = [
        Message::binary(vec![1, 2, 3]),
        Message::binary(vec![4, 5, 6]),
    ];
    for attachment in &attachments {
        client.send_message(attachment.clone()).await;
    }
    assert_eq!(client.text().await, header);
    for attachment in attachments {
        assert_eq!(client.message().await, attachment);
    }
}

/// "`BINARY_ACK`: Used to acknowledge an event containing binary data", and the other way round.
#[tokio::test]
async fn an_acknowledgement_may_have_attachments() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    client.send(&format!(r#"452-789["echo",{PLACES}]"#)).await;
    client.send_message(Message::binary(vec![1])).await;
    client.send_message(Message::binary(vec![])).await;
    assert_eq!(client.text().await, format!("462-789[{PLACES}]"));
    assert_eq!(client.message().await, Message::binary(vec![1]));
    assert_eq!(client.message().await, Message::binary(vec![]));
    client.send(r#"42["ask"]"#).await;
    assert_eq!(client.text().await, r#"420["question"]"#);
    client.send(r#"461-0[{"_placeholder":true,"num":0}]"#).await;
    client.send_message(Message::binary(vec![7])).await;
    assert_eq!(
        client.text().await,
        r#"451-["answered",{"_placeholder":true,"num":0}]"#
    );
    assert_eq!(client.message().await, Message::binary(vec![7]));
}

/// Over long polling and in revision 3 of Engine.IO the attachments have the forms of those.
#[tokio::test]
async fn attachments_go_over_every_transport() {
    let server = TestServer::start(Config {
        allow_eio3: true,
        ..quick()
    });
    let header = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    let polling = Polling::open(server.address, "/socket.io/", "EIO=4").await;
    polling.send("40").await;
    while !polling.packets().await.contains("welcome") {}
    polling.send(&format!("{header}\x1ebAQID")).await;
    assert_eq!(polling.packets().await, format!("{header}\x1ebAQID"));
    let polling = Polling::open(server.address, "/socket.io/", "EIO=3&b64=1").await;
    while !polling.packets().await.contains("welcome") {}
    let body = format!("{}:{header}6:b4AQID", header.len());
    polling.send(&body).await;
    assert_eq!(polling.packets().await, body);
    let target = "/socket.io/?EIO=3&transport=websocket";
    let mut client = Client::try_open(server.address, target, &[]).await.unwrap();
    client.text().await;
    client.connect_eio3().await;
    client.send(header).await;
    client.send_message(Message::binary(vec![4, 1, 2, 3])).await;
    assert_eq!(client.text().await, header);
    assert_eq!(client.message().await, Message::binary(vec![4, 1, 2, 3]));
}

/// What comes between a packet and its attachments, or without one, closes the transport.
#[tokio::test]
async fn attachments_that_are_missing_or_surplus_close_the_transport() {
    let server = TestServer::start(quick());
    let header = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    let bytes = || Message::binary(vec![1]);
    for messages in [
        vec![bytes()],
        vec![header.into(), r#"42["echo"]"#.into()],
        vec![header.into(), bytes(), bytes()],
        vec![r#"451-["echo",{"_placeholder":true,"num":1}]"#.into()],
        vec![r#"45-["echo"]"#.into()],
        vec![r#"4565-["echo"]"#.into()],
    ] {
        let mut client = server.connected("/").await;
        for message in messages {
            client.send_message(message).await;
        }
        assert_eq!(client.close_code().await, 1002);
        server.assert_disconnected(DisconnectReason::ProtocolError);
    }
    let mut client = server.connected("/").await;
    client.send(r#"450-["echo",1]"#).await;
    assert_eq!(client.text().await, r#"42["echo",1]"#);
}

/// All attachments of a packet together are held to the bound of one message.
#[tokio::test]
async fn attachments_together_are_bounded() {
    let server = TestServer::start(Config {
        max_payload: 1_000,
        ..quick()
    });
    let mut client = server.connected("/").await;
    client.send(&format!(r#"452-["echo",{PLACES}]"#)).await;
    client.send_message(Message::binary(vec![1; 600])).await;
    client.send_message(Message::binary(vec![1; 600])).await;
    assert_eq!(client.close_code().await, 1009);
}

/// "the namespace is only included if it is different from the main namespace (`/`)".
#[tokio::test]
async fn the_main_namespace_is_not_named() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    client.send(r#"42/,["echo",1]"#).await;
    assert_eq!(client.text().await, r#"42["echo",1]"#);
}
