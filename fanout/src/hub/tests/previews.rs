//! Replies: what they quote is told until the original is deleted, live, in joins and in pages.

use proto::event::{Channel, Event, Message, Reply, User};
use proto::{ChannelId, MessageId};
use serde_json::{Value, json};

use super::bench::{Bench, TEXT, channel, message, with_bench};
use crate::address::ClientAddress;
use crate::request::Request;
use crate::session::Session;

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

#[tokio::test]
async fn a_thread_no_longer_quotes_the_message_that_it_began_at() {
    with_bench(async |bench| {
        let thread = Channel {
            kind: 11,
            parent_id: Some(TEXT),
            ..channel(THREAD, "thread")
        };
        bench.settle(Event::ChannelUpserted(thread)).await;
        bench.say(TEXT, THREAD).await;
        answer(bench, THREAD, 500, THREAD).await;
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
