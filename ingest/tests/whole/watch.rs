//! What is watched: silence, heartbeats without an answer, dead addresses, and the budget of IDENTIFYs.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::world::{Service, World, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_goes_silent_is_resumed_and_a_quiet_one_costs_a_resume() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    world.load(300, 10).await;
    world.arriving(130).await;
    world
        .fault(&json!({ "kind": "silence", "seconds": 600 }))
        .await;
    let begun = Instant::now();
    let silences = |name: &str| service.status.json()["discord"]["silences"][name].clone();
    eventually("the alarm", async || silences("withheld") == 1).await;
    let noticed = begun.elapsed();
    assert!(noticed < Duration::from_secs(15), "{noticed:?}");
    world.arrived(300).await;
    assert_eq!(silences("quiet"), 0);
    // Now nobody says anything any more.
    eventually("the false alarm", async || silences("quiet") == 1).await;
    service.connected().await;
    let stats = world.stats().await;
    let counts = (&stats["identifies"], &stats["resumes"]);
    assert_eq!(counts, (&json!(1), &json!(2)), "{stats}");
    service.stop().await;
    world.end().await;
}

/// The vendor's code finds it at the second heartbeat that nothing has answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_answers_no_heartbeat_is_resumed_within_two() {
    is_resumed_within_two(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_answers_no_heartbeat_is_resumed_also_while_events_come() {
    is_resumed_within_two(200).await;
}

/// While so many messages come, ten a second.
async fn is_resumed_within_two(messages: u32) {
    let world = World::new().await;
    world.gateway(&json!({ "heartbeatMs": 2_000 })).await;
    let service = world.start();
    service.connected().await;
    world
        .fault(&json!({ "kind": "zombie", "seconds": 600 }))
        .await;
    if messages > 0 {
        world.load(messages, 10).await;
    }
    let begun = Instant::now();
    let sessions = |name: &str| service.status.json()["discord"]["sessions"][name].clone();
    eventually("the resumed session", async || sessions("resumed") == 1).await;
    let noticed = begun.elapsed();
    assert!(noticed < Duration::from_secs(8), "{noticed:?}");
    assert_eq!(sessions("identified"), 1);
    if messages > 0 {
        world.arrived(messages).await;
    }
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_resume_address_is_forgotten_for_the_processes_after_too() {
    let world = World::new().await;
    world
        .fault(&json!({ "kind": "dead_resume_url", "count": 1 }))
        .await;
    let service = world.start();
    service.connected().await;
    service.stop().await;
    let address = async || world.record(0).await["resume_url"].clone();
    assert_eq!(address().await, "ws://127.0.0.1:1/gateway");
    let service = world.start();
    eventually("the record without it", async || address().await.is_null()).await;
    service.kill().await;
    let service = world.start();
    service.connected().await;
    world.load(20, 100).await;
    world.arrived(20).await;
    assert_eq!(world.stats().await["identifies"], 1);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_identifies_are_an_alarm_and_fewer_are_left_alone_until_their_limit_is_reset() {
    let world = World::new().await;
    let limit = |left: u32, ms: u32| json!({ "identifiesLeft": left, "resetAfterMs": ms });
    world.gateway(&limit(99, 12_000)).await;
    let service = world.start();
    let identifies = |service: &Service| service.status.json()["discord"]["identifies"].clone();
    eventually("the refusal to identify", async || {
        identifies(&service)["level"] == "spent"
    })
    .await;
    assert_eq!(identifies(&service)["left"], 99);
    let why = service.health.unready();
    assert!(why["discord"].contains("IDENTIFYs"), "{why:?}");
    assert_eq!(world.stats().await["identifies"], 0);
    service.connected().await;
    assert_eq!(identifies(&service)["level"], "good");
    assert!(service.health.unready().is_empty());
    service.stop().await;
    world.end().await;

    let world = World::new().await;
    world.gateway(&limit(200, 600_000)).await;
    let service = world.start();
    service.connected().await;
    assert_eq!(identifies(&service)["level"], "low");
    assert!(service.health.unready().is_empty());
    service.stop().await;
    world.end().await;
}
