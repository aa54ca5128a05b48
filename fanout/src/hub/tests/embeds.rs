//! What embedded pages are not told: the names of members who are mentioned, on whichever way a message comes.

use proto::event::{Event, Message};
use proto::{ChannelId, MessageId};
use serde_json::{Value, json};

use super::bench::{Bench, KEY_ROLE, TEXT, Watcher, message, session, with_bench};
use super::recovery::{arrive, let_in};
use crate::auth::Principal;
use crate::recovery::Kept;
use crate::request::Request;
use crate::transport::{Link, Reply};

fn embedded(bench: &Bench) -> Principal {
    bench.principal(2, &json!({ "channels": [TEXT.to_string()] }))
}

/// A message that mentions a member, a role and a channel.
fn mentioning(id: u64) -> Message {
    Message {
        mentioned_users: [(3, "Bobby".into())].into(),
        mentioned_roles: vec![KEY_ROLE],
        mentioned_channels: [(TEXT, "text".into())].into(),
        ..message(id, "<@3>")
    }
}

async fn post(bench: &Bench, id: u64) {
    let event = Event::MessageCreated(mentioning(id));
    bench.publish(Some(TEXT), event).await;
    bench.touch_guild().await;
}

/// The members' names in a message; its other mentions are there.
fn names(message: &Value) -> &Value {
    let mentions = &message["mentions"];
    assert!(mentions["roles"].get(KEY_ROLE.to_string()).is_some());
    assert_eq!(mentions["channels"][TEXT.to_string()], "text");
    &mentions["users"]
}

fn resume(bench: &Bench, watcher: &Watcher, offset: &str) {
    let request = Request::Resume {
        channel: ChannelId::new(TEXT).unwrap(),
        limit: None,
        after: offset.parse().ok(),
    };
    let reply = Reply::new(Link::Recorder(watcher.link.clone()), None, "join_channel");
    bench.hub.on_request(watcher.key, request, reply);
}

#[tokio::test]
async fn an_embedded_page_is_told_no_mentioned_members_live_or_in_pages() {
    with_bench(async |bench| {
        let user = bench.watch(2, TEXT).await;
        let page = bench.connect_as(embedded(bench));
        bench.join(&page, TEXT).await;
        post(bench, 1).await;
        let edited = Message {
            edited_timestamp_ms: Some(1),
            ..mentioning(1)
        };
        bench
            .publish(Some(TEXT), Event::MessageUpdated(edited))
            .await;
        // As a room tells what the event does not say.
        bench.react(TEXT, 1, 2).await;
        bench
            .publish(Some(TEXT), Event::MessageUpdated(mentioning(1)))
            .await;
        for (watcher, expected) in [(&user, json!({ "3": "Bobby" })), (&page, json!({}))] {
            let posted = watcher.until("message", 1).await;
            let updates = watcher.until("message_update", 2).await;
            for told in posted.iter().chain(&updates) {
                assert_eq!(names(told), &expected, "{told}");
            }
            assert_eq!(updates[1]["reactions"][0]["count"], 2);
        }
        // The same page, for one and the other, in either order.
        for principal in [
            embedded(bench),
            bench.principal(2, &json!({})),
            embedded(bench),
        ] {
            let is_embed = principal.grant == embedded(bench).grant;
            let expected = if is_embed {
                json!({})
            } else {
                json!({ "3": "Bobby" })
            };
            let watcher = bench.connect_as(principal.clone());
            bench.join(&watcher, TEXT).await;
            let bulk = watcher.until("messages_bulk", 1).await;
            assert_eq!(names(&bulk[0]["messages"][0]), &expected);
            let request = Request::GetMessages {
                channel: ChannelId::new(TEXT).unwrap(),
                before: MessageId::new(u64::MAX >> 1),
                limit: 50,
            };
            let paged = bench
                .hub
                .ask_once(session(principal), request)
                .await
                .unwrap();
            assert_eq!(names(&paged["messages"][0]), &expected);
        }
    })
    .await;
}

#[tokio::test]
async fn an_embedded_page_that_comes_back_is_told_no_mentioned_members() {
    with_bench(async |bench| {
        post(bench, 1).await;
        let page = bench.connect_as(embedded(bench));
        let claim = bench.recovery.begin(&embedded(bench)).unwrap();
        let pid = claim.pid.clone();
        bench.hub.keep_as(page.key, Kept::new(claim, "sid".into()));
        bench.join(&page, TEXT).await;
        bench.hub.keep(page.key).await;
        let offset = page.link.offsets().pop().unwrap();
        bench.hub.on_disconnected(page.key);
        post(bench, 2).await;

        let arrival = arrive(bench, embedded(bench), &pid, Some(&offset)).await;
        let recovered = let_in(bench, arrival.unwrap());
        let resumed = bench.connect_as(embedded(bench));
        resume(bench, &resumed, &offset);
        let user = bench.connect(2);
        resume(bench, &user, &offset);
        let none = json!({});
        for (watcher, expected) in [
            (&recovered, &none),
            (&resumed, &none),
            (&user, &json!({ "3": "Bobby" })),
        ] {
            let missed = watcher.until("message", 1).await;
            assert_eq!(
                (&missed[0]["id"], names(&missed[0])),
                (&"2".into(), expected)
            );
            assert!(watcher.link.all("messages_bulk").is_empty());
        }
        post(bench, 3).await;
        let live = recovered.until("message", 2).await;
        assert_eq!(names(&live[1]), &none);
    })
    .await;
}
