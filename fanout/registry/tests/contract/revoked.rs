//! What is void: the later times hold, and what has ended is told no more.

use std::time::{SystemTime, UNIX_EPOCH};

use registry::Revocation;

use super::home::{Home, Shared};

/// Seconds since 1970: Redis drops by its own clock what has ended.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

fn revocation(key: &str, until: i64, not_before: i64) -> Revocation {
    Revocation {
        key: key.to_owned(),
        until,
        not_before,
    }
}

async fn sorted(home: &dyn Shared, now: i64) -> Vec<Revocation> {
    let mut all = home.all(now).await.unwrap();
    all.sort();
    all
}

pub(crate) async fn of_two_revocations_of_one_key_the_later_times_hold(home: &Home) {
    let now = now();
    for (client, until, not_before) in [
        (&home.one, now + 500, 7),
        (&home.other, now + 900, 5),
        (&home.one, now + 700, 9),
        (&home.other, now + 100, 0),
    ] {
        let given = revocation("user", until, not_before);
        client.put(&given).await.unwrap();
    }
    home.one
        .put(&revocation("token", now + 60, 0))
        .await
        .unwrap();
    let wanted = [
        revocation("token", now + 60, 0),
        revocation("user", now + 900, 9),
    ];
    assert_eq!(sorted(&*home.other, now).await, wanted);
}

pub(crate) async fn what_has_ended_is_not_told(home: &Home) {
    let now = now();
    for (key, until) in [("past", now - 10), ("short", now + 60), ("long", now + 120)] {
        home.one.put(&revocation(key, until, 0)).await.unwrap();
    }
    let keys = async |now| {
        let all = sorted(&*home.other, now).await;
        all.into_iter().map(|one| one.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(now).await, ["long", "short"]);
    assert_eq!(keys(now + 60).await, ["long"]);
    assert_eq!(keys(now + 120).await, [""; 0]);
}

pub(crate) async fn a_revocation_without_end_is_kept(home: &Home) {
    home.one
        .put(&revocation("token", i64::MAX, i64::MAX))
        .await
        .unwrap();
    home.one.put(&revocation("past", 0, 0)).await.unwrap();
    let all = sorted(&*home.other, now()).await;
    let keys: Vec<_> = all.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["token"]);
}

pub(crate) async fn all_of_many_revocations_are_told(home: &Home) {
    let until = now() + 1000;
    let mut wanted: Vec<_> = (0..2_500)
        .map(|number| revocation(&format!("token {number}"), until, 0))
        .collect();
    for given in &wanted {
        home.one.put(given).await.unwrap();
    }
    wanted.sort();
    assert_eq!(sorted(&*home.other, until - 1).await, wanted);
}
