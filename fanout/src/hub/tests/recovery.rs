//! Clients that come back: to what they had joined, with what they have missed, or to nothing.

use std::sync::Arc;

use proto::ChannelId;
use proto::event::{Channel, Event};
use serde_json::{Value, json};

use super::bench::{
    Bench, GUILD, HIDDEN, TEXT, VIEW, Watcher, channel, eventually, member, message, overwrite,
    session, with_bench,
};
use crate::hub::Arrival;
use crate::offset::Offset;
use crate::past::Run;
use crate::recovery::{Kept, NotRecovered};
use crate::session::ViewerKey;
use crate::transport::recorder::Recorder;
use crate::transport::{Link, Reply};

/// A connected client, and what it comes back with.
struct Client {
    user: u64,
    watcher: Watcher,
    pid: String,
}

impl Client {
    /// Connects and joins; what it was sent until then is forgotten.
    async fn start(bench: &Bench, user: u64, channels: &[u64]) -> Self {
        let watcher = bench.connect(user);
        let claim = bench.recovery.begin(&bench.principal(user, &json!({})));
        let claim = claim.expect("recovery is on");
        let pid = claim.pid.clone();
        bench
            .hub
            .keep_as(watcher.key, Kept::new(claim, "sid".into()));
        let client = Self { user, watcher, pid };
        for (index, id) in channels.iter().enumerate() {
            client.join(bench, *id).await;
            client.watcher.until("messages_bulk", index + 1).await;
        }
        client.settle(bench).await;
        client
    }

    async fn join(&self, bench: &Bench, id: u64) {
        let wanted = json!({ "channelId": id.to_string() });
        bench.ask(&self.watcher, "join_channel", &wanted);
        eventually("the channel is joined", || {
            let state = bench.hub.state.borrow();
            let joined = &state.viewers.get(&self.watcher.key)?.joined;
            joined.iter().any(|own| own.get() == id).then_some(())
        })
        .await;
    }

    /// Everything that it has joined is written down.
    async fn settle(&self, bench: &Bench) {
        bench.hub.keep(self.watcher.key).await;
    }

    fn offset(&self) -> String {
        self.watcher
            .link
            .offsets()
            .pop()
            .expect("it has seen something")
    }

    fn cut(&self, bench: &Bench) {
        bench.hub.on_disconnected(self.watcher.key);
    }

    async fn arrive(&self, bench: &Bench, offset: &str) -> Result<Arrival, NotRecovered> {
        let principal = bench.principal(self.user, &json!({}));
        arrive(bench, principal, &self.pid, Some(offset)).await
    }

    /// Cut and back, having seen everything up to an offset.
    async fn back(&self, bench: &Bench, offset: &str) -> Self {
        let arrival = self.arrive(bench, offset).await.expect("it is recovered");
        assert_eq!(arrival.ids(), ("sid".to_owned(), self.pid.clone()));
        Self {
            user: self.user,
            watcher: let_in(bench, arrival),
            pid: self.pid.clone(),
        }
    }

    /// What it was told of messages: the event, and whose.
    fn told(&self) -> Vec<(String, u64)> {
        told(&self.watcher.link)
    }
}

pub(super) async fn arrive(
    bench: &Bench,
    principal: crate::auth::Principal,
    pid: &str,
    offset: Option<&str>,
) -> Result<Arrival, NotRecovered> {
    let taken = bench.recovery.take(&principal, pid, offset).await?;
    let session = session(principal);
    bench.hub.arrive(session, 1, taken).await
}

pub(super) fn let_in(bench: &Bench, arrival: Arrival) -> Watcher {
    let link = Recorder::default();
    let key: ViewerKey = bench
        .hub
        .on_recovered(arrival, &Link::Recorder(link.clone()));
    Watcher { key, link }
}

fn told(link: &Recorder) -> Vec<(String, u64)> {
    let told = link.events().into_iter().filter_map(|(name, data)| {
        let id = match name {
            "message" | "message_update" => &data["id"],
            "message_delete" => &data["messageId"],
            _ => return None,
        };
        Some((name.to_owned(), id.as_str()?.parse().ok()?))
    });
    told.collect()
}

fn posted(ids: &[u64]) -> Vec<(String, u64)> {
    ids.iter().map(|id| ("message".to_owned(), *id)).collect()
}

/// Posts, and waits until the hub has heard it from the channel, where somebody watches it.
async fn say(bench: &Bench, channel: u64, id: u64) {
    let event = Event::MessageCreated(message(id, "said"));
    let sequence = bench.publish(Some(channel), event).await;
    // An event of the directory comes to every hub.
    bench.touch_guild().await;
    bench.handled(sequence).await;
}

#[tokio::test]
async fn who_is_cut_gets_what_was_missed_of_all_channels_in_order_and_then_live_events() {
    with_bench(async |bench| {
        let client = Client::start(bench, 9, &[TEXT, HIDDEN]).await;
        say(bench, TEXT, 1).await;
        client.watcher.until("message", 1).await;
        let offset = client.offset();
        client.cut(bench);
        for (channel, id) in [(TEXT, 2), (HIDDEN, 3), (TEXT, 4), (HIDDEN, 5)] {
            say(bench, channel, id).await;
        }
        let client = client.back(bench, &offset).await;
        assert_eq!(client.told(), posted(&[2, 3, 4, 5]));
        // How many watch is told whenever it is looked at, on a busy machine before the list.
        let mut names = client.watcher.link.names();
        names.retain(|name| *name != "viewers");
        let order = ["message", "message", "message", "message", "channels_list"];
        assert!(names.starts_with(&order), "{names:?}");
        say(bench, HIDDEN, 6).await;
        client.watcher.until("message", 5).await;
        assert_eq!(client.told(), posted(&[2, 3, 4, 5, 6]));
        let link = &client.watcher.link;
        assert!(link.all("messages_bulk").is_empty());
        assert_eq!(link.all("user_info").len(), 1);
        let offsets = link.offsets();
        assert!(offsets.is_sorted_by_key(|offset| offset.parse::<Offset>().unwrap().sequence));
    })
    .await;
}

/// Whoever is cut again in the middle of what they missed goes on from there, in every channel.
#[tokio::test]
async fn a_replay_that_is_cut_is_gone_on_with_from_each_of_its_offsets() {
    with_bench(async |bench| {
        let client = Client::start(bench, 9, &[TEXT, HIDDEN]).await;
        let offset = client.offset();
        client.cut(bench);
        for id in 1..=8 {
            say(bench, if id % 3 == 0 { HIDDEN } else { TEXT }, id).await;
        }
        let mut client = client.back(bench, &offset).await;
        let offsets = client.watcher.link.offsets();
        assert_eq!(offsets.len(), 8);
        for (seen, offset) in offsets.iter().enumerate() {
            client.cut(bench);
            client = client.back(bench, offset).await;
            let rest: Vec<u64> = (1..=8).skip(seen + 1).collect();
            assert_eq!(client.told(), posted(&rest));
        }
    })
    .await;
}

#[tokio::test]
async fn what_happens_while_somebody_comes_back_follows_what_they_missed() {
    with_bench(async |bench| {
        let client = Client::start(bench, 9, &[TEXT, HIDDEN]).await;
        let offset = client.offset();
        client.cut(bench);
        say(bench, TEXT, 1).await;
        let arrival = client.arrive(bench, &offset).await.unwrap();
        say(bench, HIDDEN, 2).await;
        say(bench, TEXT, 3).await;
        assert_eq!(told(&let_in(bench, arrival).link), posted(&[1, 2, 3]));
        // Who leaves before the answer has not come.
        let client = Client::start(bench, 2, &[TEXT]).await;
        client.cut(bench);
        let viewers = bench.hub.state.borrow().viewers.len();
        let arrival = client.arrive(bench, &client.offset()).await.unwrap();
        drop(arrival);
        assert_eq!(bench.hub.state.borrow().viewers.len(), viewers);
    })
    .await;
}

#[tokio::test]
async fn a_private_id_is_its_viewers_alone() {
    with_bench(async |bench| {
        let client = Client::start(bench, 2, &[TEXT]).await;
        let offset = client.offset();
        let embed = json!({ "channels": [TEXT.to_string()] });
        let strangers = [(3, json!({})), (2, embed), (2, json!({ "iss": "another" }))];
        for (user, claims) in strangers {
            let principal = bench.principal(user, &claims);
            let refused = arrive(bench, principal, &client.pid, Some(&offset)).await;
            assert_eq!(
                refused.unwrap_err(),
                NotRecovered::Unknown,
                "{user} {claims}"
            );
        }
        // And the one whose it is was not disturbed.
        client.join(bench, TEXT).await;
        client.settle(bench).await;
        assert_eq!(client.watcher.link.closed(), None);
        client.cut(bench);
        client.back(bench, &offset).await;
    })
    .await;
}

#[tokio::test]
async fn what_can_not_be_gone_on_from_is_refused_with_its_reason() {
    with_bench(async |bench| {
        let client = Client::start(bench, 2, &[TEXT]).await;
        let offset = client.offset();
        client.cut(bench);
        let me = || bench.principal(2, &json!({}));
        let pid = client.pid.as_str();
        let other = "0123456789abcdef0123456789abcdef";
        let ahead = format!("{offset}999");
        let table = [
            (pid, None, NotRecovered::NoOffset),
            (pid, Some("nonsense"), NotRecovered::NoOffset),
            (other, Some(offset.as_str()), NotRecovered::Unknown),
            ("not a pid", Some(&offset), NotRecovered::Unknown),
            (pid, Some("00000000000000ab.1"), NotRecovered::Gone),
            (pid, Some(&ahead), NotRecovered::Away),
        ];
        for (pid, offset, why) in table {
            let refused = arrive(bench, me(), pid, offset).await;
            assert_eq!(refused.unwrap_err(), why, "{pid} {offset:?}");
        }
        // Nine of these are more than 4 MiB.
        for id in 1..=9 {
            let long = message(id, &"x".repeat(500_000));
            bench.publish(Some(TEXT), Event::MessageCreated(long)).await;
        }
        bench.touch_guild().await;
        for _ in 0..2 {
            let refused = arrive(bench, me(), pid, Some(&offset)).await;
            assert_eq!(refused.unwrap_err(), NotRecovered::TooMuch);
        }
        assert!(bench.hub.state.borrow().viewers.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_page_that_was_not_delivered_comes_after_what_was_missed() {
    with_bench(async |bench| {
        let client = Client::start(bench, 9, &[TEXT, HIDDEN]).await;
        let offsets = client.watcher.link.offsets();
        assert_eq!(offsets.len(), 2);
        client.cut(bench);
        say(bench, TEXT, 1).await;
        say(bench, HIDDEN, 2).await;
        // Both pages were taken at one position, and only the first was seen.
        let client = client.back(bench, &offsets[0]).await;
        let pages = client.watcher.until("messages_bulk", 1).await;
        assert_eq!(pages.len(), 1);
        assert_eq!(pages[0]["channelId"], HIDDEN.to_string());
        assert_eq!(pages[0]["messages"][0]["id"], "2");
        assert_eq!(client.told(), posted(&[1]));
        let names = client.watcher.link.names();
        let page = names.iter().position(|name| *name == "messages_bulk");
        assert!(
            page > names.iter().position(|name| *name == "message"),
            "{names:?}"
        );
        say(bench, HIDDEN, 3).await;
        client.watcher.until("message", 2).await;
        client.settle(bench).await;
        client.cut(bench);
        let client = client.back(bench, &client.offset()).await;
        assert!(client.watcher.link.all("messages_bulk").is_empty());
        assert!(client.told().is_empty());
    })
    .await;
}

#[tokio::test]
async fn who_may_no_longer_see_a_channel_is_out_of_it_and_keeps_the_others() {
    with_bench(async |bench| {
        let client = Client::start(bench, 9, &[TEXT, HIDDEN]).await;
        let offset = client.offset();
        client.cut(bench);
        say(bench, HIDDEN, 1).await;
        bench.settle(Event::MemberUpserted(member(9, &[]))).await;
        say(bench, TEXT, 2).await;
        let client = client.back(bench, &offset).await;
        assert_eq!(client.told(), posted(&[2]));
        let left = client.watcher.link.all("channel_left");
        let expected = json!({ "channelId": HIDDEN.to_string(), "reason": "access_revoked" });
        assert_eq!(left, [expected]);
        // That is written down, too.
        client.settle(bench).await;
        client.cut(bench);
        let client = client.back(bench, &client.offset()).await;
        assert!(client.watcher.link.all("channel_left").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_right_that_is_taken_while_somebody_comes_back_takes_what_they_missed_with_it() {
    with_bench(async |bench| {
        let client = Client::start(bench, 9, &[TEXT]).await;
        let offset = client.offset();
        client.cut(bench);
        say(bench, TEXT, 1).await;
        let arrival = client.arrive(bench, &offset).await.unwrap();
        let hidden = Channel {
            overwrites: vec![overwrite(GUILD, 0, VIEW)],
            ..channel(TEXT, "text")
        };
        bench.settle(Event::ChannelUpserted(hidden)).await;
        let link = let_in(bench, arrival).link;
        assert!(told(&link).is_empty());
        assert_eq!(link.all("channel_left")[0]["reason"], "access_revoked");
    })
    .await;
}

#[tokio::test]
async fn nobody_is_sent_the_text_of_what_was_deleted_meanwhile() {
    with_bench(async |bench| {
        let client = Client::start(bench, 2, &[TEXT]).await;
        bench.say(TEXT, 1).await;
        client.watcher.until("message", 1).await;
        let offset = client.offset();
        client.cut(bench);
        for id in [2, 3] {
            bench.say(TEXT, id).await;
        }
        let edited = message(2, "edited");
        bench
            .publish(Some(TEXT), Event::MessageUpdated(edited))
            .await;
        for id in [1, 2] {
            bench.delete(TEXT, id).await;
        }
        bench.react(TEXT, 3, 1).await;
        bench.react(TEXT, 3, 5).await;
        bench.touch_guild().await;
        let client = client.back(bench, &offset).await;
        let expected = [("message".to_owned(), 3), ("message_delete".to_owned(), 1)];
        assert_eq!(client.told(), expected);
        let reactions = client.watcher.link.all("reaction_update");
        assert_eq!(reactions.len(), 1);
        assert_eq!(reactions[0]["reactions"][0]["count"], 5);
    })
    .await;
}

/// A second change of a message's reactions within half a second is told later than what follows it. Who was cut in
/// between has seen more than that, and comes back to hear of it, on each transport.
#[tokio::test]
async fn what_was_to_be_told_late_is_told_to_who_was_cut_meanwhile() {
    with_bench(async |bench| {
        let client = Client::start(bench, 2, &[TEXT]).await;
        let other = bench.watch(3, TEXT).await;
        say(bench, TEXT, 1).await;
        bench.react(TEXT, 1, 1).await;
        client.watcher.until("reaction_update", 1).await;
        bench.react(TEXT, 1, 7).await;
        say(bench, TEXT, 2).await;
        client.watcher.until("message", 2).await;
        let offset = client.offset();
        client.cut(bench);
        assert_eq!(client.watcher.link.all("reaction_update").len(), 1);
        other.until("reaction_update", 2).await;
        let client = client.back(bench, &offset).await;
        let told = client.watcher.link.all("reaction_update");
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["reactions"][0]["count"], 7);
        let third = bench.connect(4);
        let link = Link::Recorder(third.link.clone());
        let reply = Reply::new(link, None, "join_channel");
        let (text, seen) = (ChannelId::new(TEXT).unwrap(), offset.parse().unwrap());
        bench.hub.resume(third.key, text, None, Some(seen), reply);
        let told = third.until("reaction_update", 1).await;
        assert_eq!(told[0]["reactions"][0]["count"], 7);
    })
    .await;
}

/// Not even where it is deleted between the reading and the writing.
#[tokio::test]
async fn what_is_deleted_while_somebody_comes_back_is_only_told_to_be_gone() {
    with_bench(async |bench| {
        let client = Client::start(bench, 2, &[TEXT]).await;
        let offset = client.offset();
        client.cut(bench);
        for id in [1, 2] {
            say(bench, TEXT, id).await;
        }
        bench.react(TEXT, 1, 1).await;
        bench.touch_guild().await;
        let arrival = client.arrive(bench, &offset).await.unwrap();
        bench.delete(TEXT, 1).await;
        bench.touch_guild().await;
        let link = let_in(bench, arrival).link;
        let expected = [("message".to_owned(), 2), ("message_delete".to_owned(), 1)];
        assert_eq!(told(&link), expected);
        assert!(link.all("reaction_update").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_connection_whose_client_is_back_elsewhere_is_closed() {
    with_bench(async |bench| {
        let former = Client::start(bench, 9, &[TEXT]).await;
        let client = former.back(bench, &former.offset()).await;
        former.join(bench, HIDDEN).await;
        former.settle(bench).await;
        assert_eq!(
            former.watcher.link.closed(),
            Some(actix_socketio::Close::GoingAway)
        );
        former.cut(bench);
        client.settle(bench).await;
        assert_eq!(client.watcher.link.closed(), None);
        client.cut(bench);
        let client = client.back(bench, &former.offset()).await;
        assert!(
            client.watcher.link.all("messages_bulk").is_empty(),
            "nothing of the former's"
        );
    })
    .await;
}

#[tokio::test]
async fn nobody_comes_back_to_a_session_that_has_ended() {
    with_bench(async |bench| {
        let client = Client::start(bench, 2, &[TEXT]).await;
        bench.hub.end_session(client.watcher.key);
        client.cut(bench);
        tokio::task::yield_now().await;
        let refused = client.arrive(bench, &client.offset()).await;
        assert_eq!(refused.unwrap_err(), NotRecovered::Unknown);
    })
    .await;
}

#[tokio::test]
async fn what_was_left_is_not_come_back_to() {
    with_bench(async |bench| {
        let client = Client::start(bench, 9, &[TEXT, HIDDEN]).await;
        let leave = json!({ "channelId": TEXT.to_string() });
        bench.ask(&client.watcher, "leave_channel", &leave);
        eventually("it is left", || {
            let state = bench.hub.state.borrow();
            let joined = &state.viewers.get(&client.watcher.key)?.joined;
            (joined.len() == 1).then_some(())
        })
        .await;
        client.cut(bench);
        tokio::task::yield_now().await;
        say(bench, TEXT, 1).await;
        say(bench, HIDDEN, 2).await;
        let client = client.back(bench, &client.offset()).await;
        assert_eq!(client.told(), posted(&[2]));
    })
    .await;
}

#[tokio::test]
async fn another_token_of_the_same_viewer_keeps_what_was_joined() {
    with_bench(async |bench| {
        let embed = |channels: Value, exp: i64| {
            json!({ "channels": channels, "exp": runtime::time::now_ms() / 1000 + exp })
        };
        let (first, second) = (
            embed(json!([TEXT.to_string()]), 60),
            embed(json!([TEXT.to_string(), "5"]), 600),
        );
        let principal = bench.principal(2, &first);
        let claim = bench.recovery.begin(&principal).unwrap();
        let pid = claim.pid.clone();
        let watcher = bench.connect_as(principal.clone());
        bench.hub.keep_as(watcher.key, Kept::new(claim, "sid".into()));
        bench.join(&watcher, TEXT).await;
        let offset = watcher.link.offsets().pop().unwrap();
        let next = super::bench::token(2, &second);
        bench.ask(&watcher, "refresh_token", &json!({ "token": next }));
        let next = bench.principal(2, &second);
        eventually("it is taken", || {
            let state = bench.hub.state.borrow();
            let own = &state.viewers.get(&watcher.key)?.session.principal;
            (own.grant == next.grant).then_some(())
        })
        .await;
        bench.hub.keep(watcher.key).await;
        let refused = arrive(bench, principal, &pid, Some(&offset)).await;
        assert_eq!(refused.unwrap_err(), NotRecovered::Unknown);
        arrive(bench, next, &pid, Some(&offset)).await.unwrap();
    })
    .await;
}

/// Whatever is said and wherever a client is cut, in the end it was told exactly what one was told that never was.
#[tokio::test]
async fn a_client_that_is_cut_again_and_again_is_told_what_one_is_that_never_was() {
    with_bench(async |bench| {
        let steady = Client::start(bench, 9, &[TEXT, HIDDEN]).await;
        let mut client = Client::start(bench, 9, &[TEXT, HIDDEN]).await;
        let mut random = rand::SeedableRng::seed_from_u64(7);
        let random: &mut rand::rngs::StdRng = &mut random;
        let (mut seen, mut offset) = (Vec::new(), client.offset());
        for id in 1..=60 {
            let channel = if rand::RngExt::random_bool(random, 0.5) {
                TEXT
            } else {
                HIDDEN
            };
            say(bench, channel, id).await;
            if !rand::RngExt::random_bool(random, 0.3) {
                continue;
            }
            // It has read a part of what was on its way when it was cut.
            let (told, offsets) = (client.told(), client.watcher.link.offsets());
            let pages = offsets.len() - told.len();
            let read = rand::RngExt::random_range(random, 0..=told.len());
            seen.extend_from_slice(&told[..read]);
            if read > 0 {
                offset.clone_from(&offsets[pages + read - 1]);
            }
            client.cut(bench);
            client = client.back(bench, &offset).await;
        }
        seen.extend(client.told());
        assert_eq!(seen, steady.told());
        assert_eq!(seen.len(), 60);
    })
    .await;
}

/// A page that is taken from what was encoded before carries where it is sent.
#[tokio::test]
async fn offsets_never_go_back() {
    with_bench(async |bench| {
        let first = Client::start(bench, 9, &[TEXT, HIDDEN]).await;
        say(bench, TEXT, 1).await;
        first.watcher.until("message", 1).await;
        let second = Client::start(bench, 9, &[TEXT, HIDDEN]).await;
        for client in [first, second] {
            let offsets = client.watcher.link.offsets().into_iter();
            let offsets: Vec<_> = offsets
                .map(|text| text.parse::<crate::offset::Bookmark>().unwrap())
                .map(|at| (at.offset.sequence, at.turn))
                .collect();
            assert!(offsets.is_sorted_by(|one, next| one < next), "{offsets:?}");
        }
    })
    .await;
}

/// A crowd that comes back at once asks the broker as one.
#[tokio::test]
async fn what_many_have_missed_is_read_once_and_goes_on_from_what_is_known() {
    with_bench(async |bench| {
        let _watching = Client::start(bench, 2, &[TEXT]).await;
        let began = bench.hub.position();
        for id in 1..=3 {
            say(bench, TEXT, id).await;
        }
        let (runs, text) = (bench.recovery.runs(), ChannelId::new(TEXT).unwrap());
        let middle = bench.hub.position();
        let asking = (0..50).map(|_| runs.of(text, began, middle));
        let found = futures_util::future::try_join_all(asking).await.unwrap();
        assert!(found.iter().all(|run| Arc::ptr_eq(run, &found[0])));
        let ids = |run: &Run, after: u64| -> Vec<u64> {
            let events = run.after(after).iter();
            let ids = events.filter_map(|past| match &past.delivery.event {
                Event::MessageCreated(message) => Some(message.id),
                _ => None,
            });
            ids.collect()
        };
        assert_eq!(ids(&found[0], began.sequence), [1, 2, 3]);
        say(bench, TEXT, 4).await;
        let end = bench.hub.position();
        let later = runs.of(text, middle, end).await.unwrap();
        assert_eq!(ids(&later, middle.sequence), [4]);
        assert_eq!(
            ids(&later, began.sequence),
            [1, 2, 3, 4],
            "grown at its end"
        );
        let whole = runs.of(text, began, end).await.unwrap();
        assert!(Arc::ptr_eq(&whole, &later));
        let start = Offset {
            sequence: 0,
            ..began
        };
        let earlier = runs.of(text, start, end).await.unwrap();
        assert_eq!(ids(&earlier, 0), [1, 2, 3, 4], "and at its beginning");
    })
    .await;
}
