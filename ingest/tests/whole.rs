//! The whole of ingest between a simulated Discord, an embedded broker and SQLite: events arrive once and in
//! order over broken connections, restarts and kills.

#[path = "whole/backfill.rs"]
#[cfg(test)]
mod backfill;
#[path = "whole/history.rs"]
#[cfg(test)]
mod history;
#[path = "whole/shards.rs"]
#[cfg(test)]
mod shards;
#[path = "whole/state.rs"]
#[cfg(test)]
mod state;
#[path = "whole/watch.rs"]
#[cfg(test)]
mod watch;
#[path = "whole/world.rs"]
#[cfg(test)]
mod world;

use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::Broker as _;
use proto::GuildId;
use proto::event::{Event, MemberStatus};
use serde_json::json;

use world::{World, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guilds_and_what_is_said_reach_the_stream_and_sql() {
    let world = World::new().await;
    let service = world.start();
    eventually("both guilds' snapshots", async || {
        let ends = |event: &Event| matches!(event, Event::GuildSnapshotEnd(_));
        world
            .events()
            .await
            .iter()
            .filter(|event| ends(event))
            .count()
            >= 2
    })
    .await;
    let id = world.post("hello <b> \u{2028} 👍").await;
    eventually("the message in the stream", async || {
        let events = world.events().await;
        events.iter().any(|event| {
            matches!(event, Event::MessageCreated(message)
                if message.id == id && message.content == "hello <b> \u{2028} 👍")
        })
    })
    .await;
    eventually("the message and its channel in SQL", async || {
        // Until the service has brought the schema up to date there is nothing to read.
        let page = world.store.page(world.channel, None, 10).await;
        let (Ok(page), Ok(directory)) = (page, world.store.directory().await) else {
            return false;
        };
        page.messages.iter().any(|message| message.id == id) && directory.guilds.len() >= 2
    })
    .await;
    let status = service.status.json();
    assert_eq!(status["discord"]["connected"], true);
    assert_eq!(status["discord"]["sessions"]["identified"], 1);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_lose_nothing_and_double_nothing() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    world.load(150, 60).await;
    for (reached, kind) in [(30, "drop"), (60, "reconnect"), (90, "drop")] {
        world.arriving(reached).await;
        world.fault(&json!({ "kind": kind })).await;
    }
    world.arrived(150).await;
    let stats = world.stats().await;
    assert_eq!(stats["identifies"], 1, "{stats}");
    assert!(stats["resumes"].as_u64() >= Some(2), "{stats}");
    assert_eq!(service.status.json()["outcomes"]["refused"], json!({}));
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_ends_in_order_is_followed_without_an_identify() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    world.load(60, 60).await;
    world.arriving(20).await;
    service.stop().await;
    let service = world.start();
    world.arrived(60).await;
    let stats = world.stats().await;
    assert_eq!(
        (&stats["identifies"], &stats["resumes"]),
        (&json!(1), &json!(1))
    );
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_is_followed_by_the_next_within_five_seconds() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    world.load(250, 50).await;
    world.arriving(35).await;
    service.kill().await;
    let killed = tokio::time::Instant::now();
    let service = world.start();
    service.connected().await;
    assert!(
        killed.elapsed() < Duration::from_secs(6),
        "{:?}",
        killed.elapsed()
    );
    world.arrived(250).await;
    assert_eq!(world.stats().await["identifies"], 1);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_resume_is_followed_by_a_new_session_and_snapshots() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    world
        .fault(&json!({ "kind": "invalid_session", "resumable": false }))
        .await;
    eventually("a second session", async || {
        service.status.json()["discord"]["sessions"]["identified"] == 2
    })
    .await;
    world.load(20, 100).await;
    world.arrived(20).await;
    let begins = |event: &&Event| matches!(event, Event::GuildSnapshotBegin(_));
    assert!(world.events().await.iter().filter(begins).count() >= 4);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_buffer_makes_it_leave_and_come_back_without_loss() {
    let mut world = World::new().await;
    world.buffer_bytes_max = 4_000;
    let service = world.start();
    service.connected().await;
    world.load(40, 200).await;
    world.arrived(40).await;
    let stats = world.stats().await;
    assert!(stats["resumes"].as_u64() >= Some(1), "{stats}");
    assert_eq!(stats["identifies"], 1);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_asked_of_discord_once_and_published() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    let guild = world.guild.get();
    let mut answer = None;
    eventually("an answer about a member", async || {
        answer = world.ask_member(world.human, &[guild]).await;
        answer.is_some()
    })
    .await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), MemberStatus::Member);
    let upserts = async || {
        let of = |event: &&Event| {
            matches!(event, Event::MemberUpserted(member)
                if member.user.as_ref().is_some_and(|user| user.id == world.human))
        };
        world.events().await.iter().filter(of).count()
    };
    assert_eq!(upserts().await, 1);
    assert!(answer.sequence > 0);
    let again = world.ask_member(world.human, &[guild]).await.unwrap();
    assert_eq!(again.status(), MemberStatus::Member);
    assert!(again.sequence >= answer.sequence);
    assert_eq!(
        upserts().await,
        1,
        "a verified member is not published again"
    );
    let stranger = world.ask_member(4_242, &[guild]).await.unwrap();
    assert_eq!(stranger.status(), MemberStatus::NotMember);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_service_stands_by_and_is_ready() {
    let world = World::new().await;
    let first = world.start();
    first.connected().await;
    let second = world.start();
    eventually("the standby's readiness", async || {
        second.health.unready().is_empty()
    })
    .await;
    assert_eq!(
        (first.status.role(), second.status.role()),
        ("leader", "standby")
    );
    first.stop().await;
    second.connected().await;
    assert_eq!(second.status.role(), "leader");
    assert_eq!(world.stats().await["identifies"], 1);
    second.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_resume_address_is_given_up_and_the_session_is_not() {
    let world = World::new().await;
    world
        .fault(&json!({ "kind": "dead_resume_url", "count": 1 }))
        .await;
    let service = world.start();
    service.connected().await;
    world.load(60, 60).await;
    world.arriving(10).await;
    world.fault(&json!({ "kind": "drop" })).await;
    world.arrived(60).await;
    let stats = world.stats().await;
    assert_eq!(stats["identifies"], 1, "{stats}");
    assert!(stats["resumes"].as_u64() >= Some(1), "{stats}");
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_fails_at_the_start_is_asked_again() {
    let world = World::new().await;
    world
        .fault(&json!({ "kind": "rest_5xx", "count": 2 }))
        .await;
    let service = world.start();
    service.connected().await;
    service.stop().await;
    world.end().await;
}

/// The vendor's code waits for a HELLO for ever; ours for 20 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_never_greets_is_left_and_dialled_again() {
    let world = World::new().await;
    world
        .fault(&json!({ "kind": "no_hello", "count": 1, "seconds": 60 }))
        .await;
    let service = world.start();
    service.connected().await;
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_code_decides_what_comes_next() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    let sessions = |name: &str| service.status.json()["discord"]["sessions"][name].clone();
    world.fault(&json!({ "kind": "close", "code": 4000 })).await;
    eventually("a resumed session", async || sessions("resumed") == 1).await;
    world.fault(&json!({ "kind": "close", "code": 4009 })).await;
    eventually("a new session", async || sessions("identified") == 2).await;
    world.fault(&json!({ "kind": "close", "code": 4014 })).await;
    let health = service.health.clone();
    let error = service.failure().await.to_string();
    assert!(error.contains("intent"), "{error}");
    assert!(health.unready().contains_key("discord"));
    world.end().await;
}

/// Without patience the vendor's code dials thousands of times a second here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_closes_at_once_is_not_dialled_in_a_storm() {
    let mut world = World::new().await;
    let (address, dialled) = world::closing_gateway().await;
    world.gateway_url = Some(address);
    let service = world.start();
    eventually("three dials", async || *dialled.borrow() >= 3).await;
    let before = *dialled.borrow();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(*dialled.borrow() - before <= 2, "a storm");
    assert!(!service.status.is_connected());
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_lease_another_took_stands_by_and_loses_nothing() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    world.load(400, 40).await;
    world.arriving(20).await;
    let mut taken = None;
    eventually("the other's lease", async || {
        // More than a lease lasts: it ends while its holder believes that it has it.
        world.ahead_ms.fetch_add(4_001, Ordering::Relaxed);
        taken = world.broker.lease_acquire("another").await.unwrap();
        taken.is_some()
    })
    .await;
    let mut lease = taken.unwrap();
    eventually("the standby", async || {
        let renewed = world.broker.lease_renew("another", lease).await.unwrap();
        lease = renewed.expect("nobody else takes it");
        service.status.role() == "standby"
    })
    .await;
    assert!(!service.status.is_connected());
    world.broker.lease_release(lease).await.unwrap();
    service.connected().await;
    world.arrived(400).await;
    assert_eq!(world.stats().await["identifies"], 1);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_ends_the_service_with_a_sentence() {
    let mut world = World::new().await;
    world.token = "wrong".into();
    let service = world.start();
    let health = service.health.clone();
    let error = service.failure().await.to_string();
    assert!(error.contains("DISCORD_BOT_TOKEN"), "{error}");
    assert!(health.unready().contains_key("discord"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guild_that_the_bot_left_while_nobody_listened_is_removed() {
    let world = World::new().await;
    let left = GuildId::new(4_242).unwrap();
    world.publish_guild(left).await;
    let service = world.start();
    service.connected().await;
    eventually("the removal in SQL", async || {
        let directory = world.store.directory().await;
        let guilds = directory.map_or_else(|_| Vec::new(), |directory| directory.guilds);
        guilds.len() == 2 && guilds.iter().all(|guild| guild.guild.id != left.get())
    })
    .await;
    let removals = |event: &&Event| matches!(event, Event::GuildRemoved(_));
    assert_eq!(world.events().await.iter().filter(removals).count(), 1);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_that_a_crash_cut_short_is_called_after_the_resume() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    let record = async || world.record(0).await;
    eventually("both guilds in SQL, and the roll called", async || {
        let directory = world.store.directory().await;
        let guilds = directory.map_or(0, |directory| directory.guilds.len());
        let record = record().await;
        guilds == 2 && record["epoch"].is_u64() && record["roll"].is_null()
    })
    .await;
    service.stop().await;
    // As a process leaves it that is killed before it has called the roll.
    let guilds = world.store.directory().await.unwrap().guilds;
    let mut left_behind = record().await;
    left_behind["roll"] = guilds.iter().map(|guild| guild.guild.id).collect();
    let bytes = serde_json::to_vec(&left_behind).unwrap().into();
    world.broker.set_value("session-0", bytes).await.unwrap();
    let left = GuildId::new(4_242).unwrap();
    world.publish_guild(left).await;
    let service = world.start();
    eventually("the removal", async || {
        let removals = |event: &Event| matches!(event, Event::GuildRemoved(_));
        world
            .events()
            .await
            .iter()
            .filter(|event| removals(event))
            .count()
            == 1
    })
    .await;
    assert_eq!(world.stats().await["identifies"], 1);
    service.stop().await;
    assert!(record().await["roll"].is_null());
    let guilds = world.store.directory().await.unwrap().guilds;
    assert_eq!(guilds.len(), 2);
    world.end().await;
}
