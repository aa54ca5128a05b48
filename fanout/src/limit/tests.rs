//! The limits over the in-process home, under a paused clock.

use std::task::Poll;

use futures_util::FutureExt as _;
use registry::SLOT_TTL;
use tokio_util::sync::CancellationToken;

use super::*;

const SETTINGS: LimitSettings = LimitSettings {
    window: Duration::from_mins(1),
    requests_max: 3,
    connections_per_user_max: 2,
    connections_per_address_max: 3,
    handshakes_max: 4,
};

fn limits(settings: &LimitSettings) -> Limits {
    Limits::new(Registry::in_process(), settings)
}

fn user(id: u64) -> Spender<'static> {
    Spender::User(UserId::new(id).unwrap())
}

fn address(text: &str) -> ClientAddress {
    ClientAddress::Known(text.parse().unwrap())
}

/// How many are let through before the first refusal.
async fn until_refused<T>(mut ask: impl AsyncFnMut() -> Result<T, Limited>) -> (Vec<T>, Limited) {
    let mut allowed = Vec::new();
    loop {
        match ask().await {
            Ok(one) => allowed.push(one),
            Err(limited) => return (allowed, limited),
        }
        assert!(allowed.len() < 10_000, "no limit holds");
    }
}

#[test]
fn each_viewer_has_a_key_and_nobody_shares_it() {
    let (here, there) = (address("192.0.2.1"), address("2a00::1"));
    let table = [
        (user(7), here, Some("u:7")),
        (user(7), there, Some("u:7")),
        (user(7), ClientAddress::Unknown, Some("u:7")),
        (Spender::Embed("abc"), here, Some("e:abc:192.0.2.1")),
        (Spender::Embed("abc"), there, Some("e:abc:2a00::/64")),
        (Spender::Embed("abc"), ClientAddress::Unknown, None),
    ];
    for (spender, address, key) in table {
        assert_eq!(viewer_key(spender, address).as_deref(), key);
    }
}

#[test]
fn waits_are_whole_seconds_and_never_too_short() {
    let table = [
        (Duration::ZERO, 1),
        (Duration::from_nanos(1), 1),
        (Duration::from_secs(1), 1),
        (Duration::from_millis(1_001), 2),
        (Duration::from_secs(20), 20),
    ];
    for (retry_after, seconds) in table {
        let limit = Limit::Requests;
        let limited = Limited { limit, retry_after };
        assert_eq!(limited.retry_after_seconds(), seconds, "{retry_after:?}");
    }
}

#[test]
fn each_limit_is_counted_in_its_own_place() {
    for (place, limit) in Limit::ALL.into_iter().enumerate() {
        assert_eq!(limit as usize, place);
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_spends_one_quota_from_all_addresses_and_the_call_at_retry_after_passes() {
    let limits = limits(&SETTINGS);
    for from in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        limits.spend(user(7), address(from)).await.unwrap();
    }
    let limited = limits
        .spend(user(7), address("192.0.2.4"))
        .await
        .unwrap_err();
    assert_eq!(limited.limit, Limit::Requests);
    assert_eq!(limited.retry_after_seconds(), 20);
    limits.spend(user(8), address("192.0.2.1")).await.unwrap();
    tokio::time::advance(Duration::from_secs(limited.retry_after_seconds())).await;
    limits.spend(user(7), address("192.0.2.4")).await.unwrap();
    assert_eq!(limits.refused(Limit::Requests), 1);
}

#[tokio::test(start_paused = true)]
async fn the_bearers_of_an_embed_token_have_a_quota_for_each_address_and_one_for_all() {
    let limits = limits(&SETTINGS);
    let one = async || {
        limits
            .spend(Spender::Embed("abc"), address("192.0.2.1"))
            .await
    };
    let (allowed, limited) = until_refused(one).await;
    assert_eq!((allowed.len(), limited.limit), (3, Limit::Requests));
    // From ever new addresses, 300 in all; what was refused above took nothing from it.
    let mut number = 0_u32;
    let all = async || {
        number += 1;
        let from = ClientAddress::Known(std::net::Ipv4Addr::from(number).into());
        limits.spend(Spender::Embed("abc"), from).await
    };
    let (allowed, limited) = until_refused(all).await;
    assert_eq!((allowed.len(), limited.limit), (297, Limit::EmbedTotal));
    let another = Spender::Embed("abd");
    limits.spend(another, address("192.0.2.1")).await.unwrap();
    // Behind a proxy that is not known the total alone counts.
    let unknown = async || limits.spend(another, ClientAddress::Unknown).await;
    let (allowed, limited) = until_refused(unknown).await;
    assert_eq!((allowed.len(), limited.limit), (299, Limit::EmbedTotal));
}

#[tokio::test(start_paused = true)]
async fn handshakes_are_counted_by_address_and_an_ipv6_network_is_one() {
    let limits = limits(&SETTINGS);
    let mut last = 0_u16;
    let shake = async || {
        last += 1;
        let from = address(&format!("2a00:1:2:3::{last:x}"));
        limits.shake_hands(from).await
    };
    let (allowed, limited) = until_refused(shake).await;
    assert_eq!((allowed.len(), limited.limit), (4, Limit::Handshakes));
    assert_eq!(limited.to_string(), "Too many connections");
    limits.shake_hands(address("2a00:1:2:4::1")).await.unwrap();
    for _ in 0..100 {
        limits.shake_hands(ClientAddress::Unknown).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_once_its_guard_is_dropped() {
    let limits = limits(&SETTINGS);
    let stop = CancellationToken::new();
    let running = tokio::spawn(limits.clone().run(stop.clone()));
    let from = address("192.0.2.1");
    let (mut held, limited) = until_refused(async || limits.hold_address(from).await).await;
    assert_eq!((held.len(), limited.limit), (3, Limit::AddressConnections));
    // Renewed: far beyond the first term all three are still held.
    tokio::time::sleep(SLOT_TTL * 5).await;
    limits.hold_address(from).await.unwrap_err();
    held.pop();
    tokio::time::sleep(Duration::from_millis(1)).await;
    held.push(limits.hold_address(from).await.unwrap());
    limits.hold_address(from).await.unwrap_err();
    stop.cancel();
    running.await.unwrap();
    // What this instance held is free for others at once.
    drop(limits.hold_address(from).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_place_asked_for_by_a_connection_that_has_gone_is_given_back() {
    let limits = limits(&SETTINGS);
    let from = address("192.0.2.1");
    for _ in 0..3 {
        let held = Held::begin(&limits.slots, "u:7".to_owned());
        let (key, name) = held.slot().unwrap();
        let asked = limits.registry.hold(key, name, 2).now_or_never();
        if asked == Some(Verdict::Allowed) {
            // The handshake is dropped between the answer and its use.
            drop(held);
        } else {
            held.forget();
        }
    }
    limits.hold_viewer(user(7), from).await.unwrap_err();
    limits.give_back().await;
    let (held, limited) = until_refused(async || limits.hold_viewer(user(7), from).await).await;
    assert_eq!((held.len(), limited.limit), (2, Limit::UserConnections));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_refused_where_a_limit_is_switched_off() {
    let off = LimitSettings {
        window: SETTINGS.window,
        requests_max: 0,
        connections_per_user_max: 0,
        connections_per_address_max: 0,
        handshakes_max: 0,
    };
    let limits = limits(&off);
    let from = address("192.0.2.1");
    let mut held = Vec::new();
    for _ in 0..2_000 {
        limits.spend(user(7), from).await.unwrap();
        limits.spend(Spender::Embed("abc"), from).await.unwrap();
        limits.shake_hands(from).await.unwrap();
        held.push(limits.hold_address(from).await.unwrap());
        held.push(limits.hold_viewer(user(7), from).await.unwrap());
    }
    let without_address = limits.hold_address(ClientAddress::Unknown);
    assert!(matches!(
        futures_util::poll!(std::pin::pin!(without_address)),
        Poll::Ready(Ok(_))
    ));
    assert!(Limit::ALL.iter().all(|limit| limits.refused(*limit) == 0));
}

#[test]
fn the_settings_have_the_contracts_defaults() {
    let settings = LimitSettings::read(&Settings::default()).unwrap();
    assert_eq!(settings.window, Duration::from_mins(1));
    let numbers = [
        settings.requests_max,
        settings.connections_per_user_max,
        settings.connections_per_address_max,
        settings.handshakes_max,
    ];
    assert_eq!(numbers, [100, 20, 1000, 100]);
}
