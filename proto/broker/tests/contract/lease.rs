//! The lease and the values beside it.

use std::time::Duration;

use broker::LEASE_TTL;
use bytes::Bytes;

use super::home::{Home, eventually};

pub(crate) async fn the_lease_is_exclusive_until_it_is_released(home: &Home) {
    let (one, two) = (home.broker(), home.second().await);
    let lease = one.lease_acquire("one").await.unwrap().unwrap();
    assert_eq!(two.lease_acquire("two").await.unwrap(), None);
    one.lease_release(lease).await.unwrap();
    assert_eq!(one.lease_renew("one", lease).await.unwrap(), None);
    let taken = two.lease_acquire("two").await.unwrap();
    assert!(taken.is_some());
    assert_eq!(one.lease_acquire("one").await.unwrap(), None);
}

pub(crate) async fn an_owner_takes_its_own_lease_again(home: &Home) {
    let (one, two) = (home.broker(), home.second().await);
    let old = one.lease_acquire("one").await.unwrap().unwrap();
    // The answer to this one is lost.
    one.lease_renew("one", old).await.unwrap().unwrap();
    assert_eq!(one.lease_renew("one", old).await.unwrap(), None);
    home.pass(LEASE_TTL / 2).await;
    let again = one.lease_acquire("one").await.unwrap().unwrap();
    assert!(again.revision > old.revision);
    home.pass(LEASE_TTL * 3 / 4).await;
    assert_eq!(
        two.lease_acquire("two").await.unwrap(),
        None,
        "its term began anew"
    );
    assert!(one.lease_renew("one", again).await.unwrap().is_some());
}

pub(crate) async fn a_renewed_lease_outlives_its_first_term(home: &Home) {
    let (one, two) = (home.broker(), home.second().await);
    let mut lease = one.lease_acquire("one").await.unwrap().unwrap();
    let third = LEASE_TTL / 3;
    for _ in 0..5 {
        home.pass(third).await;
        lease = one.lease_renew("one", lease).await.unwrap().unwrap();
        assert_eq!(two.lease_acquire("two").await.unwrap(), None);
    }
}

pub(crate) async fn a_lease_ends_by_itself_and_its_holder_is_fenced_off(home: &Home) {
    let (one, two) = (home.broker(), home.second().await);
    let old = one.lease_acquire("one").await.unwrap().unwrap();
    let fresh = one.lease_renew("one", old).await.unwrap().unwrap();
    home.pass(LEASE_TTL / 2).await;
    assert_eq!(two.lease_acquire("two").await.unwrap(), None);
    home.pass(LEASE_TTL / 2).await;
    let taken = eventually("the lease ends", async || {
        two.lease_acquire("two").await.unwrap()
    })
    .await;
    for late in [old, fresh] {
        assert_eq!(one.lease_renew("one", late).await.unwrap(), None);
    }
    assert!(two.lease_renew("two", taken).await.unwrap().is_some());
}

pub(crate) async fn a_renewal_must_meet_the_last_revision(home: &Home) {
    let broker = home.broker();
    let first = broker.lease_acquire("one").await.unwrap().unwrap();
    let second = broker.lease_renew("one", first).await.unwrap().unwrap();
    assert!(second.revision > first.revision);
    assert_eq!(broker.lease_renew("one", first).await.unwrap(), None);
    assert!(broker.lease_renew("one", second).await.unwrap().is_some());
}

pub(crate) async fn a_late_release_leaves_the_next_holder_alone(home: &Home) {
    let (one, two) = (home.broker(), home.second().await);
    let old = one.lease_acquire("one").await.unwrap().unwrap();
    one.lease_release(old).await.unwrap();
    let taken = two.lease_acquire("two").await.unwrap().unwrap();
    one.lease_release(old).await.unwrap();
    assert!(two.lease_renew("two", taken).await.unwrap().is_some());
}

pub(crate) async fn values_outlive_a_restart_and_the_lease(home: &Home) {
    let broker = home.broker();
    assert_eq!(broker.value("session").await.unwrap(), None);
    broker
        .set_value("session", Bytes::from_static(b"old"))
        .await
        .unwrap();
    broker
        .set_value("session", Bytes::from_static(b"new"))
        .await
        .unwrap();
    broker.set_value("other", Bytes::new()).await.unwrap();
    home.restart().await;
    home.pass(LEASE_TTL + Duration::from_secs(2)).await;
    let value = home.broker().value("session").await.unwrap();
    assert_eq!(value, Some(Bytes::from_static(b"new")));
    let other = home.broker().value("other").await.unwrap();
    assert_eq!(other, Some(Bytes::new()));
}
