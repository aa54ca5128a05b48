//! `viewers`: distinct users over all instances, merged, and kept from embedded pages.

use std::time::Duration;

use broker::Broker as _;
use prost::Message as _;
use proto::event::{ChannelViewers, Viewers};
use proto::{ChannelId, subject};
use runtime::Health;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, TEXT, eventually, with_bench};
use crate::audience::Conversation;

fn converse(bench: &Bench, is_alone: bool) -> (Health, CancellationToken) {
    let (health, stop) = (Health::new(), CancellationToken::new());
    let conversation = Conversation {
        instance: bench.instance.clone(),
        broker: bench.broker.clone(),
        health: health.clone(),
        is_alone,
    };
    tokio::spawn(conversation.run(stop.clone()));
    (health, stop)
}

/// Another instance says how many watch the text channel.
async fn say(bench: &Bench, count: u32, leaving: bool) {
    let said = Viewers {
        instance: "another".into(),
        channels: vec![ChannelViewers {
            channel_id: TEXT,
            count,
        }],
        whole: true,
        leaving,
        alone: true,
    };
    let payload = said.encode_to_vec().into();
    bench
        .broker
        .notify(subject::VIEWERS, payload)
        .await
        .unwrap();
}

/// Says so until it is heard: who listens since a moment ago may miss the first.
async fn say_until(bench: &Bench, count: u32, leaving: bool, is_heard: impl Fn() -> bool) {
    while !is_heard() {
        say(bench, count, leaving).await;
        tokio::task::yield_now().await;
    }
}

fn last_count(told: &[Value]) -> Option<u64> {
    told.last()?["count"].as_u64()
}

#[tokio::test]
async fn members_are_told_the_total_over_all_instances_and_at_most_every_two_seconds() {
    with_bench(async |bench| {
        let (_, stop) = converse(bench, false);
        let enter = async |user| {
            let viewer = bench.connect(user);
            bench.join(&viewer, TEXT).await;
            viewer
        };
        let first = enter(2).await;
        let told = first.until("viewers", 1).await;
        assert_eq!(
            told[0],
            json!({ "channelId": TEXT.to_string(), "count": 1 })
        );
        let began = Instant::now();
        let again = enter(2).await;
        let second = enter(3).await;
        let channel = ChannelId::new(TEXT).unwrap();
        let total = || bench.instance.audience.total(channel);
        say_until(bench, 5, false, || total() == 7).await;
        let told = first.until("viewers", 2).await;
        assert!(began.elapsed() > Duration::from_millis(1_500), "merged");
        assert_eq!(last_count(&told), Some(7));
        // One user counts once, and who came since is told with the others.
        assert_eq!(last_count(&again.until("viewers", 1).await), Some(7));
        assert_eq!(last_count(&second.until("viewers", 1).await), Some(7));
        say(bench, 0, true).await;
        assert_eq!(last_count(&first.until("viewers", 3).await), Some(2));
        stop.cancel();
    })
    .await;
}

#[tokio::test]
async fn an_embedded_page_counts_and_is_told_nothing() {
    with_bench(async |bench| {
        let claims = json!({ "channels": [TEXT.to_string()] });
        let embedded = bench.connect_as(bench.principal(2, &claims));
        bench.join(&embedded, TEXT).await;
        let other = bench.connect_as(bench.principal(2, &claims));
        bench.join(&other, TEXT).await;
        let viewer = bench.watch(2, TEXT).await;
        let counted = || last_count(&viewer.link.all("viewers")).filter(|count| *count == 3);
        eventually("three are counted", counted).await;
        assert!(embedded.link.all("viewers").is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_instance_says_its_counts_and_its_leave() {
    with_bench(async |bench| {
        let mut notices = bench.broker.notices(subject::VIEWERS).await.unwrap();
        let (_, stop) = converse(bench, false);
        let viewer = bench.watch(2, TEXT).await;
        let mut heard = Vec::new();
        while heard
            .last()
            .is_none_or(|said: &Viewers| said.channels.is_empty())
        {
            let notice = notices.next().await.unwrap();
            heard.push(Viewers::decode(notice.payload).unwrap());
        }
        assert!(heard[0].whole, "the first is everything");
        let last = heard.last().unwrap();
        assert_eq!(
            (last.channels[0].channel_id, last.channels[0].count),
            (TEXT, 1)
        );
        assert!(!last.alone && !last.instance.is_empty());
        bench.hub.on_disconnected(viewer.key);
        stop.cancel();
        loop {
            let notice = notices.next().await.unwrap();
            let said = Viewers::decode(notice.payload).unwrap();
            assert_eq!(said.instance, heard[0].instance);
            if said.leaving {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_keeps_limits_to_itself_is_not_ready_beside_another() {
    with_bench(async |bench| {
        let (health, stop) = converse(bench, true);
        let reason = || health.unready().get("redis").copied();
        assert_eq!(reason(), None);
        say_until(bench, 5, false, || reason() == Some("off")).await;
        say_until(bench, 0, true, || reason().is_none()).await;
        stop.cancel();
    })
    .await;
}
