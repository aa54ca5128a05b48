//! Intents: what a session hears, what it may ask for, and what is withheld without them, over the gateway and over REST.

use discord_sim::SimConfig;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALL_INTENTS, World};

#[tokio::test]
async fn each_intent_lets_through_its_own_events_and_no_others() {
    let world = World::start().await;
    let (general, aya) = (world.channel("general"), world.member("aya"));
    let guild = format!("/guilds/{}", world.guild_id());
    // Before anybody listens: a ban removes the member first, which is an event of another intent.
    let ban = format!("{guild}/bans/{}", world.member("hiro"));
    world.done(Method::PUT, &ban, json!({})).await;
    let mut sessions = Vec::new();
    let expected = [
        (1, "CHANNEL_UPDATE"),
        (1 << 1, "GUILD_MEMBER_UPDATE"),
        (1 << 2, "GUILD_BAN_REMOVE"),
        (1 << 9, "MESSAGE_CREATE"),
        (1 << 10, "MESSAGE_REACTION_ADD"),
        (1 << 11, "TYPING_START"),
    ];
    for (intents, name) in expected {
        sessions.push((world.identified(intents).await, name));
    }
    let channel = format!("/channels/{general}");
    let topic = json!({ "topic": "t" });
    world.done(Method::PATCH, &channel, topic).await;
    let nick = json!({ "nick": "A" });
    let member = format!("{guild}/members/{aya}");
    world.done(Method::PATCH, &member, nick).await;
    let spoken = json!({ "content": "x", "author_id": aya });
    let id = world.create(&format!("{channel}/messages"), spoken).await;
    let reaction = format!("{channel}/messages/{id}/reactions/%F0%9F%8E%89/@me");
    world.done(Method::PUT, &reaction, Value::Null).await;
    let typing = json!({ "author_id": aya });
    world
        .done(Method::POST, &format!("{channel}/typing"), typing)
        .await;
    world.done(Method::DELETE, &ban, Value::Null).await;
    for (session, name) in &mut sessions {
        session.next_named(name).await;
        assert!(session.is_quiet().await, "nothing but {name}");
    }
}

#[tokio::test]
async fn a_privileged_intent_that_was_not_granted_closes_with_4014() {
    let world = World::start_with(SimConfig {
        members_intent: false,
        content_intent: false,
        ..SimConfig::default()
    })
    .await;
    let application = world.get("/applications/@me").await;
    assert_eq!(application["flags"], 0);
    for intents in [1 << 1, 1 << 8, 1 << 15] {
        let mut gateway = world.connect().await;
        gateway.identify(1 | intents).await;
        assert_eq!(gateway.closed().await, 4014, "{intents}");
    }
    world.identified(1 | 1 << 9).await;
    let granted = json!({ "members_intent": true, "content_intent": true });
    world
        .control(Method::POST, "/sim/application", granted)
        .await;
    world.identified(ALL_INTENTS).await;
}

#[tokio::test]
async fn without_the_content_flag_rest_withholds_all_but_what_concerns_the_bot() {
    let world = World::start_with(SimConfig {
        content_intent: false,
        ..SimConfig::default()
    })
    .await;
    let (general, aya) = (world.channel("general"), world.member("aya"));
    let bot = world.sim.client_id();
    let mut contents = Vec::new();
    for body in [
        json!({ "content": "secret", "author_id": aya, "embeds": [{ "title": "t" }],
            "attachments": [{ "filename": "a.png" }], "poll": { "question": { "text": "q" } } }),
        json!({ "content": format!("hello <@{bot}>"), "author_id": aya }),
        json!({ "content": "mine" }),
    ] {
        let posted = world.post_message(&general, body).await;
        let path = format!(
            "/channels/{general}/messages/{}",
            posted["id"].as_str().unwrap()
        );
        let read = world.get(&path).await;
        contents.push(read["content"].as_str().unwrap().to_owned());
        if read["content"] == "" {
            assert_eq!(
                (&read["embeds"], &read["attachments"]),
                (&json!([]), &json!([]))
            );
            assert!(read.get("poll").is_none());
        }
    }
    assert_eq!(
        contents,
        [String::new(), format!("hello <@{bot}>"), "mine".to_owned()]
    );
    let page = world
        .get(&format!("/channels/{general}/messages?limit=3"))
        .await;
    assert_eq!(page[2]["content"], "");
}

#[tokio::test]
async fn all_members_are_told_once_in_thirty_seconds_and_only_with_the_intent() {
    let world = World::start().await;
    let all = json!({ "guild_id": world.guild_id(), "query": "", "limit": 0, "nonce": "n" });
    let ask = json!({ "op": 8, "d": all });
    let mut bare = world.identified(1 | 1 << 9).await;
    bare.send(ask.clone()).await;
    assert!(bare.is_quiet().await);
    let mut gateway = world.identified(ALL_INTENTS).await;
    gateway.send(ask.clone()).await;
    gateway.next_named("GUILD_MEMBERS_CHUNK").await;
    gateway.send(ask).await;
    let limited = gateway.next_named("RATE_LIMITED").await;
    assert_eq!(limited["d"]["opcode"], 8);
    let meta = json!({ "guild_id": world.guild_id(), "nonce": "n" });
    assert_eq!(limited["d"]["meta"], meta);
    let wait = limited["d"]["retry_after"].as_f64().unwrap();
    assert!((20.0..=30.0).contains(&wait), "{wait}");
}

#[tokio::test]
async fn members_are_asked_by_id_and_by_name_without_the_intent() {
    let world = World::start().await;
    let (guild, aya) = (world.guild_id(), world.member("aya"));
    let mut gateway = world.identified(1 | 1 << 9).await;
    let long_nonce = "x".repeat(33);
    let by_id = json!({ "guild_id": guild, "user_ids": [aya, "77"], "nonce": long_nonce });
    gateway.send(json!({ "op": 8, "d": by_id })).await;
    let chunk = gateway.next_named("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(chunk["d"]["members"].as_array().unwrap().len(), 1);
    assert_eq!(chunk["d"]["not_found"], json!(["77"]));
    assert!(chunk["d"].get("nonce").is_none(), "too long to come back");
    let by_name = json!({ "guild_id": guild, "query": "ay", "limit": 5 });
    gateway.send(json!({ "op": 8, "d": by_name })).await;
    let chunk = gateway.next_named("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(chunk["d"]["members"][0]["user"]["username"], "aya");
    let ids: Vec<_> = (0..101).map(|number| number.to_string()).collect();
    let too_many = json!({ "guild_id": guild, "user_ids": ids });
    gateway.send(json!({ "op": 8, "d": too_many })).await;
    assert_eq!(gateway.closed().await, 4002);
}
