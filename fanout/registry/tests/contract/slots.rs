//! What is held: at most so many under a key, by whomever, until it is given back or nobody renews it.

use std::time::Duration;

use registry::{Limiter, Slot, Verdict};

use super::home::{Home, SLOT_TTL, pass, wait_of};

fn slot(name: &str) -> Slot {
    ("user".to_owned(), name.to_owned())
}

pub(crate) async fn two_clients_at_once_hold_no_more_than_the_maximum(home: &Home) {
    let holding = (0..20).map(|number| {
        let client = if number % 2 == 0 {
            &home.one
        } else {
            &home.other
        };
        let client = client.clone();
        tokio::spawn(async move { client.hold("user", &format!("slot {number}"), 7).await })
    });
    let holding: Vec<_> = holding.collect();
    let mut held = 0;
    for hold in holding {
        held += u32::from(hold.await.unwrap().unwrap().is_allowed());
    }
    assert_eq!(held, 7);
    let wait = wait_of(home.other.hold("user", "late", 7).await.unwrap());
    assert!(Duration::ZERO < wait && wait <= SLOT_TTL, "{wait:?}");
    let elsewhere = home.other.hold("another", "late", 7).await;
    assert_eq!(elsewhere, Ok(Verdict::Allowed));
}

pub(crate) async fn ones_own_slot_may_be_taken_again(home: &Home) {
    for client in [&home.one, &home.other, &home.one] {
        let held = client.hold("user", "mine", 1).await;
        assert_eq!(held, Ok(Verdict::Allowed));
    }
    wait_of(home.one.hold("user", "theirs", 1).await.unwrap());
}

pub(crate) async fn a_slot_given_back_is_free_at_once(home: &Home) {
    assert!(home.one.hold("user", "a", 1).await.unwrap().is_allowed());
    wait_of(home.other.hold("user", "b", 1).await.unwrap());
    home.one.release("user", "a").await.unwrap();
    let held = home.other.hold("user", "b", 1).await;
    assert_eq!(held, Ok(Verdict::Allowed));
    // Giving back what one no longer holds takes nothing from anybody.
    home.one.release("user", "a").await.unwrap();
    wait_of(home.one.hold("user", "a", 1).await.unwrap());
}

pub(crate) async fn the_slots_of_an_instance_that_was_killed_free_themselves(home: &Home) {
    assert!(home.one.hold("user", "a", 1).await.unwrap().is_allowed());
    let wait = wait_of(home.other.hold("user", "b", 1).await.unwrap());
    assert!(wait <= SLOT_TTL, "{wait:?}");
    pass(wait).await;
    let held = home.other.hold("user", "b", 1).await;
    assert_eq!(held, Ok(Verdict::Allowed));
}

pub(crate) async fn a_renewed_slot_outlives_its_first_term(home: &Home) {
    assert!(home.one.hold("user", "a", 2).await.unwrap().is_allowed());
    assert!(home.one.hold("user", "b", 2).await.unwrap().is_allowed());
    pass(SLOT_TTL * 2 / 3).await;
    Limiter::renew(&*home.one, &[slot("a")]).await.unwrap();
    pass(SLOT_TTL / 3 + Duration::from_millis(50)).await;
    // The one that was not renewed has ended, and the other has not.
    assert!(home.other.hold("user", "c", 2).await.unwrap().is_allowed());
    wait_of(home.other.hold("user", "d", 2).await.unwrap());
}

pub(crate) async fn a_slot_that_the_home_has_forgotten_is_held_again_by_its_renewal(home: &Home) {
    let mut slots: Vec<Slot> = (0..700).map(|number| slot(&number.to_string())).collect();
    slots.extend((0..700).map(|number| (number.to_string(), "a".to_owned())));
    Limiter::renew(&*home.one, &slots).await.unwrap();
    wait_of(home.other.hold("user", "late", 700).await.unwrap());
    assert!(
        home.other
            .hold("user", "late", 701)
            .await
            .unwrap()
            .is_allowed()
    );
    for key in ["0", "699"] {
        wait_of(home.other.hold(key, "late", 1).await.unwrap());
    }
}
