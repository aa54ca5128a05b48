//! Replies: what they quote is told until the original is deleted, live, in joins and in pages.

use proto::event::{Channel, Event, Message, Reply, User};
use proto::{ChannelId, MessageId};
use serde_json::{Value, json};

use super::bench::{Bench, TEXT, channel, message, with_bench};
use crate::address::ClientAddress;
use crate::request::Request;
use crate::session::Session;
use crate::transport::{Link, Reply as Answer};

/// A thread has the id of the message that it began at.
const THREAD: u64 = 400;

fn reply(id: u64, original: u64) -> Message {
    Message {
        reply: Some(Reply {
            message_id: original,
            author: Some(User {
                id: 3,
                ..User::default()
            }),
            content: Some("quoted".into()),
        }),
        ..message(id, "a reply")
    }
}

async fn answer(bench: &Bench, channel: u64, id: u64, original: u64) {
    let event = Event::MessageCreated(reply(id, original));
    bench.publish(Some(channel), event).await;
}

/// What a message tells of its original.
fn quote(message: &Value) -> (&Value, &Value) {
    let reply = &message["reply"];
    assert_eq!(reply["author"]["id"], "3", "{message}");
    (&reply["messageId"], &reply["content"])
}

async fn page(bench: &Bench, channel: u64) -> Value {
    let session = Session {
        principal: bench.principal(4, &json!({})),
        is_unresolved: false,
        address: ClientAddress::Unknown,
        seat: None,
    };
    let request = Request::GetMessages {
        channel: ChannelId::new(channel).unwrap(),
        before: MessageId::new(u64::MAX >> 1),
        limit: 50,
    };
    bench.hub.ask_once(session, request).await.unwrap()
}

#[tokio::test]
async fn no_reply_quotes_what_was_deleted() {
    with_bench(async |bench| {
        bench.say(TEXT, 1).await;
        bench.say(TEXT, 2).await;
        answer(bench, TEXT, 10, 1).await;
        let watcher = bench.connect(2);
        bench.join(&watcher, TEXT).await;
        let seen = watcher.until("messages_bulk", 1).await.remove(0);
        let told = quote(&seen["messages"][2]);
        assert_eq!(told, (&"1".into(), &"quoted".into()));
        watcher.link.clear();
        bench.delete(TEXT, 1).await;
        let update = Event::MessageUpdated(reply(10, 1));
        bench.publish(Some(TEXT), update).await;
        answer(bench, TEXT, 11, 1).await;
        answer(bench, TEXT, 12, 2).await;
        let created = watcher.until("message", 2).await;
        assert_eq!(quote(&created[0]), (&"1".into(), &Value::Null));
        assert_eq!(quote(&created[1]), (&"2".into(), &"quoted".into()));
        let updated = watcher.until("message_update", 1).await;
        assert_eq!(quote(&updated[0]), (&"1".into(), &Value::Null));
        // Those who are here learn of the deletion, and of nothing else.
        let names = ["message_delete", "message_update", "message", "message"];
        assert_eq!(watcher.link.names(), names);
        let other = bench.connect(3);
        bench.join(&other, TEXT).await;
        let joined = other.until("messages_bulk", 1).await.remove(0);
        for page in [joined, page(bench, TEXT).await] {
            let messages = page["messages"].as_array().unwrap();
            let replies = messages.iter().filter(|one| !one["reply"].is_null());
            let told: Vec<_> = replies.map(|one| (&one["id"], quote(one).1)).collect();
            let quoted = "quoted".into();
            let expected = [
                (&"10".into(), &Value::Null),
                (&"11".into(), &Value::Null),
                (&"12".into(), &quoted),
            ];
            assert_eq!(told, expected);
        }
    })
    .await;
}

/// A thread of [`TEXT`] that began at a message, which it quotes.
async fn begin_thread(bench: &Bench) {
    let thread = Channel {
        kind: 11,
        parent_id: Some(TEXT),
        ..channel(THREAD, "thread")
    };
    bench.settle(Event::ChannelUpserted(thread)).await;
    bench.say(TEXT, THREAD).await;
    answer(bench, THREAD, 500, THREAD).await;
}

#[tokio::test]
async fn a_thread_no_longer_quotes_the_message_that_it_began_at() {
    with_bench(async |bench| {
        begin_thread(bench).await;
        let watcher = bench.watch(2, TEXT).await;
        bench.join(&watcher, THREAD).await;
        let seen = watcher.until("messages_bulk", 1).await.remove(0);
        assert_eq!(quote(&seen["messages"][0]).1, "quoted");
        bench.delete(TEXT, THREAD).await;
        watcher.until("message_delete", 1).await;
        let other = bench.connect(3);
        bench.join(&other, THREAD).await;
        let joined = other.until("messages_bulk", 1).await.remove(0);
        assert_eq!(quote(&joined["messages"][0]).1, &Value::Null);
    })
    .await;
}

/// The room is in memory, and its worker follows no other channel.
#[tokio::test]
async fn a_thread_no_longer_quotes_its_beginning_where_nobody_watches_the_channel() {
    with_bench(async |bench| {
        begin_thread(bench).await;
        let watcher = bench.watch(2, THREAD).await;
        bench.delete(TEXT, THREAD).await;
        bench.touch_guild().await;
        let other = bench.connect(3);
        bench.join(&other, THREAD).await;
        let joined = other.until("messages_bulk", 1).await.remove(0);
        assert_eq!(quote(&joined["messages"][0]).1, &Value::Null);
        // Nor in what comes later, however much was deleted in the thread meanwhile.
        for id in 600..=850 {
            bench.delete(THREAD, id).await;
        }
        answer(bench, THREAD, 900, THREAD).await;
        let told = watcher.until("message", 1).await.remove(0);
        assert_eq!(quote(&told).1, &Value::Null);
        let page = page(bench, THREAD).await;
        assert!(!page.to_string().contains("quoted"), "{page}");
        assert_eq!(watcher.link.all("message_delete").len(), 251);
    })
    .await;
}

/// Neither the room nor SQL has heard of it yet: the stream has.
#[tokio::test]
async fn a_thread_is_loaded_without_its_beginning_and_replayed_without_it() {
    with_bench(async |bench| {
        let watcher = bench.watch(2, TEXT).await;
        bench.say(TEXT, 1).await;
        watcher.until("message", 1).await;
        let offset = bench.hub.feed.position();
        begin_thread(bench).await;
        bench.delete(TEXT, THREAD).await;
        bench.touch_guild().await;
        let page = page(bench, THREAD).await;
        assert_eq!(quote(&page["messages"][0]).1, &Value::Null);
        let joiner = bench.connect(3);
        let reply = Answer::new(Link::Recorder(joiner.link.clone()), None, "join_channel");
        let thread = ChannelId::new(THREAD).unwrap();
        bench
            .hub
            .resume(joiner.key, thread, None, Some(offset), reply);
        let told = joiner.until("message", 1).await.remove(0);
        assert_eq!(quote(&told).1, &Value::Null);
    })
    .await;
}

/// It has the id of its first message, which is its own.
#[tokio::test]
async fn the_deletion_of_a_posts_first_message_is_told() {
    with_bench(async |bench| {
        let post = Channel {
            kind: 11,
            parent_id: Some(TEXT),
            ..channel(THREAD, "post")
        };
        bench.settle(Event::ChannelUpserted(post)).await;
        bench.say(THREAD, THREAD).await;
        let watcher = bench.watch(2, THREAD).await;
        bench.delete(THREAD, THREAD).await;
        let told = watcher.until("message_delete", 1).await.remove(0);
        assert_eq!(told["messageId"], THREAD.to_string());
    })
    .await;
}
