//! A bot of several shards: each guild is told of once, each session lives on its own, and all share one budget.

use std::time::Duration;

use broker::Broker as _;
use proto::event::Event;
use proto::{ChannelId, GuildId};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::world::{PATIENCE, Service, World, eventually};

/// The simulator's first guild is of shard 0 of 2, its second of shard 1.
async fn two_shards() -> (World, [ChannelId; 2]) {
    let world = World::with_shards(2).await;
    let channels = [0, 1].map(|guild| world.channel_of(guild));
    (world, channels)
}

/// What the status says of the shards.
fn shards(service: &Service) -> Vec<Value> {
    let json = service.status.json();
    json["discord"]["shards"].as_array().unwrap().clone()
}

/// Sessions of a shard: begun, resumed.
fn sessions(service: &Service, shard: usize) -> (u64, u64) {
    let of = &shards(service)[shard]["sessions"];
    let count = |name: &str| of[name].as_u64().unwrap();
    (count("identified"), count("resumed"))
}

fn removals(events: &[Event]) -> usize {
    let is_one = |event: &&Event| matches!(event, Event::GuildRemoved(_));
    events.iter().filter(is_one).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guilds_of_two_shards_are_told_of_once_and_a_restart_resumes_both() {
    let (world, channels) = two_shards().await;
    let service = world.start();
    service.connected().await;
    assert_eq!(shards(&service).len(), 2);
    for channel in channels {
        world.load_in(channel, 120, 40).await;
    }
    for channel in channels {
        world.arriving_in(channel, 30).await;
    }
    service.stop().await;
    let service = world.start();
    service.connected().await;
    assert_eq!(
        [0, 1].map(|shard| sessions(&service, shard)),
        [(0, 1), (0, 1)]
    );
    service.kill().await;
    let service = world.start();
    service.connected().await;
    for channel in channels {
        world.arrived_in(channel, 120).await;
    }
    let stats = world.stats().await;
    let counts = (&stats["identifies"], &stats["resumes"]);
    assert_eq!(counts, (&json!(2), &json!(4)), "{stats}");
    let begins = |event: &&Event| matches!(event, Event::GuildSnapshotBegin(_));
    let events = world.events().await;
    assert_eq!(events.iter().filter(begins).count(), 2, "one a guild");
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_befalls_one_shard_does_not_disturb_the_other() {
    let (world, [first, second]) = two_shards().await;
    let service = world.start();
    service.connected().await;
    world.load_in(first, 150, 30).await;
    world.load_in(second, 60, 60).await;
    world.arriving_in(second, 20).await;
    world.fault(&json!({ "kind": "drop", "shard": 1 })).await;
    eventually("the resumed session", async || {
        sessions(&service, 1) == (1, 1)
    })
    .await;
    world.arrived_in(second, 60).await;
    let invalid = json!({ "kind": "invalid_session", "resumable": false, "shard": 1 });
    world.fault(&invalid).await;
    eventually("the new session", async || sessions(&service, 1) == (2, 1)).await;
    world.arrived_in(first, 150).await;
    assert_eq!(sessions(&service, 0), (1, 0));
    assert!(service.status.is_connected());
    service.stop().await;
    let service = world.start();
    service.connected().await;
    assert_eq!(
        [0, 1].map(|shard| sessions(&service, shard)),
        [(0, 1), (0, 1)]
    );
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_buffer_makes_all_shards_leave_and_come_back_without_loss() {
    let (mut world, channels) = two_shards().await;
    world.buffer_bytes_max = 4_000;
    let service = world.start();
    service.connected().await;
    for channel in channels {
        world.load_in(channel, 40, 100).await;
    }
    for channel in channels {
        world.arrived_in(channel, 40).await;
    }
    service.connected().await;
    let resumed = [0, 1].map(|shard| sessions(&service, shard).1);
    assert!(resumed.iter().all(|count| *count >= 1), "{resumed:?}");
    assert_eq!(world.stats().await["identifies"], 2);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_shards_of_one_key_identify_within_five_seconds() {
    let world = World::with_shards(3).await;
    world.gateway(&json!({ "maxConcurrency": 2 })).await;
    let begun = Instant::now();
    let service = world.start();
    service.connected().await;
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(5) && took < PATIENCE,
        "{took:?}"
    );
    let stats = world.stats().await;
    let counts = (&stats["identifies"], &stats["identifiesTooSoon"]);
    assert_eq!(counts, (&json!(3), &json!(0)), "{stats}");
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_removes_its_own_guilds_that_the_bot_left_and_no_others() {
    let (world, _) = two_shards().await;
    let service = world.start();
    let directory = async || {
        let directory = world.store.directory().await;
        directory.map_or(0, |directory| directory.guilds.len())
    };
    let is_called = async |shard| {
        let record = world.record(shard).await;
        record["epoch"].is_u64() && record["roll"].is_null()
    };
    eventually("both guilds, and both rolls called", async || {
        directory().await == 2 && is_called(0).await && is_called(1).await
    })
    .await;
    // One of each shard.
    for id in [4_242, 1 << 22] {
        world.publish_guild(GuildId::new(id).unwrap()).await;
    }
    eventually("all four in SQL", async || directory().await == 4).await;
    let before = world.record(1).await["epoch"].clone();
    let invalid = json!({ "kind": "invalid_session", "resumable": false, "shard": 1 });
    world.fault(&invalid).await;
    eventually("the roll of the second shard's new session", async || {
        world.record(1).await["epoch"] != before && is_called(1).await
    })
    .await;
    eventually("three left", async || directory().await == 3).await;
    assert_eq!(removals(&world.events().await), 1);
    let invalid = json!({ "kind": "invalid_session", "resumable": false, "shard": 0 });
    world.fault(&invalid).await;
    eventually("two left", async || directory().await == 2).await;
    assert_eq!(removals(&world.events().await), 2);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_count_is_taken_once_a_session_must_begin_anew() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    service.stop().await;
    world.gateway(&json!({ "shards": 2 })).await;
    let service = world.start();
    service.connected().await;
    assert_eq!(shards(&service).len(), 1, "the saved session goes on");
    world
        .fault(&json!({ "kind": "invalid_session", "resumable": false }))
        .await;
    let connected = async |count: usize| {
        eventually("the new set of shards", async || {
            shards(&service).len() == count && service.status.is_connected()
        })
        .await;
    };
    connected(2).await;
    assert_eq!(world.stats().await["identifies"], 3);
    let required = json!({ "shards": 3, "isShardingRequired": true });
    world.gateway(&required).await;
    world
        .fault(&json!({ "kind": "close", "code": 4011, "shard": 1 }))
        .await;
    connected(3).await;
    for guild in [0, 1] {
        let channel = world.channel_of(guild);
        world.load_in(channel, 20, 100).await;
        world.arrived_in(channel, 20).await;
    }
    let records = [world.record(0).await, world.record(2).await];
    assert!(records.iter().all(|record| record["shards"] == 3));
    service.stop().await;
    // Only some of the records are there: the others begin anew, with the same count.
    let nothing = bytes::Bytes::new();
    world.broker.set_value("session-2", nothing).await.unwrap();
    let service = world.start();
    service.connected().await;
    let expected = [(0, 1), (0, 1), (1, 0)];
    assert_eq!([0, 1, 2].map(|shard| sessions(&service, shard)), expected);
    assert_eq!(removals(&world.events().await), 0);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_asked_of_the_shard_that_has_their_guild() {
    let (world, _) = two_shards().await;
    let service = world.start();
    service.connected().await;
    let overview = world.overview();
    let id = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    for guild in overview["guilds"].as_array().unwrap() {
        let member = &guild["members"].as_array().unwrap()[1];
        let (guild, member) = (id(&guild["id"]), id(&member["id"]));
        eventually("an answer", async || {
            world.ask_member(member, &[guild]).await.is_some()
        })
        .await;
    }
    let members = service.status.json()["members"].clone();
    assert_eq!(members["read"], 0, "the gateway answered: {members}");
    service.stop().await;
    world.end().await;
}
