//! Tokens on open sockets: they expire after a grace, are refreshed, and are taken back.

use runtime::time::now_ms;
use serde_json::{Value, json};

use super::bench::{Bench, TEXT, Watcher, eventually, token, with_bench, with_quota};

const HOUR: i64 = 3_600;

fn now() -> i64 {
    now_ms() / 1_000
}

/// Lets the hub look at the clock at this time.
fn at(bench: &Bench, seconds: i64) {
    bench.hub.state.borrow_mut().expire(seconds);
}

fn codes(viewer: &Watcher) -> Vec<Value> {
    let errors = viewer.link.all("error").into_iter();
    errors.map(|error| error["code"].clone()).collect()
}

async fn refused(bench: &Bench, viewer: &Watcher, name: &str, data: &Value) -> Value {
    let before = codes(viewer).len();
    bench.ask(viewer, name, data);
    eventually(name, || codes(viewer).get(before).cloned()).await
}

#[tokio::test]
async fn an_expired_token_has_a_grace_in_which_live_events_go_on_and_requests_do_not() {
    with_bench(async |bench| {
        let viewer = bench.watch(2, TEXT).await;
        let ends = bench.principal(2, &json!({})).ends();
        at(bench, ends - 2);
        assert!(codes(&viewer).is_empty());
        at(bench, ends);
        assert_eq!(codes(&viewer), ["AUTH_EXPIRED"]);
        at(bench, ends + 24);
        assert_eq!(codes(&viewer).len(), 1, "told once");
        bench.say(TEXT, 1).await;
        viewer.until("message", 1).await;
        for (name, data) in [
            ("get_channels", json!({})),
            ("get_messages", json!({ "channelId": TEXT.to_string() })),
            ("nonsense", json!({})),
        ] {
            assert_eq!(refused(bench, &viewer, name, &data).await, "AUTH_EXPIRED");
        }
        let leave = json!({ "channelId": TEXT.to_string() });
        bench.ask(&viewer, "leave_channel", &leave);
        assert_eq!(
            refused(bench, &viewer, "leave_channel", &leave).await,
            "NOT_JOINED"
        );
        assert!(!viewer.link.is_disconnected());
        at(bench, ends + 25);
        assert!(viewer.link.is_disconnected() && viewer.link.closed().is_none());
    })
    .await;
}

#[tokio::test]
async fn another_token_ends_the_grace_and_only_one_of_the_same_user_issuer_and_kind() {
    with_bench(async |bench| {
        let viewer = bench.watch(2, TEXT).await;
        let ends = bench.principal(2, &json!({})).ends();
        at(bench, ends);
        let longer = |more: Value| {
            let mut claims = json!({ "exp": now() + 2 * HOUR });
            claims
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            claims
        };
        let table = [
            (token(3, &longer(json!({}))), "AUTH_INVALID"),
            (
                token(2, &longer(json!({ "iss": "another" }))),
                "AUTH_INVALID",
            ),
            (token(2, &longer(json!({ "channels": [] }))), "AUTH_INVALID"),
            (token(2, &longer(json!({ "username": 1 }))), "AUTH_PAYLOAD"),
            (token(2, &json!({ "exp": 1 })), "AUTH_EXPIRED"),
            (token(2, &json!({ "exp": now() + 60 })), "BAD_REQUEST"),
            ("garbage".into(), "AUTH_INVALID"),
            (String::new(), "BAD_REQUEST"),
        ];
        for (token, code) in table {
            let data = json!({ "token": token });
            assert_eq!(refused(bench, &viewer, "refresh_token", &data).await, code);
        }
        let data = json!({ "token": token(2, &longer(json!({}))) });
        bench.ask(&viewer, "refresh_token", &data);
        let is_valid = || {
            let state = bench.hub.state.borrow();
            state.viewers[&viewer.key]
                .grace_ends
                .is_none()
                .then_some(())
        };
        eventually("the grace ends", is_valid).await;
        at(bench, ends + 25);
        assert!(!viewer.link.is_disconnected());
        bench.ask(&viewer, "get_channels", &json!({}));
        viewer.until("channels_list", 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_refreshed_embed_token_keeps_only_the_channels_that_it_names() {
    with_bench(async |bench| {
        let claims = json!({ "channels": [TEXT.to_string()] });
        let viewer = bench.connect_as(bench.principal(2, &claims));
        bench.join(&viewer, TEXT).await;
        let other = json!({ "channels": ["999"], "exp": now() + 2 * HOUR });
        bench.ask(
            &viewer,
            "refresh_token",
            &json!({ "token": token(2, &other) }),
        );
        let left = viewer.until("channel_left", 1).await;
        assert_eq!(left[0]["reason"], "access_revoked");
        let is_empty = |list: &Value| list == &json!([]);
        eventually("an empty list", || {
            viewer.link.all("channels_list").pop().filter(is_empty)
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn who_is_here_by_a_revoked_token_goes_for_good() {
    with_bench(async |bench| {
        let (gone, stays) = (bench.connect(2), bench.connect(3));
        bench.hub.on_revoked(|principal| principal.user.get() == 2);
        assert_eq!(codes(&gone), ["AUTH_REVOKED"]);
        assert!(gone.link.is_disconnected());
        assert!(codes(&stays).is_empty() && !stays.link.is_disconnected());
    })
    .await;
}

#[tokio::test]
async fn events_are_answered_in_their_order_and_a_flood_is_refused_at_once() {
    with_bench(async |bench| {
        let viewer = bench.connect(2);
        bench.ask(
            &viewer,
            "join_channel",
            &json!({ "channelId": TEXT.to_string() }),
        );
        for _ in 0..2_000 {
            bench.ask(&viewer, "nonsense", &json!({}));
        }
        // What stands in line has not been looked at: only what found no place was answered.
        let limited = codes(&viewer);
        assert_eq!(limited.len(), 2_001 - 256);
        assert!(limited.iter().all(|code| code == "RATE_LIMITED"));
        let told = viewer.link.all("rate_limited");
        assert_eq!(told.len(), limited.len());
        assert_eq!(told[0]["retryAfter"], 1);
        let unknown = || {
            codes(&viewer)
                .iter()
                .filter(|code| *code == "UNKNOWN_EVENT")
                .count()
        };
        eventually("the line is served", || (unknown() == 255).then_some(())).await;
        viewer.until("messages_bulk", 1).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_over_the_quota_is_refused_with_an_honest_time_and_two_events_are_free() {
    with_quota(60, async |bench| {
        let (viewer, again) = (bench.connect(2), bench.connect(2));
        for _ in 0..30 {
            bench.ask(&viewer, "get_channels", &json!({}));
            bench.ask(&again, "nonsense", &json!({}));
        }
        // One list is sent at the beginning.
        viewer.until("channels_list", 31).await;
        eventually("the other socket's are answered", || {
            (codes(&again).len() == 30).then_some(())
        })
        .await;
        assert!(codes(&again).iter().all(|code| code == "UNKNOWN_EVENT"));
        assert_eq!(
            refused(bench, &viewer, "get_channels", &json!({})).await,
            "RATE_LIMITED"
        );
        let told = viewer.link.all("rate_limited");
        assert_eq!(told[0]["message"], "Too many requests");
        let seconds = told[0]["retryAfter"].as_u64().unwrap();
        assert!((1..=60).contains(&seconds), "one interval of the window");
        let leave = json!({ "channelId": TEXT.to_string() });
        assert_eq!(
            refused(bench, &viewer, "leave_channel", &leave).await,
            "NOT_JOINED"
        );
        let token = json!({ "token": "garbage" });
        assert_eq!(
            refused(bench, &viewer, "refresh_token", &token).await,
            "AUTH_INVALID"
        );
        let other = bench.connect(3);
        bench.ask(&other, "get_channels", &json!({}));
        other.until("channels_list", 2).await;
    })
    .await;
}
