//! Load: how many, in what order, how fast.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{PLAIN_INTENTS, World};

#[tokio::test]
async fn a_load_is_numbered_stamped_padded_and_paced() {
    let world = World::start().await;
    let mut gateway = world.identified(PLAIN_INTENTS).await;
    let load =
        json!({ "channelId": world.channel("general"), "rate": 100, "count": 50, "bytes": 200 });
    let begun = Instant::now();
    let answer = world.control(Method::POST, "/sim/load", load).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let mut last = 0;
    for number in 1..=50 {
        let message = gateway.next_named("MESSAGE_CREATE").await;
        let content = message["d"]["content"].as_str().unwrap();
        assert_eq!(content.len(), 200);
        let rest = content
            .strip_prefix(&format!("n={number};t="))
            .expect("the numbers go up by one");
        let stamp: u128 = rest.split(';').next().unwrap().parse().unwrap();
        assert!(stamp > last);
        last = stamp;
    }
    // The fiftieth is due 490 ms after the first. A late start may not delay the whole.
    let taken = begun.elapsed().as_millis();
    assert!((480..2_000).contains(&taken), "{taken} ms");
}

#[tokio::test]
async fn a_mixed_load_creates_edits_and_deletes_in_seven_two_and_one_of_ten() {
    let world = World::start().await;
    let mut gateway = world.identified(PLAIN_INTENTS).await;
    let load =
        json!({ "channelId": world.channel("general"), "rate": 2_000, "count": 100, "mix": true });
    world.control(Method::POST, "/sim/load", load).await;
    let mut seen = std::collections::BTreeMap::new();
    let mut numbers = Vec::new();
    while seen.values().sum::<u32>() < 100 + 20 {
        let event = gateway.next().await;
        *seen
            .entry(event["t"].as_str().unwrap().to_owned())
            .or_default() += 1;
        if let Some(content) = event["d"]["content"].as_str() {
            let number = content
                .strip_prefix("n=")
                .unwrap()
                .split(';')
                .next()
                .unwrap();
            numbers.push(number.parse::<u32>().unwrap());
        }
    }
    let seen: Vec<_> = seen
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    let expected = [
        ("MESSAGE_CREATE", 70),
        ("MESSAGE_DELETE", 10),
        ("MESSAGE_REACTION_ADD", 20),
        ("MESSAGE_UPDATE", 20),
    ];
    assert_eq!(seen, expected);
    let creations_and_edits: Vec<_> = (1..=100).filter(|number| number % 10 != 0).collect();
    assert_eq!(numbers, creations_and_edits);
}

#[tokio::test]
async fn a_load_that_makes_no_sense_is_refused() {
    let world = World::start().await;
    let general = world.channel("general");
    for (rate, count, bytes) in [(0, 1, 0), (-1, 1, 0), (1_000_000, 1, 0), (1, 1, 5_000)] {
        let load = json!({ "channelId": general, "rate": rate, "count": count, "bytes": bytes });
        let answer = world.control(Method::POST, "/sim/load", load).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
}
