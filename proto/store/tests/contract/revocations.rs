//! Revocations, and the guilds of a login: small rows that every service reads.

use store::{REVOCATION_KEY_BYTES_MAX, Revocation, StoreError};

use crate::events::{guild_id, user_id};
use crate::home::Home;

on_every_home! {
    a_revocation_counts_until_its_end,
    a_second_revocation_widens_the_first,
    keys_are_told_apart_by_every_byte,
    a_key_that_is_too_long_is_refused,
    a_login_overwrites_the_one_before,
    a_login_that_lists_no_guild_is_a_login,
}

fn revocation(key: &str, until_ms: i64, not_before_ms: Option<i64>) -> Revocation {
    Revocation {
        key: key.into(),
        until_ms,
        not_before_ms,
    }
}

async fn a_revocation_counts_until_its_end(home: &Home) {
    let (writer, reader) = (home.store().await, home.store().await);
    assert_eq!(reader.revocations(0).await.unwrap(), []);
    writer.revoke("token", 2000, None).await.unwrap();
    writer.revoke("user", 3000, Some(1500)).await.unwrap();
    let both = [
        revocation("token", 2000, None),
        revocation("user", 3000, Some(1500)),
    ];
    assert_eq!(reader.revocations(1999).await.unwrap(), both);
    assert_eq!(reader.revocations(2000).await.unwrap(), both[1..]);
    // What has expired is gone for good.
    assert_eq!(reader.revocations(1999).await.unwrap(), both[1..]);
    assert_eq!(reader.revocations(i64::MAX).await.unwrap(), []);
    assert_eq!(reader.revocations(0).await.unwrap(), []);
}

async fn a_second_revocation_widens_the_first(home: &Home) {
    let store = home.store().await;
    for (until_ms, not_before_ms) in [(10, Some(5)), (30, Some(3)), (20, Some(7))] {
        store.revoke("user", until_ms, not_before_ms).await.unwrap();
    }
    let widened = store.revocations(0).await.unwrap();
    assert_eq!(widened, [revocation("user", 30, Some(7))]);
    store.revoke("user", 1, None).await.unwrap();
    store.revoke("user", 1, Some(9)).await.unwrap();
    let widest = store.revocations(0).await.unwrap();
    assert_eq!(widest, [revocation("user", 30, None)]);
}

async fn keys_are_told_apart_by_every_byte(home: &Home) {
    let store = home.store().await;
    let longest = "k".repeat(REVOCATION_KEY_BYTES_MAX);
    // Ascending by their bytes.
    let keys = ["", "A", "a", "a ", "a\0", "é", &longest, "ß", "ss", "👍"];
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    for key in keys {
        store.revoke(key, 1, None).await.unwrap();
    }
    let revoked = store.revocations(0).await.unwrap();
    let revoked: Vec<_> = revoked.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(revoked, sorted);
}

async fn a_key_that_is_too_long_is_refused(home: &Home) {
    let store = home.store().await;
    let key = "k".repeat(REVOCATION_KEY_BYTES_MAX + 1);
    let refused = store.revoke(&key, 1, None).await;
    assert!(
        matches!(refused, Err(StoreError::KeyTooLong)),
        "{refused:?}"
    );
    assert_eq!(store.revocations(0).await.unwrap(), []);
}

async fn a_login_overwrites_the_one_before(home: &Home) {
    let store = home.store().await;
    assert_eq!(store.login_guilds(user_id(3)).await.unwrap(), None);
    let largest = i64::MAX.cast_unsigned();
    let first = [guild_id(largest), guild_id(1)];
    store
        .set_login_guilds(user_id(3), &first, 1000)
        .await
        .unwrap();
    let read = store.login_guilds(user_id(3)).await.unwrap();
    assert_eq!(read, Some((first.to_vec(), 1000)));
    let second = [guild_id(2)];
    store
        .set_login_guilds(user_id(3), &second, 2000)
        .await
        .unwrap();
    store
        .set_login_guilds(user_id(4), &first, 3000)
        .await
        .unwrap();
    let read = home.store().await.login_guilds(user_id(3)).await.unwrap();
    assert_eq!(read, Some((second.to_vec(), 2000)));
}

async fn a_login_that_lists_no_guild_is_a_login(home: &Home) {
    let store = home.store().await;
    store
        .set_login_guilds(user_id(3), &[guild_id(1)], 1)
        .await
        .unwrap();
    store.set_login_guilds(user_id(3), &[], 2).await.unwrap();
    let read = store.login_guilds(user_id(3)).await.unwrap();
    assert_eq!(read, Some((vec![], 2)));
}
