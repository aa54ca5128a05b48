//! What only Discord has: messages of before the service began, and links of files that hold.

use std::time::Duration;

use broker::Broker as _;
use prost::Message as _;
use proto::event::{HistoryReply, HistoryRequest, LinkedMessage, LinksReply, LinksRequest};
use proto::{link, subject};
use reqwest::Method;
use runtime::time::now_ms;
use serde_json::json;

use crate::world::{Service, World, eventually};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

async fn ask_history(world: &World) -> HistoryReply {
    let request = HistoryRequest {
        channel_id: world.channel.get(),
    };
    let payload = request.encode_to_vec().into();
    let answer = world
        .broker
        .request(subject::RPC_HISTORY, payload, PATIENCE);
    HistoryReply::decode(answer.await.unwrap()).unwrap()
}

async fn contents(world: &World) -> Vec<String> {
    let page = world.store.page(world.channel, None, 200).await.unwrap();
    let messages = page.messages.into_iter();
    messages.map(|message| message.content).collect()
}

/// Everything that the stream has is in SQL.
async fn archived(world: &World) {
    let last = world.broker.state().await.unwrap().last;
    eventually("the archive", async || {
        let position = world.store.position().await;
        position.is_ok_and(|position| position.sequence >= last)
    })
    .await;
}

async fn ready(world: &World) -> Service {
    let service = world.start();
    service.connected().await;
    eventually("the channel in SQL", async || {
        let channel = world.store.channel(world.guild, world.channel).await;
        matches!(channel, Ok(Some(_)))
    })
    .await;
    archived(world).await;
    service
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_posted_before_the_start_is_read_once_when_somebody_asks() {
    let world = World::new().await;
    for number in 1..=130 {
        world.post(&format!("before {number}")).await;
    }
    let mut world = world;
    world.settings = vec![("HISTORY_BACKFILL", "120".to_owned())];
    let service = ready(&world).await;
    assert_eq!(contents(&world).await, [""; 0], "nobody has asked");
    let live = world.post("live").await;
    eventually("the live message in SQL", async || {
        contents(&world).await == ["live"]
    })
    .await;
    let (first, second) = tokio::join!(ask_history(&world), ask_history(&world));
    assert_eq!(first, second, "both waited for one reading");
    assert!(first.filled && first.messages == 120, "{first:?}");
    let expected = (11..=130).map(|number| format!("before {number}"));
    let expected: Vec<_> = expected.chain(["live".to_owned()]).collect();
    assert_eq!(contents(&world).await, expected);
    let path = format!("/api/v10/channels/{}/messages/{live}", world.channel);
    world.call(Method::DELETE, &path).await;
    eventually("the deletion in SQL", async || {
        contents(&world).await == expected[..120]
    })
    .await;
    let again = ask_history(&world).await;
    assert!(again.filled && again.messages == 0, "{again:?}");
    assert_eq!(contents(&world).await, expected[..120]);
    service.stop().await;
    // A later term knows it too, and nothing is read again.
    let service = ready(&world).await;
    let reads = format!("{:?}", service.status.json()["rest"]);
    assert_eq!(ask_history(&world).await.messages, 0, "{reads}");
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_of_which_discord_shows_nothing_is_not_filled_for_ever() {
    let mut world = World::new().await;
    world.open_channel().await;
    let id = world.post("before").await;
    let path = format!("/api/v10/channels/{}/messages/{id}", world.channel);
    world.call(Method::DELETE, &path).await;
    let service = ready(&world).await;
    let reply = ask_history(&world).await;
    assert!(reply.filled && reply.messages == 0, "{reply:?}");
    assert!(!world.store.is_filled(world.channel).await.unwrap());
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_where_the_operator_wants_none() {
    let mut world = World::new().await;
    world.post("before").await;
    world.settings = vec![("HISTORY_BACKFILL", "0".to_owned())];
    let service = ready(&world).await;
    let reply = ask_history(&world).await;
    assert!(reply.filled && reply.messages == 0, "{reply:?}");
    assert_eq!(contents(&world).await, [""; 0]);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_refreshed_by_reading_the_messages_again() {
    refreshes_links("false").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_refreshed_by_the_endpoint_where_the_operator_says_so() {
    refreshes_links("true").await;
}

async fn refreshes_links(has_endpoint: &str) {
    let mut world = World::new().await;
    world.settings = vec![("DISCORD_REFRESH_URLS", has_endpoint.to_owned())];
    let mut messages = Vec::new();
    for number in 0..3 {
        let draft = json!({ "attachments": [{ "filename": format!("{number}.png"), "size": 5 }] });
        let (id, url) = world.attach(&draft).await;
        // As it was a day ago.
        let old = link::signed(&url, "ex=5&is=4&hm=00");
        messages.push(LinkedMessage {
            channel_id: world.channel.get(),
            message_id: id,
            urls: vec![old],
        });
    }
    let gone = messages[1].message_id;
    let path = format!("/api/v10/channels/{}/messages/{gone}", world.channel);
    world.call(Method::DELETE, &path).await;
    let service = ready(&world).await;
    let request = LinksRequest { messages };
    let payload = request.encode_to_vec().into();
    let answer = world.broker.request(subject::RPC_LINKS, payload, PATIENCE);
    let reply = LinksReply::decode(answer.await.unwrap()).unwrap();
    let paths = request
        .messages
        .iter()
        .map(|message| link::path(&message.urls[0]).unwrap());
    for (path, message) in paths.zip(&request.messages) {
        let signature = reply.signatures.get(path);
        if message.message_id == gone && has_endpoint == "false" {
            assert_eq!(signature, None, "it was deleted");
            continue;
        }
        let until_ms = link::expiry_of(signature.expect(path)).unwrap();
        assert!(until_ms > now_ms() + 3_600_000, "{path}: {signature:?}");
    }
    service.stop().await;
    world.end().await;
}
