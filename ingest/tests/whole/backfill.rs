//! What happened in Discord while no session stood: found when the next one begins, whatever goes wrong then.
//!
//! The law after a refused RESUME: every creation once and in order, and every message's final state as in Discord.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::Broker as _;
use prost::Message as _;
use proto::event::{Event, HistoryReply, HistoryRequest, Message};
use proto::{ChannelId, subject};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Service, World, eventually};

/// How a message looks: its text, whether it was edited, and the sum of its reactions.
type Look = (String, bool, u64);

fn message_path(world: &World, id: u64) -> String {
    format!("/api/v10/channels/{}/messages/{id}", world.channel)
}

async fn edit(world: &World, id: u64, content: &str) {
    let body = json!({ "content": content });
    world
        .change(Method::PATCH, &message_path(world, id), &body)
        .await;
}

async fn delete(world: &World, id: u64) {
    world.call(Method::DELETE, &message_path(world, id)).await;
}

async fn react(world: &World, id: u64) {
    let path = format!(
        "{}/reactions/%F0%9F%91%8D/{}",
        message_path(world, id),
        world.human
    );
    world.call(Method::PUT, &path).await;
}

/// The gateway takes nobody any more, and has forgotten the session.
async fn begin_gap(world: &World, service: &Service) {
    world
        .fault(&json!({ "kind": "refuse", "seconds": 600 }))
        .await;
    world
        .fault(&json!({ "kind": "invalid_session", "resumable": false }))
        .await;
    eventually("the end of the session", async || {
        !service.status.is_connected()
    })
    .await;
}

/// Takes these permissions from the bot in the channel.
async fn deny(world: &World, permissions: u64) {
    let bot = world.get("/api/v10/users/@me").await["id"].clone();
    let path = format!(
        "/api/v10/channels/{}/permissions/{}",
        world.channel,
        bot.as_str().unwrap()
    );
    let deny = json!({ "type": 1, "allow": "0", "deny": permissions.to_string() });
    world.change(Method::PUT, &path, &deny).await;
}

async fn end_gap(world: &World) {
    world
        .fault(&json!({ "kind": "refuse", "seconds": 0 }))
        .await;
}

/// The channel's messages as the simulated Discord has them.
async fn in_discord(world: &World) -> BTreeMap<u64, Look> {
    let mut looks = BTreeMap::new();
    let mut before = u64::MAX >> 1;
    loop {
        let path = format!(
            "/api/v10/channels/{}/messages?limit=100&before={before}",
            world.channel
        );
        let page = world.get(&path).await;
        // Discord's limits are for whoever asks: then it is asked once more.
        let Some(page) = page.as_array() else {
            return BTreeMap::new();
        };
        for message in page {
            let id: u64 = message["id"].as_str().unwrap().parse().unwrap();
            before = before.min(id);
            let reactions = message["reactions"].as_array().into_iter().flatten();
            let count = reactions.filter_map(|one| one["count"].as_u64()).sum();
            let content = message["content"].as_str().unwrap().to_owned();
            looks.insert(id, (content, !message["edited_timestamp"].is_null(), count));
        }
        if page.len() < 100 {
            return looks;
        }
    }
}

/// And as SQL has them.
async fn in_sql(world: &World) -> BTreeMap<u64, Look> {
    let page = world.store.page(world.channel, None, 200).await;
    let Ok(page) = page else {
        return BTreeMap::new();
    };
    let look = |message: Message| {
        let count = message.reactions.iter().map(|one| u64::from(one.count));
        let count = count.sum();
        let is_edited = message.edited_timestamp_ms.is_some();
        (message.id, (message.content, is_edited, count))
    };
    page.messages.into_iter().map(look).collect()
}

/// The channel's creations in the stream, in its order.
async fn created(world: &World, channel: ChannelId) -> Vec<u64> {
    let events = world.events().await.into_iter();
    let ids = events.filter_map(|event| match event {
        Event::MessageCreated(message) if message.channel_id == channel.get() => Some(message.id),
        _ => None,
    });
    ids.collect()
}

/// Waits until SQL has what Discord has, and checks that the stream told of it once and in order.
async fn whole(world: &World) {
    let mut both = (BTreeMap::new(), BTreeMap::new());
    eventually("what Discord has", async || {
        both = (in_discord(world).await, in_sql(world).await);
        both.0 == both.1
    })
    .await;
    let created = created(world, world.channel).await;
    assert!(
        created.windows(2).all(|pair| pair[0] < pair[1]),
        "once and in order: {created:?}"
    );
}

async fn gap(service: &Service) -> Value {
    let mut gap = Value::Null;
    eventually("the end of a gap", async || {
        let gaps = service.status.json()["gaps"].clone();
        gap = gaps.as_array().unwrap().last().cloned().unwrap_or_default();
        gap["repaired"].is_boolean()
    })
    .await;
    gap
}

/// A service that listens in a channel in which nobody has spoken before, and what was said then.
async fn listening(count: usize) -> (World, Service, Vec<u64>) {
    let mut world = World::new().await;
    world.open_channel().await;
    let service = world.start();
    service.connected().await;
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(world.post(&format!("heard {number}")).await);
    }
    eventually("what was heard, in SQL", async || {
        in_sql(&world).await.len() == count
    })
    .await;
    (world, service, ids)
}

async fn identified(service: &Service, times: u64) {
    eventually("the next session", async || {
        service.status.json()["discord"]["sessions"]["identified"] == times
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_heard_is_found_in_order_before_what_is_said_now() {
    let (world, service, ids) = listening(6).await;
    begin_gap(&world, &service).await;
    edit(&world, ids[0], "edited in the gap").await;
    delete(&world, ids[1]).await;
    react(&world, ids[2]).await;
    let mut missed = Vec::new();
    for number in 0..130 {
        missed.push(world.post(&format!("missed {number}")).await);
    }
    edit(&world, missed[3], "missed and edited").await;
    delete(&world, missed[4]).await;
    react(&world, missed[5]).await;
    end_gap(&world).await;
    for number in 0..20 {
        world.post(&format!("now {number}")).await;
    }
    identified(&service, 2).await;
    world.post("later").await;
    react(&world, missed[5]).await;
    whole(&world).await;
    let gap = gap(&service).await;
    assert_eq!(gap["repaired"], true, "{gap}");
    assert_eq!(gap["channels"], 1, "{gap}");
    assert_eq!(
        (&gap["edits"], &gap["deletes"], &gap["reactions"]),
        (&json!(1), &json!(1), &json!(1)),
        "{gap}"
    );
    assert!(gap["messages"].as_u64() >= Some(129), "{gap}");
    assert!(gap["from"].is_string(), "{gap}");
    assert_eq!(service.status.json()["outcomes"]["refused"], json!({}));
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_session_of_all_begins_behind_no_gap() {
    let (world, service, _) = listening(2).await;
    assert_eq!(service.status.json()["gaps"], json!([]));
    assert_eq!(created(&world, world.channel).await.len(), 2);
    service.stop().await;
    let service = world.start();
    service.connected().await;
    assert_eq!(
        service.status.json()["gaps"],
        json!([]),
        "a RESUME has none"
    );
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_a_gap_forgets_nothing_of_it() {
    let (world, service, ids) = listening(3).await;
    begin_gap(&world, &service).await;
    edit(&world, ids[0], "edited in the gap").await;
    for number in 0..230 {
        world.post(&format!("missed {number}")).await;
    }
    delete(&world, ids[1]).await;
    let slow = json!({ "kind": "slow", "ms": 1_500, "route": "GET /channels/{}/messages", "seconds": 600 });
    world.fault(&slow).await;
    end_gap(&world).await;
    identified(&service, 2).await;
    eventually("the first page", async || {
        created(&world, world.channel).await.len() > 50
    })
    .await;
    let now = world.post("now").await;
    service.kill().await;
    let page = created(&world, world.channel).await;
    assert!(page.len() < 233 && !page.contains(&now), "{}", page.len());
    world
        .fault(&json!({ "kind": "slow", "ms": 0, "seconds": 0 }))
        .await;
    let service = world.start();
    service.connected().await;
    world.post("after the kill").await;
    eventually("all that Discord has", async || {
        created(&world, world.channel).await.len() == 235
    })
    .await;
    let created = created(&world, world.channel).await;
    assert!(created.is_sorted(), "in order: {created:?}");
    let stored = async |id: u64| {
        let id = proto::MessageId::new(id).unwrap();
        world.store.message(world.channel, id).await.unwrap()
    };
    eventually("what became of older ones", async || {
        let edited = stored(ids[0]).await.unwrap();
        edited.content == "edited in the gap" && stored(ids[1]).await.is_none()
    })
    .await;
    let stats = world.stats().await;
    assert_eq!(stats["identifies"], 2, "{stats}");
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_before_the_older_messages_are_compared_leaves_that_to_the_next() {
    let (world, service, ids) = listening(3).await;
    let record = async || {
        let bytes = world.broker.value("session-0").await.unwrap();
        bytes.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap())
    };
    eventually("the first record", async || {
        record().await["epoch"].is_u64()
    })
    .await;
    let first = record().await["epoch"].clone();
    begin_gap(&world, &service).await;
    edit(&world, ids[0], "edited in the gap").await;
    delete(&world, ids[1]).await;
    react(&world, ids[2]).await;
    let slow = json!({ "kind": "slow", "ms": 600_000, "route": "GET /channels/{}/messages", "seconds": 600 });
    world.fault(&slow).await;
    end_gap(&world).await;
    identified(&service, 2).await;
    eventually("the record of what is to be compared", async || {
        let record = record().await;
        let gap = &record["gap"];
        record["epoch"] != first
            && gap["missing"] == json!([])
            && gap["uncompared"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
    })
    .await;
    service.kill().await;
    world
        .fault(&json!({ "kind": "slow", "ms": 0, "seconds": 0 }))
        .await;
    let service = world.start();
    service.connected().await;
    whole(&world).await;
    let stats = world.stats().await;
    assert_eq!(stats["identifies"], 2, "{stats}");
    let gap = gap(&service).await;
    assert_eq!(gap["repaired"], true, "{gap}");
    service.stop().await;
    assert_eq!(record().await["gap"]["uncompared"], json!([]));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_may_not_be_read_is_a_gap_that_stays_and_stops_nobody() {
    let (world, service, _) = listening(2).await;
    begin_gap(&world, &service).await;
    deny(&world, 1 << 16).await;
    let missed = world.post("missed").await;
    end_gap(&world).await;
    identified(&service, 2).await;
    let now = world.post("now").await;
    eventually("what is said now", async || {
        created(&world, world.channel).await.last() == Some(&now)
    })
    .await;
    assert!(!created(&world, world.channel).await.contains(&missed));
    let gap = gap(&service).await;
    assert_eq!(
        (&gap["repaired"], &gap["unrepaired"]),
        (&json!(false), &json!(1)),
        "{gap}"
    );
    let deletes = world.events().await;
    let deletes = deletes
        .iter()
        .filter(|event| matches!(event, Event::MessageDeleted(_)));
    assert_eq!(deletes.count(), 0, "nothing is taken for deleted");
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_the_bot_never_saw_is_no_gap() {
    let (mut world, service, _) = listening(2).await;
    let seen = world.channel;
    world.open_channel().await;
    deny(&world, 1 << 10).await;
    let hidden = std::mem::replace(&mut world.channel, seen);
    begin_gap(&world, &service).await;
    let hidden = hidden.to_string();
    world.say(&hidden, "hidden", Some(world.human)).await;
    world.post("missed").await;
    end_gap(&world).await;
    identified(&service, 2).await;
    let gap = gap(&service).await;
    assert_eq!(
        (&gap["repaired"], &gap["channels"], &gap["messages"]),
        (&json!(true), &json!(1), &json!(1)),
        "{gap}"
    );
    whole(&world).await;
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_message_that_was_deleted_is_no_gap_that_stays() {
    let (world, service, _) = listening(2).await;
    begin_gap(&world, &service).await;
    let last = world.post("gone before anybody heard it").await;
    delete(&world, last).await;
    end_gap(&world).await;
    identified(&service, 2).await;
    let gap = gap(&service).await;
    assert_eq!(
        (&gap["repaired"], &gap["messages"]),
        (&json!(true), &json!(0)),
        "{gap}"
    );
    whole(&world).await;
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_read_slowly_holds_no_other_one() {
    let (mut world, service, _) = listening(2).await;
    let slow = world.channel;
    world.open_channel().await;
    let quick = world.channel;
    world.post("heard too").await;
    eventually("what was heard too", async || {
        created(&world, quick).await.len() == 1
    })
    .await;
    world.channel = slow;
    begin_gap(&world, &service).await;
    let missed = world.post("missed").await;
    world
        .fault(&json!({ "kind": "slow", "ms": 8_000, "route": "GET /channels/{}/messages", "count": 1 }))
        .await;
    end_gap(&world).await;
    identified(&service, 2).await;
    world.post("now").await;
    world.channel = quick;
    let now = world.post("now too").await;
    eventually("what is said elsewhere", async || {
        created(&world, quick).await.last() == Some(&now)
    })
    .await;
    assert!(
        !created(&world, slow).await.contains(&missed),
        "still being read"
    );
    assert!(service.health.unready().is_empty());
    world.channel = slow;
    whole(&world).await;
    assert_eq!(created(&world, slow).await.len(), 4);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_look_in_a_gap_brings_nothing_of_the_gap() {
    let mut world = World::new().await;
    world.open_channel().await;
    for number in 0..3 {
        world.post(&format!("before {number}")).await;
    }
    let service = world.start();
    service.connected().await;
    world.post("heard").await;
    eventually("what was heard, in SQL", async || {
        in_sql(&world).await.len() == 1
    })
    .await;
    begin_gap(&world, &service).await;
    let missed = [world.post("missed").await, world.post("missed too").await];
    world
        .fault(&json!({ "kind": "slow", "ms": 3_000, "route": "GET /channels/{}/messages", "count": 1 }))
        .await;
    end_gap(&world).await;
    identified(&service, 2).await;
    eventually("the snapshot in SQL", async || {
        let channel = world
            .store
            .channel(world.guild, world.channel)
            .await
            .unwrap();
        channel.is_some_and(|channel| channel.last_message_id == Some(missed[1]))
    })
    .await;
    let request = HistoryRequest {
        channel_id: world.channel.get(),
    };
    let payload = request.encode_to_vec().into();
    let answer = world
        .broker
        .request(subject::RPC_HISTORY, payload, Duration::from_secs(20));
    let reply = HistoryReply::decode(answer.await.unwrap()).unwrap();
    assert!(reply.filled && reply.messages == 4, "{reply:?}");
    let told = created(&world, world.channel).await;
    assert_eq!(told[1..], missed, "those who watch are told");
    whole(&world).await;
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sql_the_stream_says_what_is_known_and_the_comparison_waits() {
    let (mut world, service, ids) = listening(3).await;
    begin_gap(&world, &service).await;
    service.stop().await;
    edit(&world, ids[0], "edited in the gap").await;
    world.post("missed").await;
    end_gap(&world).await;
    let other = store::Store::open("sqlite::memory:").await;
    let away = match other {
        Ok(store) => store,
        Err(error) => panic!("{error}"),
    };
    away.close().await;
    let there = std::mem::replace(&mut world.store, away);
    let service = world.start();
    service.connected().await;
    world.post("now").await;
    eventually("what was missed and what is said now", async || {
        created(&world, world.channel).await.len() == 5
    })
    .await;
    assert!(created(&world, world.channel).await.is_sorted());
    service.stop().await;
    world.store = there;
    let service = world.start();
    whole(&world).await;
    let stats = world.stats().await;
    assert_eq!(stats["identifies"], 2, "{stats}");
    service.stop().await;
    world.end().await;
}
