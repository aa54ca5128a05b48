//! What ingest is asked for before a page is shown: messages of before anybody listened, and links that hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use broker::Broker as _;
use bytes::Bytes;
use prost::Message as _;
use proto::event::{
    Attachment, Embed, Event, Forward, HistoryReply, HistoryRequest, LinksReply, LinksRequest,
};
use proto::{ChannelId, GuildId, link, subject};
use runtime::time::now_ms;
use serde_json::{Value, json};

use super::bench::{Bench, GUILD, TEXT, eventually, message, with_bench};
use crate::history::History;

const OLD: &str = "ex=5&is=4&hm=00";

fn url(file: u64, signature: &str) -> String {
    format!("https://cdn.discordapp.com/attachments/{TEXT}/{file}/cat.png?{signature}")
}

/// A signature that holds for a day.
fn fresh() -> String {
    format!("ex={:x}&is=1&hm=ff", now_ms() / 1_000 + 86_400)
}

/// Answers in place of ingest, with one signature for all files, and counts.
async fn serve_links(bench: &Bench, signature: String) -> Arc<AtomicU64> {
    let asked = Arc::new(AtomicU64::new(0));
    let mut requests = bench.broker.serve(subject::RPC_LINKS).await.unwrap();
    let counter = asked.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let wanted = LinksRequest::decode(request.payload).unwrap();
            let urls = wanted.messages.iter().flat_map(|one| &one.urls);
            let paths = urls.map(|url| link::path(url).unwrap().to_owned());
            let signatures = paths.map(|path| (path, signature.clone())).collect();
            counter.fetch_add(1, Relaxed);
            let reply = LinksReply { signatures };
            request.reply.send(reply.encode_to_vec().into()).unwrap();
        }
    });
    asked
}

/// Answers in place of ingest: puts these messages into SQL at the first question.
async fn serve_history(bench: &Bench, ids: Vec<u64>, slow: Duration) {
    let mut requests = bench.broker.serve(subject::RPC_HISTORY).await.unwrap();
    let store = bench.hub.library.store.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let wanted = HistoryRequest::decode(request.payload).unwrap();
            let channel = ChannelId::new(wanted.channel_id).unwrap();
            let messages: Vec<_> = ids.iter().map(|id| message(*id, "before")).collect();
            let is_first = !store.is_filled(channel).await.unwrap();
            if is_first {
                tokio::time::sleep(slow).await;
            }
            let guild = GuildId::new(GUILD).unwrap();
            store.fill(guild, channel, &messages, 1).await.unwrap();
            let reply = HistoryReply {
                filled: true,
                messages: u32::from(is_first),
            };
            request.reply.send(reply.encode_to_vec().into()).ok();
        }
    });
}

fn with_files(id: u64, signature: &str) -> proto::event::Message {
    let attachment = |file| Attachment {
        id: file,
        url: url(file, signature),
        proxy_url: url(file, signature).replace("cdn", "media"),
        ..Attachment::default()
    };
    let embed = Embed {
        image_url: Some(url(2, signature)),
        ..Embed::default()
    };
    proto::event::Message {
        channel_id: TEXT,
        attachments: vec![attachment(1)],
        embeds: vec![embed],
        forward: Some(Forward {
            attachments: vec![attachment(3)],
            ..Forward::default()
        }),
        ..message(id, "look")
    }
}

fn links(shown: &Value) -> Vec<String> {
    let places = [
        "/attachments/0/url",
        "/attachments/0/proxyUrl",
        "/embeds/0/image/url",
        "/forwarded/attachments/0/url",
    ];
    let link = |place| shown.pointer(place).unwrap().as_str().unwrap().to_owned();
    places.map(link).to_vec()
}

#[tokio::test]
async fn links_that_run_out_are_refreshed_on_each_page() {
    with_bench(async |bench| {
        let signature = fresh();
        let asked = serve_links(bench, signature.clone()).await;
        bench
            .publish(Some(TEXT), Event::MessageCreated(with_files(50, OLD)))
            .await;
        bench.touch_guild().await;
        let viewer = bench.connect(2);
        bench.join(&viewer, TEXT).await;
        let bulk = viewer.until("messages_bulk", 1).await;
        let shown = links(&bulk[0]["messages"][0]);
        assert!(
            shown.iter().all(|link| link.ends_with(&signature)),
            "{shown:?}"
        );
        assert!(shown[1].starts_with("https://media."), "{shown:?}");
        // What is known is asked for no more.
        let history = bench
            .hub
            .page(ChannelId::new(TEXT).unwrap(), None, 50)
            .await;
        let history = history.unwrap();
        let known = history.messages.get(50).unwrap();
        assert!(known.attachments[0].url.ends_with(&signature));
        assert!(history.links_until_ms > Some(now_ms()));
        assert_eq!(asked.load(Relaxed), 1);
    })
    .await;
}

#[tokio::test]
async fn links_stay_as_they_are_where_nobody_answers_or_they_hold() {
    with_bench(async |bench| {
        let holds = fresh();
        bench
            .publish(Some(TEXT), Event::MessageCreated(with_files(50, OLD)))
            .await;
        bench
            .publish(Some(TEXT), Event::MessageCreated(with_files(51, &holds)))
            .await;
        bench.touch_guild().await;
        let viewer = bench.connect(2);
        bench.join(&viewer, TEXT).await;
        let bulk = viewer.until("messages_bulk", 1).await;
        for (index, signature) in [(0, OLD), (1, holds.as_str())] {
            let shown = links(&bulk[0]["messages"][index]);
            assert!(
                shown.iter().all(|link| link.ends_with(signature)),
                "{shown:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn the_first_look_at_a_channel_brings_what_was_posted_before() {
    with_bench(async |bench| {
        serve_history(bench, vec![1, 2, 3], Duration::ZERO).await;
        bench.say(TEXT, 50).await;
        let viewer = bench.connect(2);
        bench.join(&viewer, TEXT).await;
        let bulk = viewer.until("messages_bulk", 1).await;
        let ids = bulk[0]["messages"].as_array().unwrap().iter();
        let ids: Vec<_> = ids.map(|one| one["id"].clone()).collect();
        assert_eq!(ids, ["1", "2", "3", "50"]);
        // Live events go on as ever.
        bench.say(TEXT, 51).await;
        assert_eq!(viewer.until("message", 1).await[0]["id"], "51");
    })
    .await;
}

#[tokio::test]
async fn a_slow_filling_keeps_nobody_waiting_for_long_and_is_there_at_a_later_look() {
    with_bench(async |bench| {
        serve_history(bench, vec![1, 2], Duration::from_millis(2_500)).await;
        bench.say(TEXT, 50).await;
        let viewer = bench.watch(2, TEXT).await;
        let channel = ChannelId::new(TEXT).unwrap();
        let store = &bench.hub.library.store;
        while !Box::pin(store.is_filled(channel)).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bench.hub.library.fills.end_rest();
        bench.ask(
            &viewer,
            "join_channel",
            &json!({ "channelId": TEXT.to_string(), "limit": 10 }),
        );
        let bulk = viewer.until("messages_bulk", 1).await;
        assert_eq!(bulk[0]["messages"].as_array().unwrap().len(), 3);
        eventually("the room knows", || {
            let state = bench.hub.state.borrow();
            let room = state.rooms.get(&channel)?;
            (!room.is_partial()).then_some(())
        })
        .await;
    })
    .await;
}

/// Deletes a message when ingest is asked about this, and answers nothing before the hub has heard of it.
async fn delete_while_asked(
    bench: &Bench,
    asked: &str,
    page: impl Future<Output = Option<History>>,
) -> History {
    let mut requests = bench.broker.serve(asked).await.unwrap();
    let deleting = async {
        let request = requests.next().await.unwrap();
        bench.delete(TEXT, 50).await;
        bench.touch_guild().await;
        request.reply.send(Bytes::new()).unwrap();
    };
    let (history, ()) = tokio::join!(page, deleting);
    history.unwrap()
}

#[tokio::test]
async fn what_is_deleted_while_ingest_is_asked_is_on_no_page() {
    for asked in [subject::RPC_LINKS, subject::RPC_HISTORY] {
        Box::pin(with_bench(async |bench| {
            bench
                .publish(Some(TEXT), Event::MessageCreated(with_files(50, OLD)))
                .await;
            bench.say(TEXT, 51).await;
            bench.touch_guild().await;
            let page = bench.hub.page(ChannelId::new(TEXT).unwrap(), None, 50);
            let history = delete_while_asked(bench, asked, page).await;
            assert!(history.messages.get(50).is_none(), "{asked}");
            assert!(history.messages.get(51).is_some(), "{asked}");
        }))
        .await;
    }
}

#[tokio::test]
async fn whoever_looks_while_a_channel_is_being_filled_sees_it_filled_too() {
    Box::pin(with_bench(async |bench| {
        serve_history(bench, vec![1, 2], Duration::from_millis(200)).await;
        bench.say(TEXT, 50).await;
        bench.touch_guild().await;
        let page = || bench.hub.page(ChannelId::new(TEXT).unwrap(), None, 50);
        let (one, other) = tokio::join!(page(), page());
        for history in [one.unwrap(), other.unwrap()] {
            assert_eq!((history.messages.len(), history.is_partial), (3, false));
        }
    }))
    .await;
}
