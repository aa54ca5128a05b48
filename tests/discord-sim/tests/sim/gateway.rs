//! Handshake, sessions, resumes, close codes, and the order of events.

use discord_sim::SimConfig;
use reqwest::Method;
use serde_json::{Value, json};

use twilight_gateway::{ConfigBuilder, Event, EventTypeFlags, Intents, Shard, ShardId, StreamExt};

use crate::harness::{ALL_INTENTS, PLAIN_INTENTS, World, eventually};

#[tokio::test]
async fn a_session_begins_with_ready_and_one_guild_create_a_guild() {
    let world = World::start_with(SimConfig {
        extra_members: 70,
        ..SimConfig::default()
    })
    .await;
    let mut gateway = world.connect().await;
    gateway.identify(PLAIN_INTENTS).await;
    let ready = gateway.next_named("READY").await;
    let url = format!("ws://{}/gateway", world.sim.addr());
    assert_eq!(ready["d"]["resume_gateway_url"], url);
    assert_eq!(ready["d"]["user"]["id"], world.sim.client_id());
    let first = gateway.next_named("GUILD_CREATE").await;
    assert_eq!(first["d"]["id"], world.guild_id());
    assert_eq!(
        first["d"]["member_count"],
        world.guild()["members"].as_array().unwrap().len()
    );
    let members = first["d"]["members"].as_array().unwrap();
    assert_eq!(
        members.len(),
        1,
        "without the presence intent only the bot is listed"
    );
    assert_eq!(members[0]["user"]["id"], world.sim.client_id());
    assert_eq!(first["d"]["threads"].as_array().unwrap().len(), 2);
    gateway.next_named("GUILD_CREATE").await;
    assert!(gateway.is_quiet().await);
}

#[tokio::test]
async fn keys_come_in_the_order_t_s_op_d() {
    let world = World::start().await;
    let mut gateway = world.connect().await;
    gateway.identify(ALL_INTENTS).await;
    assert!(
        gateway
            .next_text()
            .await
            .starts_with(r#"{"t":"READY","s":1,"op":0,"d":{"#)
    );
    assert!(
        gateway
            .next_text()
            .await
            .starts_with(r#"{"t":"GUILD_CREATE","s":2,"op":0,"d":{"#)
    );
}

#[tokio::test]
async fn a_heartbeat_is_acknowledged_before_and_after_identify() {
    let world = World::start().await;
    let mut gateway = world.connect().await;
    gateway.send(json!({ "op": 1, "d": null })).await;
    assert_eq!(gateway.next().await["op"], 11);
    let mut gateway = world.identified(ALL_INTENTS).await;
    gateway.send(json!({ "op": 1, "d": gateway.seq })).await;
    assert_eq!(gateway.next().await["op"], 11);
}

#[tokio::test]
async fn the_entrance_is_what_a_test_sets_and_is_held_to() {
    let world = World::start().await;
    let patch = json!({
        "shards": 2, "isShardingRequired": true, "maxConcurrency": 1, "identifiesLeft": 3, "resetAfterMs": 60_000,
    });
    let set = world.control(Method::POST, "/sim/gateway", patch).await;
    assert!(set.status().is_success());
    let odd = json!({ "heartbeatMs": 1 });
    let odd = world.control(Method::POST, "/sim/gateway", odd).await;
    assert!(odd.status().is_client_error());
    let bot = world.get("/gateway/bot").await;
    assert_eq!(bot["shards"], 2);
    assert_eq!(bot["session_start_limit"]["remaining"], 3);
    let mut gateway = world.connect().await;
    gateway.identify(ALL_INTENTS).await;
    assert_eq!(gateway.closed().await, 4011);
    let mut gateway = world.connect().await;
    gateway.identify_as(ALL_INTENTS, [0, 2]).await;
    gateway.next_named("READY").await;
    let mut gateway = world.connect().await;
    gateway.identify_as(ALL_INTENTS, [1, 2]).await;
    let told = gateway.next().await;
    assert_eq!((&told["op"], &told["d"]), (&json!(9), &json!(false)));
    let mut gateway = world.connect().await;
    gateway.identify_as(ALL_INTENTS, [1, 2]).await;
    assert_eq!(gateway.closed().await, 4004);
}

#[tokio::test]
async fn what_a_client_does_wrong_closes_with_discords_code() {
    let world = World::start().await;
    let cases = [
        ("not json".to_owned(), 4002),
        (format!(r#"{{"op":1,"d":"{}"}}"#, "x".repeat(5_000)), 4002),
        (r#"{"op":77,"d":null}"#.to_owned(), 4001),
        (r#"{"op":8,"d":{"guild_id":"1"}}"#.to_owned(), 4003),
        (
            r#"{"op":2,"d":{"token":"wrong","intents":1}}"#.to_owned(),
            4004,
        ),
        (
            r#"{"op":6,"d":{"token":"wrong","session_id":"x","seq":1}}"#.to_owned(),
            4004,
        ),
    ];
    for (text, code) in cases {
        let mut gateway = world.connect().await;
        gateway.send_text(&text).await;
        assert_eq!(gateway.closed().await, code, "{text}");
    }
    let mut gateway = world.identified(ALL_INTENTS).await;
    gateway.identify(ALL_INTENTS).await;
    assert_eq!(gateway.closed().await, 4005);
    let mut gateway = world.connect().await;
    for _ in 0..=120 {
        gateway.send(json!({ "op": 1, "d": null })).await;
    }
    assert_eq!(gateway.closed().await, 4008);
}

#[tokio::test]
async fn a_resume_replays_what_was_missed_in_order_and_goes_on() {
    let world = World::start().await;
    let general = world.channel("general");
    let gateway = world.identified(ALL_INTENTS).await.leave(4000).await;
    for number in 0..200 {
        world
            .post_message(&general, json!({ "content": format!("missed {number}") }))
            .await;
    }
    let mut gateway = world.resumed(&gateway).await;
    for number in 0..200 {
        let missed = gateway.next_named("MESSAGE_CREATE").await;
        assert_eq!(missed["d"]["content"], format!("missed {number}"));
    }
    gateway.next_named("RESUMED").await;
    world
        .post_message(&general, json!({ "content": "live" }))
        .await;
    assert_eq!(
        gateway.next_named("MESSAGE_CREATE").await["d"]["content"],
        "live"
    );
    let stats = world.stats().await;
    assert_eq!(
        (&stats["identifies"], &stats["resumes"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&stats["sessions"], &stats["connections"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(stats["messages_posted"], 201);
}

#[tokio::test]
async fn a_session_that_can_not_be_resumed_is_told_so_and_may_identify_at_once() {
    let world = World::start().await;
    let mut stranger = world.connect().await;
    stranger.session_id = "unknown".to_owned();
    let mut gateway = world.resumed(&stranger).await;
    assert_eq!(
        gateway.next_text().await,
        r#"{"t":null,"s":null,"op":9,"d":false}"#
    );
    gateway.identify(ALL_INTENTS).await;
    gateway.next_named("READY").await;
}

#[tokio::test]
async fn a_normal_close_ends_the_session_and_any_other_keeps_it() {
    let world = World::start().await;
    for (code, survives) in [(1000, false), (1001, false), (4000, true)] {
        let gateway = world.identified(ALL_INTENTS).await.leave(code).await;
        let mut gateway = world.resumed(&gateway).await;
        let answer = gateway.next().await;
        assert_eq!(answer["t"] == "RESUMED", survives, "{code}: {answer}");
        assert_eq!(answer["op"] == 9, !survives, "{code}: {answer}");
    }
}

#[tokio::test]
async fn a_second_resume_takes_the_session_from_a_connection_that_still_stands() {
    let world = World::start().await;
    let mut old = world.identified(ALL_INTENTS).await;
    let mut new = world.resumed(&old).await;
    new.next_named("RESUMED").await;
    assert_eq!(old.closed().await, 4000);
    world
        .post_message(
            &world.channel("general"),
            json!({ "content": "to the new one" }),
        )
        .await;
    new.next_named("MESSAGE_CREATE").await;
}

#[tokio::test]
async fn events_come_to_every_session_in_the_order_of_the_changes() {
    let world = World::start().await;
    let mut sessions = [
        world.identified(ALL_INTENTS).await,
        world.identified(ALL_INTENTS).await,
    ];
    let expected = change_everything(&world).await;
    for session in &mut sessions {
        for (number, name) in expected.iter().enumerate() {
            let event = session.next().await;
            assert_eq!(event["t"], *name, "event {number}: {event}");
        }
        assert!(session.is_quiet().await);
    }
}

/// A request, and the event that must follow it.
type Step = (Method, String, Value, &'static str);

fn step(method: Method, path: impl Into<String>, body: Value, event: &'static str) -> Step {
    (method, path.into(), body, event)
}

/// Changes something of every kind; answers the events that must follow.
async fn change_everything(world: &World) -> Vec<&'static str> {
    let guild = format!("/guilds/{}", world.guild_id());
    let body = json!({ "name": "new", "type": 0 });
    let channel = world.create(&format!("{guild}/channels"), body).await;
    let role = world
        .create(&format!("{guild}/roles"), json!({ "name": "r" }))
        .await;
    let channel = format!("/channels/{channel}");
    let mut ids = Vec::new();
    for number in 0..4 {
        let content = format!("<@{}> {number}", world.member("hiro"));
        let body = json!({ "content": content, "author_id": world.member("aya") });
        ids.push(world.create(&format!("{channel}/messages"), body).await);
    }
    let mut steps = Vec::from(channel_steps(world, &channel));
    steps.extend(message_steps(&channel, &ids));
    steps.extend(guild_steps(world, &guild, &role));
    steps.push(step(Method::DELETE, channel, Value::Null, "CHANNEL_DELETE"));
    let mut expected = vec!["CHANNEL_CREATE", "GUILD_ROLE_CREATE"];
    expected.extend(["MESSAGE_CREATE"; 4]);
    for (method, path, body, event) in steps {
        world.done(method, &path, body).await;
        expected.push(event);
    }
    // A ban removes the member first: two events of one request.
    let ban = format!("{guild}/bans/{}", world.member("hiro"));
    world.done(Method::PUT, &ban, json!({})).await;
    world.done(Method::DELETE, &ban, Value::Null).await;
    expected.extend(["GUILD_MEMBER_REMOVE", "GUILD_BAN_ADD", "GUILD_BAN_REMOVE"]);
    expected
}

fn channel_steps(world: &World, channel: &str) -> [Step; 4] {
    let overwrite = format!("{channel}/permissions/{}", world.role("Crew"));
    let denied = json!({ "type": 0, "deny": "1024" });
    let typing = json!({ "author_id": world.member("aya") });
    [
        step(
            Method::PATCH,
            channel,
            json!({ "topic": "t", "name": "newer" }),
            "CHANNEL_UPDATE",
        ),
        step(Method::PUT, &overwrite, denied, "CHANNEL_UPDATE"),
        step(Method::DELETE, &overwrite, Value::Null, "CHANNEL_UPDATE"),
        step(
            Method::POST,
            format!("{channel}/typing"),
            typing,
            "TYPING_START",
        ),
    ]
}

fn message_steps(channel: &str, ids: &[String]) -> [Step; 9] {
    let messages = format!("{channel}/messages");
    let first = format!("{messages}/{}", ids[0]);
    let reactions = format!("{first}/reactions");
    let mine = format!("{reactions}/%F0%9F%8E%89/@me");
    // A thread begun from a message has the message's id.
    let thread = format!("/channels/{}", ids[0]);
    let bulk = json!({ "messages": [ids[2], ids[3]] });
    [
        step(
            Method::PATCH,
            &first,
            json!({ "content": "edited" }),
            "MESSAGE_UPDATE",
        ),
        step(Method::PUT, &mine, Value::Null, "MESSAGE_REACTION_ADD"),
        step(
            Method::DELETE,
            &mine,
            Value::Null,
            "MESSAGE_REACTION_REMOVE",
        ),
        step(
            Method::DELETE,
            &reactions,
            Value::Null,
            "MESSAGE_REACTION_REMOVE_ALL",
        ),
        step(
            Method::POST,
            format!("{first}/threads"),
            json!({ "name": "t" }),
            "THREAD_CREATE",
        ),
        step(
            Method::PATCH,
            &thread,
            json!({ "archived": true }),
            "THREAD_UPDATE",
        ),
        step(Method::DELETE, &thread, Value::Null, "THREAD_DELETE"),
        step(
            Method::DELETE,
            format!("{messages}/{}", ids[1]),
            Value::Null,
            "MESSAGE_DELETE",
        ),
        step(
            Method::POST,
            format!("{messages}/bulk-delete"),
            bulk,
            "MESSAGE_DELETE_BULK",
        ),
    ]
}

fn guild_steps(world: &World, guild: &str, role: &str) -> [Step; 6] {
    let role = format!("{guild}/roles/{role}");
    let member = format!("{guild}/members/{}", world.member("hiro"));
    let crew = json!({ "roles": [world.role("Crew")], "nick": "H" });
    [
        step(
            Method::PATCH,
            &role,
            json!({ "permissions": "1024" }),
            "GUILD_ROLE_UPDATE",
        ),
        step(Method::DELETE, &role, Value::Null, "GUILD_ROLE_DELETE"),
        step(Method::PATCH, &member, crew, "GUILD_MEMBER_UPDATE"),
        step(Method::DELETE, &member, Value::Null, "GUILD_MEMBER_REMOVE"),
        step(Method::PUT, &member, json!({}), "GUILD_MEMBER_ADD"),
        step(
            Method::PATCH,
            guild,
            json!({ "name": "Renamed" }),
            "GUILD_UPDATE",
        ),
    ]
}

#[tokio::test]
async fn a_message_event_names_guild_and_member_and_an_update_is_whole() {
    let world = World::start().await;
    let mut gateway = world.identified(ALL_INTENTS).await;
    let (general, aya) = (world.channel("general"), world.member("aya"));
    let body = json!({
        "content": "look **here**",
        "author_id": aya,
        "embeds": [{ "title": "A title", "fields": [{ "name": "n", "value": "v", "inline": true }] }],
        "attachments": [{ "filename": "lamp.png", "size": 1234, "content_type": "image/png", "width": 8, "height": 6 }],
    });
    let posted = world.post_message(&general, body).await;
    assert!(
        posted.get("guild_id").is_none(),
        "REST does not name the guild"
    );
    let created = gateway.next_named("MESSAGE_CREATE").await;
    assert_eq!(created["d"]["guild_id"], world.guild_id());
    assert_eq!(created["d"]["member"]["roles"].as_array().unwrap().len(), 2);
    assert_eq!(created["d"]["author"]["username"], "aya");
    let url = created["d"]["attachments"][0]["url"].as_str().unwrap();
    assert!(url.contains("/lamp.png?ex="), "{url}");
    assert!(
        created["d"]["timestamp"]
            .as_str()
            .unwrap()
            .ends_with("000+00:00")
    );
    let id = posted["id"].as_str().unwrap();
    let path = format!("/channels/{general}/messages/{id}");
    world
        .done(Method::PATCH, &path, json!({ "content": "changed" }))
        .await;
    let updated = gateway.next_named("MESSAGE_UPDATE").await;
    assert_eq!(updated["d"]["content"], "changed");
    assert_eq!(updated["d"]["embeds"], created["d"]["embeds"]);
    assert!(updated["d"]["edited_timestamp"].is_string());
}

#[tokio::test]
async fn without_its_intent_a_session_hears_of_no_member_but_the_bot_and_reads_no_content() {
    let world = World::start().await;
    let mut gateway = world.identified(1 | 1 << 9).await;
    let guild = format!("/guilds/{}", world.guild_id());
    let hiro = world.member("hiro");
    world
        .done(
            Method::PATCH,
            &format!("{guild}/members/{hiro}"),
            json!({ "nick": "H" }),
        )
        .await;
    world
        .done(
            Method::PATCH,
            &format!("{guild}/members/@me"),
            json!({ "nick": "B" }),
        )
        .await;
    let update = gateway.next_named("GUILD_MEMBER_UPDATE").await;
    assert_eq!(update["d"]["user"]["id"], world.sim.client_id());
    world
        .post_message(
            &world.channel("general"),
            json!({ "content": "secret", "author_id": hiro }),
        )
        .await;
    assert_eq!(
        gateway.next_named("MESSAGE_CREATE").await["d"]["content"],
        ""
    );
}

#[tokio::test]
async fn members_are_sent_in_chunks_on_request() {
    let world = World::start_with(SimConfig {
        extra_members: 1_500,
        ..SimConfig::default()
    })
    .await;
    let mut gateway = world.identified(ALL_INTENTS).await;
    let all = json!({ "guild_id": world.guild_id(), "query": "", "limit": 0, "nonce": "all" });
    gateway.send(json!({ "op": 8, "d": all })).await;
    let first = gateway.next_named("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(first["d"]["members"].as_array().unwrap().len(), 1_000);
    assert_eq!(
        (&first["d"]["chunk_count"], &first["d"]["nonce"]),
        (&json!(2), &json!("all"))
    );
    let second = gateway.next_named("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(
        second["d"]["members"].as_array().unwrap().len(),
        1_517 - 1_000
    );
    let some = json!({ "guild_id": world.guild_id(), "user_ids": [world.member("aya"), "77"], "limit": 0 });
    gateway.send(json!({ "op": 8, "d": some })).await;
    let chunk = gateway.next_named("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(chunk["d"]["members"][0]["user"]["username"], "aya");
    assert_eq!(chunk["d"]["not_found"], json!(["77"]));
    let asked = world.stats().await["members"].clone();
    assert_eq!(asked, json!({ "commands": 2, "userIds": 2 }));
}

#[tokio::test]
async fn a_stopped_simulator_has_let_go_of_its_port_and_closed_its_connections() {
    let world = World::start().await;
    let mut gateway = world.identified(ALL_INTENTS).await;
    let address = world.sim.addr();
    world.sim.stop().await.unwrap();
    assert_eq!(gateway.closed().await, 1001);
    eventually("the port is free", || async {
        std::net::TcpListener::bind(address).is_ok()
    })
    .await;
}

#[tokio::test]
async fn the_demo_talks_by_itself() {
    let world = World::start_with(SimConfig {
        demo_seed: Some(1),
        ..SimConfig::default()
    })
    .await;
    let mut gateway = world.identified(1 << 9 | 1 << 15).await;
    let message = gateway.next_named("MESSAGE_CREATE").await;
    assert!(!message["d"]["content"].as_str().unwrap().is_empty());
}

/// The content of the next message that the shard tells of.
async fn next_content(shard: &mut Shard) -> String {
    loop {
        let event = shard
            .next_event(EventTypeFlags::all())
            .await
            .expect("the shard goes on");
        if let Ok(Event::MessageCreate(message)) = event {
            return message.content.clone();
        }
    }
}

#[tokio::test]
async fn a_shard_of_the_real_library_comes_through_drops_without_loss_or_double() {
    let world = World::start().await;
    let url = format!("ws://{}/gateway", world.sim.addr());
    let intents = Intents::all() - Intents::GUILD_PRESENCES;
    let config = ConfigBuilder::new(world.sim.token().to_owned(), intents).proxy_url(url);
    let mut shard = Shard::with_config(ShardId::ONE, config.build());
    let mut ready = 0;
    while ready < 3 {
        let event = shard
            .next_event(EventTypeFlags::all())
            .await
            .unwrap()
            .unwrap();
        ready += u8::from(matches!(event, Event::Ready(_) | Event::GuildCreate(_)));
    }
    let general = world.channel("general");
    for number in 0..5 {
        world.fault(json!({ "kind": "drop" })).await;
        let expected = format!("message {number}");
        world
            .post_message(&general, json!({ "content": expected }))
            .await;
        let content =
            tokio::time::timeout(std::time::Duration::from_secs(30), next_content(&mut shard));
        assert_eq!(content.await.unwrap(), expected);
    }
    let stats = world.stats().await;
    assert_eq!(
        (&stats["identifies"], &stats["resumes"]),
        (&json!(1), &json!(5))
    );
}
