//! What is spent: as many at once as the quota says, over all clients, and then one an interval.

use std::time::Duration;

use registry::{Quota, Verdict};

use super::home::{Home, pass, wait_of};

/// No event is paid off while a case runs.
fn slow(max: u32) -> Quota {
    Quota::new(max, Duration::from_hours(max.into())).unwrap()
}

pub(crate) async fn two_clients_at_once_spend_one_quota(home: &Home) {
    let quota = slow(20);
    let spending = (0..30).map(|number| {
        let client = if number % 2 == 0 {
            &home.one
        } else {
            &home.other
        };
        let client = client.clone();
        tokio::spawn(async move { client.spend("user", quota).await })
    });
    let spending: Vec<_> = spending.collect();
    let mut allowed = 0;
    for spent in spending {
        allowed += u32::from(spent.await.unwrap().unwrap().is_allowed());
    }
    assert_eq!(allowed, 20);
    assert!(!home.one.spend("user", quota).await.unwrap().is_allowed());
    assert!(!home.other.spend("user", quota).await.unwrap().is_allowed());
}

pub(crate) async fn the_call_made_at_retry_after_succeeds_and_the_next_does_not(home: &Home) {
    let interval = Duration::from_secs(2);
    let quota = Quota::new(3, 3 * interval).unwrap();
    for _ in 0..3 {
        let spent = home.one.spend("user", quota).await;
        assert_eq!(spent, Ok(Verdict::Allowed));
    }
    for _ in 0..2 {
        let wait = wait_of(home.one.spend("user", quota).await.unwrap());
        assert!(Duration::ZERO < wait && wait <= interval, "{wait:?}");
        pass(wait).await;
        let spent = home.other.spend("user", quota).await;
        assert_eq!(spent, Ok(Verdict::Allowed));
    }
    let wait = wait_of(home.one.spend("user", quota).await.unwrap());
    assert!(wait <= interval, "{wait:?}");
}

pub(crate) async fn a_refusal_costs_nothing(home: &Home) {
    let quota = slow(2);
    for _ in 0..2 {
        assert!(home.one.spend("user", quota).await.unwrap().is_allowed());
    }
    for _ in 0..10 {
        let wait = wait_of(home.one.spend("user", quota).await.unwrap());
        assert!(wait <= quota.interval(), "{wait:?}");
    }
}

pub(crate) async fn each_key_has_a_quota_of_its_own(home: &Home) {
    for key in ["u:1", "u:2", "u:1 2", "{u:1}"] {
        let spent = home.one.spend(key, slow(1)).await;
        assert_eq!(spent, Ok(Verdict::Allowed), "{key}");
    }
}

pub(crate) async fn what_is_paid_off_may_be_spent_at_once_again(home: &Home) {
    let quota = Quota::new(4, Duration::from_secs(2)).unwrap();
    for _ in 0..2 {
        for _ in 0..4 {
            assert!(home.one.spend("user", quota).await.unwrap().is_allowed());
        }
        pass(Duration::from_secs(2)).await;
    }
}

pub(crate) async fn a_smaller_quota_forgives_what_is_beyond_it(home: &Home) {
    for _ in 0..10 {
        assert!(home.one.spend("user", slow(10)).await.unwrap().is_allowed());
    }
    let wait = wait_of(home.other.spend("user", slow(2)).await.unwrap());
    assert!(wait <= slow(2).interval(), "{wait:?}");
}
