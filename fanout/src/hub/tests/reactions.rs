//! `reaction_update`: merged, current, and never of a message that is gone.

use std::sync::atomic::Ordering::Relaxed;

use proto::event::Event;
use serde_json::json;

use super::bench::{TEXT, message, with_bench};

#[tokio::test]
async fn members_are_told_the_first_change_at_once_and_then_the_latest() {
    with_bench(async |bench| {
        bench.say(TEXT, 1).await;
        let watcher = bench.watch(2, TEXT).await;
        for count in 1..=20 {
            bench.react(TEXT, 1, count).await;
        }
        let told = watcher.until("reaction_update", 2).await;
        let thumbs = |count| {
            json!({
                "messageId": "1",
                "channelId": TEXT.to_string(),
                "reactions": [{ "emoji": "👍", "count": count, "users": [] }],
            })
        };
        assert_eq!(told, [thumbs(1), thumbs(20)]);
        assert!(bench.instance.merged.load(Relaxed) > 0);
        // Of a message that nobody here has seen: somebody may have paged to it.
        bench.react(TEXT, 77, 1).await;
        let told = watcher.until("reaction_update", 3).await;
        assert_eq!(told[2]["messageId"], "77");
    })
    .await;
}

#[tokio::test]
async fn pages_and_updates_carry_the_reactions_that_are_known() {
    with_bench(async |bench| {
        bench.say(TEXT, 1).await;
        let first = bench.watch(2, TEXT).await;
        bench.react(TEXT, 1, 3).await;
        first.until("reaction_update", 1).await;
        bench
            .publish(Some(TEXT), Event::MessageUpdated(message(1, "edited")))
            .await;
        let updates = first.until("message_update", 1).await;
        assert_eq!(updates[0]["content"], "edited");
        assert_eq!(updates[0]["reactions"][0]["count"], 3);
        let second = bench.connect(3);
        bench.join(&second, TEXT).await;
        let page = second.until("messages_bulk", 1).await;
        assert_eq!(page[0]["messages"][0]["reactions"][0]["count"], 3);
    })
    .await;
}

#[tokio::test]
async fn an_update_of_a_message_that_the_room_does_not_hold_is_followed_by_its_reactions() {
    with_bench(async |bench| {
        bench.say(TEXT, 1).await;
        bench.react(TEXT, 1, 3).await;
        for id in 2..=250 {
            bench.say(TEXT, id).await;
        }
        let watcher = bench.watch(2, TEXT).await;
        bench
            .publish(Some(TEXT), Event::MessageUpdated(message(1, "edited")))
            .await;
        let told = watcher.until("reaction_update", 1).await;
        assert_eq!(told[0]["messageId"], "1");
        assert_eq!(told[0]["reactions"][0]["count"], 3);
        assert_eq!(watcher.link.names(), ["message_update", "reaction_update"]);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_told_of_a_message_that_is_gone() {
    with_bench(async |bench| {
        bench.say(TEXT, 1).await;
        let watcher = bench.watch(2, TEXT).await;
        bench.react(TEXT, 1, 1).await;
        bench.react(TEXT, 1, 2).await;
        bench.delete(TEXT, 1).await;
        bench.react(TEXT, 1, 3).await;
        // The spacing of another message shows that the first one's is over too.
        bench.say(TEXT, 2).await;
        bench.react(TEXT, 2, 1).await;
        bench.react(TEXT, 2, 2).await;
        let told = watcher.until("reaction_update", 3).await;
        let counts: Vec<_> = told
            .iter()
            .map(|one| {
                (
                    one["messageId"].as_str().unwrap(),
                    one["reactions"][0]["count"].as_u64(),
                )
            })
            .collect();
        assert_eq!(counts, [("1", Some(1)), ("2", Some(1)), ("2", Some(2))]);
    })
    .await;
}
