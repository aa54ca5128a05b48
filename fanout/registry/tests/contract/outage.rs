//! What only Redis has: it can be killed, hang, come back empty, or be of no use; and what is left in it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use registry::{Away, OpenError, Quota, RedisSettings, Registry, Slot, State};

use super::home::{PATIENCE, pass, patient, soon, wait_of};
use super::redis_server::RedisServer;

const WINDOW: Duration = Duration::from_secs(30);

/// No event is paid off while a test runs.
fn slow(max: u32) -> Quota {
    Quota::new(max, Duration::from_hours(max.into())).unwrap()
}

async fn reach(registry: &Registry, wanted: State) {
    let mut states = registry.watch();
    let reached = states.wait_for(|state| *state == wanted);
    soon(&format!("{wanted:?}"), reached).await.unwrap();
}

/// One instance.
async fn instance(server: &RedisServer) -> Registry {
    let registry = Registry::redis(&patient(server)).unwrap();
    reach(&registry, State::Up).await;
    registry
}

async fn spend_until_refused(registry: &Registry, key: &str, quota: Quota) -> u32 {
    let mut allowed = 0;
    while registry.spend(key, quota).await.is_allowed() {
        allowed += 1;
        assert!(allowed < 1000, "no limit holds");
    }
    allowed
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

#[tokio::test]
async fn with_redis_killed_limits_hold_for_each_instance_and_with_it_back_they_are_shared() {
    let mut server = RedisServer::start();
    let (one, other) = (instance(&server).await, instance(&server).await);
    for _ in 0..4 {
        assert!(one.spend("user", slow(10)).await.is_allowed());
    }
    for _ in 0..4 {
        assert!(other.spend("user", slow(10)).await.is_allowed());
    }
    server.kill();
    for registry in [&one, &other] {
        let mut states = registry.watch();
        let is_down = states.wait_for(|state| *state == State::Down);
        let within_a_second = tokio::time::timeout(Duration::from_secs(1), is_down).await;
        within_a_second.expect("it is marked as down").unwrap();
    }
    // Each goes on from what it last knew: one of four events, the other of eight.
    assert_eq!(spend_until_refused(&one, "user", slow(10)).await, 6);
    assert_eq!(spend_until_refused(&other, "user", slow(10)).await, 2);
    assert_eq!(spend_until_refused(&one, "unknown", slow(10)).await, 10);
    assert_eq!(count(&one.stats().fallbacks), 6 + 10 + 2);
    assert_eq!(count(&one.stats().refusals), 2);
    assert_eq!(count(&one.stats().redis_outages), 1);

    // It comes back empty. What an instance knows to be owed is owed again, to all of them.
    server.restart();
    reach(&one, State::Up).await;
    reach(&other, State::Up).await;
    assert!(!one.spend("user", slow(10)).await.is_allowed());
    assert!(!other.spend("user", slow(10)).await.is_allowed());
    let fresh = spend_until_refused(&one, "fresh", slow(5)).await;
    assert_eq!(
        (fresh, spend_until_refused(&other, "fresh", slow(5)).await),
        (5, 0)
    );
    assert_eq!(count(&one.stats().fallbacks), 6 + 10 + 2);
}

#[tokio::test]
async fn the_call_made_at_retry_after_succeeds_also_where_the_debt_is_known_in_process() {
    let server = RedisServer::start();
    let registry = instance(&server).await;
    let quota = Quota::new(2, Duration::from_secs(4)).unwrap();
    assert_eq!(spend_until_refused(&registry, "user", quota).await, 2);
    for _ in 0..2 {
        let wait = wait_of(registry.spend("user", quota).await);
        pass(wait).await;
        assert!(registry.spend("user", quota).await.is_allowed());
    }
    assert_eq!(count(&registry.stats().fallbacks), 0);
}

#[tokio::test]
async fn a_crowd_waits_for_its_turn_and_is_no_outage() {
    let server = RedisServer::start();
    let (one, other) = (instance(&server).await, instance(&server).await);
    let crowd = (0..2_000).map(|number| {
        let registry = if number % 2 == 0 { &one } else { &other };
        let registry = registry.clone();
        tokio::spawn(async move { registry.spend("user", slow(500)).await })
    });
    let crowd: Vec<_> = crowd.collect();
    let mut allowed = 0;
    for spent in crowd {
        allowed += u32::from(spent.await.unwrap().is_allowed());
    }
    assert_eq!(allowed, 500);
    for registry in [&one, &other] {
        let stats = registry.stats();
        let away = [&stats.fallbacks, &stats.redis_outages, &stats.redis_busy];
        assert_eq!(away.map(count), [0; 3]);
    }
}

#[tokio::test]
async fn a_redis_that_hangs_delays_the_calls_of_one_moment_and_no_others() {
    let server = RedisServer::start();
    let settings = RedisSettings {
        // Nothing but calls finds out.
        probe: Duration::from_mins(10),
        ..RedisSettings::new(server.url())
    };
    let registry = Registry::redis(&settings).unwrap();
    reach(&registry, State::Up).await;
    server.stall();
    let started = Instant::now();
    assert!(registry.spend("user", slow(1000)).await.is_allowed());
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(registry.state(), State::Down);
    let started = Instant::now();
    for _ in 0..500 {
        assert!(registry.spend("user", slow(1000)).await.is_allowed());
    }
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(count(&registry.stats().fallbacks), 501);
    server.resume();
}

#[tokio::test]
async fn a_redis_that_goes_on_after_it_hung_is_used_again() {
    let server = RedisServer::start();
    let registry = Registry::redis(&RedisSettings::new(server.url())).unwrap();
    reach(&registry, State::Up).await;
    server.stall();
    reach(&registry, State::Down).await;
    server.resume();
    reach(&registry, State::Up).await;
}

#[tokio::test]
async fn a_redis_that_can_not_be_written_to_is_away() {
    let server = RedisServer::start();
    let registry = instance(&server).await;
    server.say("CONFIG SET min-replicas-to-write 1");
    reach(&registry, State::Down).await;
    assert_eq!(spend_until_refused(&registry, "user", slow(3)).await, 3);
    server.say("CONFIG SET min-replicas-to-write 0");
    reach(&registry, State::Up).await;
}

#[tokio::test]
async fn a_redis_that_is_not_there_yet_is_used_once_it_is() {
    let mut server = RedisServer::prepared();
    let registry = Registry::redis(&patient(&server)).unwrap();
    assert_eq!(registry.state(), State::Down);
    assert_eq!(spend_until_refused(&registry, "user", slow(2)).await, 2);
    server.restart();
    reach(&registry, State::Up).await;
    assert!(!registry.spend("user", slow(2)).await.is_allowed());
}

#[tokio::test]
async fn slots_taken_while_redis_was_away_count_for_all_once_they_are_renewed() {
    let mut server = RedisServer::start();
    let (one, other) = (instance(&server).await, instance(&server).await);
    assert!(one.hold("user", "before", 2).await.is_allowed());
    server.kill();
    reach(&one, State::Down).await;
    assert!(one.hold("user", "during", 2).await.is_allowed());
    wait_of(one.hold("user", "beyond", 2).await);
    server.restart();
    reach(&one, State::Up).await;
    reach(&other, State::Up).await;
    let own: [Slot; 2] = ["before", "during"].map(|name| ("user".to_owned(), name.to_owned()));
    one.renew(&own).await;
    wait_of(other.hold("user", "late", 2).await);
    one.release("user", "during").await;
    assert!(other.hold("user", "late", 2).await.is_allowed());
}

#[tokio::test]
async fn sessions_and_revocations_are_away_while_redis_is() {
    let mut server = RedisServer::start();
    let registry = instance(&server).await;
    let saved = registry.save_session("pid", "a", b"value", WINDOW).await;
    assert_eq!(saved, Ok(()));
    assert_eq!(registry.put_revocation("token", i64::MAX, 0).await, Ok(()));
    server.kill();
    reach(&registry, State::Down).await;
    let saved = registry.save_session("new", "a", b"value", WINDOW).await;
    assert_eq!(saved, Err(Away));
    let taken = registry.take_session("pid", "b", WINDOW).await;
    assert_eq!(taken, Err(Away));
    let renewed = registry
        .renew_session("pid", "a", Some(b"value"), WINDOW)
        .await;
    assert_eq!(renewed, Err(Away));
    assert_eq!(registry.drop_session("pid", "a").await, Err(Away));
    assert_eq!(registry.put_revocation("token", 1, 0).await, Err(Away));
    assert_eq!(registry.revocations(0).await, Err(Away));
    server.restart();
    reach(&registry, State::Up).await;
    let renewed = registry.renew_session("pid", "a", None, WINDOW).await;
    assert_eq!(renewed, Err(Away));
    let renewed = registry
        .renew_session("pid", "a", Some(b"value"), WINDOW)
        .await;
    assert_eq!(renewed, Ok(true));
    assert_eq!(registry.revocations(0).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_redis_that_has_forgotten_the_scripts_is_given_them_again() {
    let server = RedisServer::start();
    let registry = instance(&server).await;
    let own: [Slot; 1] = [("user".to_owned(), "a".to_owned())];
    for _ in 0..2 {
        assert!(registry.spend("user", slow(2)).await.is_allowed());
        registry.renew(&own).await;
        server.say("SCRIPT FLUSH");
    }
    assert!(!registry.spend("user", slow(2)).await.is_allowed());
    wait_of(registry.hold("user", "b", 1).await);
    assert_eq!(count(&registry.stats().redis_failures), 0);
    assert_eq!(count(&registry.stats().fallbacks), 0);
}

#[tokio::test]
async fn every_key_is_ours_and_ends_by_itself() {
    let server = RedisServer::start();
    let registry = instance(&server).await;
    registry.spend("user", slow(2)).await;
    registry.hold("user", "held", 2).await;
    registry
        .renew(&[("another".to_owned(), "renewed".to_owned())])
        .await;
    registry
        .save_session("pid", "a", b"value", WINDOW)
        .await
        .unwrap();
    registry.take_session("pid", "b", WINDOW).await.unwrap();
    let far = i64::MAX;
    registry.put_revocation("user", far, far).await.unwrap();
    let listed = server.say("KEYS *");
    let keys: Vec<&str> = listed.lines().filter(|line| line.contains(':')).collect();
    assert_eq!(keys.len(), 7, "{listed}");
    for key in keys {
        assert!(key.starts_with("discord-stream:"), "{key}");
        let left = server.say(&format!("PTTL {key}"));
        let left = left.lines().next().and_then(|line| line.strip_prefix(':'));
        let left: i64 = left.unwrap().parse().unwrap();
        assert!(left > 0, "{key}: {left}");
    }
}

#[tokio::test]
async fn a_call_that_redis_refuses_is_decided_in_process_and_is_no_outage() {
    let server = RedisServer::start();
    let registry = instance(&server).await;
    server.say("SET discord-stream:slots:{user} another-programs");
    assert!(registry.hold("user", "a", 1).await.is_allowed());
    wait_of(registry.hold("user", "b", 1).await);
    assert_eq!(count(&registry.stats().fallbacks), 2);
    assert_eq!(count(&registry.stats().redis_failures), 2);
    assert_eq!(count(&registry.stats().redis_outages), 0);
    assert_eq!(registry.state(), State::Up);
}

#[tokio::test]
async fn revocations_that_have_ended_are_dropped_as_others_come() {
    let server = RedisServer::start();
    let registry = instance(&server).await;
    registry.put_revocation("token", i64::MAX, 1).await.unwrap();
    for number in 0..150 {
        let key = format!("past {number}");
        registry.put_revocation(&key, 1, 1).await.unwrap();
    }
    registry.put_revocation("token", i64::MAX, 1).await.unwrap();
    let size = |command: &str| {
        let answer = server.say(command);
        answer.lines().next().map(str::to_owned)
    };
    let one = Some(":1".to_owned());
    assert_eq!(size("ZCARD discord-stream:void-until:{revocations}"), one);
    assert_eq!(size("HLEN discord-stream:void-before:{revocations}"), one);
}

#[tokio::test]
async fn nothing_is_left_of_a_registry_that_is_dropped() {
    let server = RedisServer::start();
    let registry = instance(&server).await;
    let clients = || {
        server
            .say("CLIENT LIST TYPE normal")
            .matches("addr=")
            .count()
    };
    assert!(registry.spend("user", slow(1)).await.is_allowed());
    // A line has `addr` and `laddr`; one line is the test's own.
    assert!(clients() > 2);
    drop(registry);
    let gone = async {
        while clients() > 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = tokio::time::timeout(PATIENCE, gone).await;
    gone.expect("its connections are closed");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_and_never_repeated() {
    for url in [
        "",
        "redis",
        "http://localhost",
        "redis://:secret@localhost:port",
    ] {
        let refused = Registry::redis(&RedisSettings::new(url)).err();
        assert_eq!(refused, Some(OpenError::Url), "{url}");
    }
    let settings = RedisSettings::new("redis://user:secret@127.0.0.1:1");
    let registry = Registry::redis(&settings).unwrap();
    let shown = format!("{settings:?} {registry:?}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_registry_over_redis_needs_a_runtime() {
    let refused = Registry::redis(&RedisSettings::new("redis://127.0.0.1:1")).err();
    assert_eq!(refused, Some(OpenError::Runtime));
}
