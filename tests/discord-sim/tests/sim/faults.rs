//! Faults: each does what its name says, and what comes after it is as it was.

use std::io::ErrorKind;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::harness::{ALL_INTENTS, Gateway, World};

fn is_reset(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == ErrorKind::ConnectionReset,
        // What tungstenite calls an end without a close frame; the reset reached it while it was not reading.
        Error::Protocol(error) => error.to_string().contains("without closing handshake"),
        _ => false,
    }
}

async fn post(world: &World, text: &str) {
    world
        .post_message(&world.channel("general"), json!({ "content": text }))
        .await;
}

async fn next_content(gateway: &mut Gateway) -> Value {
    gateway.next_named("MESSAGE_CREATE").await["d"]["content"].clone()
}

#[tokio::test]
async fn a_drop_is_a_tcp_reset_without_a_close_frame_and_the_session_survives() {
    let world = World::start().await;
    let mut gateway = world.identified(ALL_INTENTS).await;
    world.fault(json!({ "kind": "drop" })).await;
    match gateway.next_raw().await {
        Some(Err(Error::Io(error))) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        other => panic!("not a reset: {other:?}"),
    }
    post(&world, "missed").await;
    let mut gateway = world.resumed(&gateway).await;
    assert_eq!(next_content(&mut gateway).await, "missed");
    gateway.next_named("RESUMED").await;
}

#[tokio::test]
async fn a_reconnect_is_op_7_and_the_session_can_be_resumed() {
    let world = World::start().await;
    let mut gateway = world.identified(ALL_INTENTS).await;
    world.fault(json!({ "kind": "reconnect" })).await;
    assert_eq!(gateway.next().await["op"], 7);
    let gateway = gateway.leave(4000).await;
    world.resumed(&gateway).await.next_named("RESUMED").await;
}

#[tokio::test]
async fn a_fault_of_a_shard_befalls_its_connections_alone() {
    let world = World::start().await;
    let (mut first, mut second) = (world.connect().await, world.connect().await);
    for (shard, gateway) in [(0, &mut first), (1, &mut second)] {
        gateway.identify_as(ALL_INTENTS, [shard, 2]).await;
        let ready = gateway.next_named("READY").await;
        assert_eq!(ready["d"]["guilds"].as_array().unwrap().len(), 1);
        gateway.next_named("GUILD_CREATE").await;
    }
    world
        .fault(json!({ "kind": "close", "code": 4000, "shard": 1 }))
        .await;
    assert_eq!(second.closed().await, 4000);
    post(&world, "to the first shard").await;
    assert_eq!(next_content(&mut first).await, "to the first shard");
    let second = world.resumed(&second).await;
    world
        .fault(json!({ "kind": "reconnect", "shard": 1 }))
        .await;
    drop(second);
    assert!(first.is_quiet().await);
}

#[tokio::test]
async fn an_invalid_session_may_be_resumable_or_not() {
    let world = World::start().await;
    for is_resumable in [true, false] {
        let mut gateway = world.identified(ALL_INTENTS).await;
        world
            .fault(json!({ "kind": "invalid_session", "resumable": is_resumable }))
            .await;
        let told = gateway.next().await;
        assert_eq!((&told["op"], &told["d"]), (&json!(9), &json!(is_resumable)));
        let gateway = gateway.leave(4000).await;
        let answer = world.resumed(&gateway).await.next().await;
        assert_eq!(answer["t"] == "RESUMED", is_resumable, "{answer}");
    }
}

#[tokio::test]
async fn a_close_has_the_code_that_was_asked_for() {
    let world = World::start().await;
    let mut gateway = world.identified(ALL_INTENTS).await;
    world.fault(json!({ "kind": "close", "code": 4014 })).await;
    assert_eq!(gateway.closed().await, 4014);
}

#[tokio::test]
async fn silence_holds_dispatches_back_for_the_resume_while_heartbeats_are_answered() {
    let world = World::start().await;
    let mut gateway = world.identified(ALL_INTENTS).await;
    world
        .fault(json!({ "kind": "silence", "seconds": 600 }))
        .await;
    post(&world, "held").await;
    gateway.send(json!({ "op": 1, "d": null })).await;
    assert_eq!(gateway.next().await["op"], 11);
    assert!(gateway.is_quiet().await);
    let mut gateway = world.resumed(&gateway).await;
    assert_eq!(next_content(&mut gateway).await, "held");
}

#[tokio::test]
async fn after_a_short_silence_everything_comes_in_order() {
    let world = World::start().await;
    let mut gateway = world.identified(ALL_INTENTS).await;
    world
        .fault(json!({ "kind": "silence", "seconds": 0.4 }))
        .await;
    post(&world, "one").await;
    post(&world, "two").await;
    assert_eq!(next_content(&mut gateway).await, "one");
    assert_eq!(next_content(&mut gateway).await, "two");
}

#[tokio::test]
async fn a_zombie_sends_dispatches_and_answers_no_heartbeat() {
    let world = World::start().await;
    let mut gateway = world.identified(ALL_INTENTS).await;
    world
        .fault(json!({ "kind": "zombie", "seconds": 600 }))
        .await;
    gateway.send(json!({ "op": 1, "d": null })).await;
    assert!(gateway.is_quiet().await);
    post(&world, "still here").await;
    assert_eq!(next_content(&mut gateway).await, "still here");
}

#[tokio::test]
async fn refused_connections_are_reset_before_an_answer() {
    let world = World::start().await;
    world
        .fault(json!({ "kind": "refuse", "count": 1, "seconds": 600 }))
        .await;
    let refused = world.connect_silently().await.err().expect("no connection");
    assert!(is_reset(&refused), "{refused:?}");
    world.connect().await;
}

#[tokio::test]
async fn a_connection_may_get_no_hello_and_a_session_a_dead_address() {
    let world = World::start().await;
    world.fault(json!({ "kind": "no_hello", "count": 1 })).await;
    let mut mute = world.connect_silently().await.unwrap();
    assert!(mute.is_quiet().await);
    world
        .fault(json!({ "kind": "dead_resume_url", "count": 1 }))
        .await;
    let mut gateway = world.connect().await;
    gateway.identify(ALL_INTENTS).await;
    let ready = gateway.next_named("READY").await;
    assert_eq!(ready["d"]["resume_gateway_url"], "ws://127.0.0.1:1/gateway");
}

#[tokio::test]
async fn rest_fails_as_often_as_was_asked_for_and_then_works() {
    let world = World::start().await;
    world
        .fault(json!({ "kind": "rest_429", "scope": "global", "count": 2, "ms": 1500 }))
        .await;
    for _ in 0..2 {
        let (status, body) = world.call(Method::GET, "/users/@me", Value::Null).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        let wait = body["retry_after"].as_f64().unwrap();
        assert!(wait > 0.0 && wait <= 1.5, "{body}");
        assert_eq!(body["global"], true);
    }
    world.get("/users/@me").await;
    world.fault(json!({ "kind": "rest_5xx", "count": 1 })).await;
    let (status, _) = world.call(Method::GET, "/users/@me", Value::Null).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    world.get("/users/@me").await;
}
