//! Members who can't be verified in time, answers that hold for a while, time-outs that end, and private embeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use broker::Broker as _;
use prost::Message as _;
use proto::event::{Event, Member, MemberAnswer, MemberReply, MemberRequest, MemberStatus};
use proto::{UserId, subject};
use runtime::time::now_ms;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::bench::{Bench, HIDDEN, KEY_ROLE, TEXT, Watcher, eventually, member, with_bench};
use crate::access::Grant;
use crate::hub::review::Moment;
use crate::hub::standing::TRUST;

/// What answers in place of ingest.
#[derive(Default)]
struct Desk {
    asked: AtomicU64,
    is_away: AtomicBool,
}

async fn serve(bench: &Bench, recheck_after_ms: u64) -> Arc<Desk> {
    let desk = Arc::new(Desk::default());
    let mut requests = bench.broker.serve(subject::RPC_MEMBER).await.unwrap();
    let serving = desk.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            serving.asked.fetch_add(1, Relaxed);
            let asked = MemberRequest::decode(request.payload).unwrap();
            let status = if serving.is_away.load(Relaxed) {
                MemberStatus::Unavailable
            } else {
                MemberStatus::Member
            };
            let answers = asked.guild_ids.iter().map(|guild_id| MemberAnswer {
                guild_id: *guild_id,
                status: status.into(),
                sequence: 1,
            });
            let reply = MemberReply {
                answers: answers.collect(),
                recheck_after_ms,
            };
            request.reply.send(reply.encode_to_vec().into()).unwrap();
        }
    });
    desk
}

/// Looks at everybody as if it were so much later.
async fn look_in(bench: &Bench, later: Duration) {
    let moment = Moment {
        now: Instant::now() + later,
        since_ms: now_ms(),
        now_ms: now_ms(),
    };
    bench.hub.review_at(moment).await;
}

fn grant(user: u64) -> Grant {
    Grant::User(UserId::new(user).unwrap())
}

fn last_list(viewer: &Watcher) -> Option<usize> {
    let list: Value = viewer.link.all("channels_list").pop()?;
    Some(list.as_array().unwrap().len())
}

#[tokio::test]
async fn who_is_not_verified_in_five_minutes_loses_access_until_somebody_says_what_they_are() {
    with_bench(async |bench| {
        let viewer = bench.watch(9, HIDDEN).await;
        look_in(bench, TRUST / 10 * 9).await;
        assert!(viewer.link.names().is_empty(), "trusted meanwhile");
        look_in(bench, TRUST).await;
        let left = viewer.until("channel_left", 1).await;
        assert_eq!(
            left[0],
            json!({ "channelId": HIDDEN.to_string(), "reason": "access_revoked" })
        );
        eventually("an empty list", || {
            last_list(&viewer).filter(|count| *count == 0)
        })
        .await;
        assert_eq!(bench.instance.lapsed.load(Relaxed), 1);
        // It may be otherwise in a moment: nobody is refused for good.
        bench.ask(
            &viewer,
            "join_channel",
            &json!({ "channelId": HIDDEN.to_string() }),
        );
        assert_eq!(viewer.until("error", 1).await[0]["code"], "UNAVAILABLE");
        serve(bench, 0).await;
        eventually("the list is back", || {
            last_list(&viewer).filter(|count| *count == 2)
        })
        .await;
        bench.join(&viewer, HIDDEN).await;
        look_in(bench, TRUST * 10).await;
        assert_eq!(
            viewer.link.all("channel_left").len(),
            1,
            "verified for good"
        );
    })
    .await;
}

#[tokio::test]
async fn a_guild_that_comes_anew_is_asked_about_and_what_was_verified_before_is_not_enough() {
    with_bench(async |bench| {
        let desk = serve(bench, 0).await;
        assert!(bench.hub.resolve(&grant(9)).await);
        let viewer = bench.watch(9, HIDDEN).await;
        let asked = desk.asked.load(Relaxed);
        look_in(bench, TRUST * 10).await;
        desk.is_away.store(true, Relaxed);
        bench.snapshot("second").await;
        eventually("they are asked about", || {
            (desk.asked.load(Relaxed) > asked).then_some(())
        })
        .await;
        look_in(bench, TRUST * 2).await;
        viewer.until("channel_left", 1).await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_holds_for_a_while_is_asked_for_again() {
    with_bench(async |bench| {
        let desk = serve(bench, 50).await;
        assert!(bench.hub.resolve(&grant(2)).await);
        let _viewer = bench.watch(2, TEXT).await;
        assert!(bench.hub.resolve(&grant(2)).await);
        for asked in 2..5 {
            let again = async || {
                look_in(bench, Duration::ZERO).await;
                desk.asked.load(Relaxed) >= asked
            };
            while !again().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_time_out_is_a_new_list() {
    with_bench(async |bench| {
        let until_ms = now_ms() + 700;
        let timed_out = Member {
            timed_out_until_ms: Some(until_ms),
            ..member(9, &[KEY_ROLE])
        };
        bench.settle(Event::MemberUpserted(timed_out)).await;
        let viewer = bench.connect(9);
        let writable = || {
            let list = viewer.link.all("channels_list").pop()?;
            list[0]["permissions"]["canWrite"].as_bool()
        };
        assert_eq!(writable(), Some(false));
        eventually("the time-out ends", || {
            writable().filter(|can_write| *can_write)
        })
        .await;
        assert!(now_ms() >= until_ms);
    })
    .await;
}

#[tokio::test]
async fn a_private_embed_shows_what_the_bot_sees_and_another_what_everyone_does() {
    with_bench(async |bench| {
        let named = json!([TEXT.to_string(), HIDDEN.to_string(), "999"]);
        let public = bench.connect_as(bench.principal(2, &json!({ "channels": named })));
        let claims = json!({ "channels": named, "private": true });
        let private = bench.connect_as(bench.principal(2, &claims));
        assert_eq!(
            (last_list(&public), last_list(&private)),
            (Some(1), Some(2))
        );
        bench.join(&private, HIDDEN).await;
        bench.ask(
            &public,
            "join_channel",
            &json!({ "channelId": HIDDEN.to_string() }),
        );
        assert_eq!(public.until("error", 1).await[0]["code"], "FORBIDDEN");
    })
    .await;
}
