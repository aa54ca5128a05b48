//! Rate limits: headers, 429s of every kind, and that what they say of the time is true.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::World;

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

async fn limits(world: &World, body: Value) {
    let answer = world.control(Method::POST, "/sim/limits", body).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

fn wait_of(answer: &Value) -> Duration {
    Duration::from_secs_f64(answer["retry_after"].as_f64().unwrap())
}

#[tokio::test]
async fn an_ordinary_reply_tells_what_is_left_of_its_bucket() {
    let world = World::start().await;
    limits(&world, json!({ "bucketLimit": 5, "bucketSeconds": 60 })).await;
    let guild = world.guild_id();
    let path = format!("/guilds/{guild}/roles");
    let first = world.raw(Method::GET, &path).await;
    let second = world.raw(Method::GET, &path).await;
    assert_eq!(header(&first, "x-ratelimit-limit"), "5");
    assert_eq!(header(&first, "x-ratelimit-remaining"), "4");
    assert_eq!(header(&second, "x-ratelimit-remaining"), "3");
    let after: f64 = header(&first, "x-ratelimit-reset-after").parse().unwrap();
    assert!((59.0..=60.0).contains(&after), "{after}");
    let reset: f64 = header(&first, "x-ratelimit-reset").parse().unwrap();
    assert!(reset > 1_700_000_000.0);
    let bucket = header(&first, "x-ratelimit-bucket");
    assert_eq!(bucket, header(&second, "x-ratelimit-bucket"));
    let other = world.raw(Method::GET, &format!("/guilds/{guild}")).await;
    assert_ne!(bucket, header(&other, "x-ratelimit-bucket"));
    assert_eq!(header(&other, "x-ratelimit-remaining"), "4");
    assert_eq!(header(&first, "x-ratelimit-scope"), "");
}

#[tokio::test]
async fn the_call_made_when_the_wait_is_over_succeeds() {
    let world = World::start().await;
    limits(&world, json!({ "bucketLimit": 2, "bucketSeconds": 0.4 })).await;
    let path = format!("/channels/{}/messages", world.channel("general"));
    for _ in 0..2 {
        world.get(&path).await;
    }
    let (status, answer) = world.call(Method::GET, &path, Value::Null).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer["global"], false);
    // Another channel has a bucket of its own, and whoever drives the simulator posts on.
    world
        .get(&format!("/channels/{}/messages", world.channel("help")))
        .await;
    world
        .post_message(&world.channel("general"), json!({ "content": "x" }))
        .await;
    tokio::time::sleep(wait_of(&answer)).await;
    world.get(&path).await;
    let told = world.stats().await;
    assert_eq!(
        (&told["invalid"], &told["tooEarly"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(told["rest"]["GET /channels/{}/messages"], 5);
    assert_eq!(told["rest"]["POST /channels/{}/messages"], 1);
}

#[tokio::test]
async fn the_global_limit_is_over_all_reads() {
    let world = World::start().await;
    limits(&world, json!({ "globalLimit": 3, "globalSeconds": 60 })).await;
    for path in ["/users/@me", "/applications/@me", "/gateway/bot"] {
        world.get(path).await;
    }
    let answer = world.raw(Method::GET, "/users/@me/guilds").await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&answer, "x-ratelimit-global"), "true");
    assert_eq!(header(&answer, "x-ratelimit-scope"), "global");
    assert_eq!(header(&answer, "x-ratelimit-bucket"), "");
    world
        .get_status("/users/@me", StatusCode::TOO_MANY_REQUESTS)
        .await;
    assert_eq!(world.stats().await["tooEarly"], 1);
}

#[tokio::test]
async fn each_scope_of_a_429_has_its_own_form_and_tells_the_truth() {
    let world = World::start().await;
    for (scope, is_json, counts) in [
        ("user", true, true),
        ("global", true, true),
        ("shared", true, false),
        ("html", false, true),
        ("cloudflare", false, true),
    ] {
        let before = world.stats().await["invalid"].as_u64().unwrap();
        world
            .fault(json!({ "kind": "rest_429", "scope": scope, "ms": 200, "seconds": 600 }))
            .await;
        let answer = world.raw(Method::GET, "/users/@me").await;
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS, "{scope}");
        assert_eq!(header(&answer, "retry-after"), "1", "{scope}");
        let has_scope = if is_json { scope } else { "" };
        assert_eq!(header(&answer, "x-ratelimit-scope"), has_scope);
        let has_bucket = ["user", "shared"].contains(&scope);
        assert_eq!(
            !header(&answer, "x-ratelimit-bucket").is_empty(),
            has_bucket,
            "{scope}"
        );
        let body = answer.text().await.unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&body).is_ok(),
            is_json,
            "{body}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.get("/users/@me").await;
        let after = world.stats().await["invalid"].as_u64().unwrap();
        assert_eq!(after - before, u64::from(counts), "{scope}");
    }
    assert_eq!(world.stats().await["tooEarly"], 0);
}

#[tokio::test]
async fn a_slow_reply_takes_as_long_as_was_asked_for() {
    let world = World::start().await;
    world
        .fault(json!({ "kind": "slow", "ms": 300, "count": 1 }))
        .await;
    let begun = std::time::Instant::now();
    world.get("/users/@me").await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let begun = std::time::Instant::now();
    world.get("/users/@me").await;
    assert!(begun.elapsed() < Duration::from_millis(300));
}

#[tokio::test]
async fn what_is_refused_counts_as_invalid() {
    let world = World::start().await;
    world
        .control(Method::GET, "/api/v10/users/@me", Value::Null)
        .await;
    world.get_status("/users/77", StatusCode::NOT_FOUND).await;
    assert_eq!(world.stats().await["invalid"], 1);
}
