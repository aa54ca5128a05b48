//! zstd-stream: one continuous stream a connection, flushed with each message.

use std::io::Write as _;

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::World;

#[tokio::test]
async fn a_compressed_connection_is_one_stream_of_binary_messages() {
    let world = World::start().await;
    let url = format!("{}&compress=zstd-stream", world.gateway_url());
    let (mut socket, _) = connect_async(url).await.unwrap();
    let mut decoder = zstd::stream::write::Decoder::new(Vec::new()).unwrap();
    let mut names = Vec::new();
    let (mut packed, mut plain) = (0, 0);
    while names.len() < 5 {
        let message = socket.next().await.unwrap().unwrap();
        let Message::Binary(bytes) = message else {
            panic!("not binary: {message:?}")
        };
        decoder.write_all(&bytes).unwrap();
        decoder.flush().unwrap();
        let text = std::mem::take(decoder.get_mut());
        (packed, plain) = (packed + bytes.len(), plain + text.len());
        let frame: Value = serde_json::from_slice(&text).expect("one whole frame a message");
        if frame["op"] == 10 {
            let token = world.sim.token();
            let identify =
                json!({ "op": 2, "d": { "token": token, "intents": 513, "properties": {} } });
            socket
                .send(Message::text(identify.to_string()))
                .await
                .unwrap();
        }
        if names.len() == 3 {
            let channel = world.channel("general");
            let path = format!("/channels/{channel}/messages");
            world
                .done(Method::POST, &path, json!({ "content": "x" }))
                .await;
        }
        names.push(frame["t"].as_str().unwrap_or("HELLO").to_owned());
    }
    let expected = [
        "HELLO",
        "READY",
        "GUILD_CREATE",
        "GUILD_CREATE",
        "MESSAGE_CREATE",
    ];
    assert_eq!(names, expected);
    assert!(packed * 3 < plain, "{packed} of {plain} bytes");
}
