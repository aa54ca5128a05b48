//! Where the instances are: told by each for a term, renewed, withdrawn.

use std::net::SocketAddr;
use std::time::Duration;

use proto::InstanceId;

use super::home::{Home, eventually};

/// Whole seconds, and few: on NATS they pass.
const TERM: Duration = Duration::from_secs(2);

fn instance(bits: u64) -> InstanceId {
    InstanceId::from_bits(bits)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) async fn an_enrolled_instance_is_found_and_no_other(home: &Home) {
    let broker = home.broker();
    let places = [
        (1, "10.1.2.3:3003"),
        (2, "[fd00::7]:3003"),
        (u64::MAX, "127.0.0.1:1"),
    ];
    assert_eq!(broker.address_of(&instance(1)).await.unwrap(), None);
    for (bits, place) in places {
        let (instance, address) = (instance(bits), address(place));
        broker.enroll(&instance, address, TERM).await.unwrap();
    }
    for (bits, place) in places {
        let found = broker.address_of(&instance(bits)).await.unwrap();
        assert_eq!(found, Some(address(place)));
    }
    assert_eq!(broker.address_of(&instance(3)).await.unwrap(), None);
}

pub(crate) async fn an_instance_that_moved_is_found_where_it_is(home: &Home) {
    let broker = home.broker();
    for place in ["10.1.2.3:3003", "10.1.2.4:3003"] {
        broker
            .enroll(&instance(1), address(place), TERM)
            .await
            .unwrap();
        let found = broker.address_of(&instance(1)).await.unwrap();
        assert_eq!(found, Some(address(place)));
    }
}

pub(crate) async fn an_instance_that_withdrew_is_forgotten_and_may_come_back(home: &Home) {
    let (broker, here) = (home.broker(), address("10.1.2.3:3003"));
    broker.withdraw(&instance(1)).await.unwrap();
    for id in [1, 2] {
        broker.enroll(&instance(id), here, TERM).await.unwrap();
    }
    broker.withdraw(&instance(1)).await.unwrap();
    assert_eq!(broker.address_of(&instance(1)).await.unwrap(), None);
    assert_eq!(broker.address_of(&instance(2)).await.unwrap(), Some(here));
    broker.enroll(&instance(1), here, TERM).await.unwrap();
    assert_eq!(broker.address_of(&instance(1)).await.unwrap(), Some(here));
}

pub(crate) async fn an_instance_that_renews_stays_and_one_that_died_is_forgotten(home: &Home) {
    let (broker, here) = (home.broker(), address("10.1.2.3:3003"));
    let (alive, dead) = (instance(1), instance(2));
    for one in [&alive, &dead] {
        broker.enroll(one, here, TERM).await.unwrap();
    }
    for _ in 0..3 {
        home.pass(TERM / 2).await;
        broker.enroll(&alive, here, TERM).await.unwrap();
    }
    // NATS looks for what has ended about once a second.
    eventually("the dead one is forgotten", async || {
        broker.enroll(&alive, here, TERM).await.unwrap();
        let found = broker.address_of(&dead).await.unwrap();
        found.is_none().then_some(())
    })
    .await;
    assert_eq!(broker.address_of(&alive).await.unwrap(), Some(here));
}
