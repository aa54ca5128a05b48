//! Retention: what is too old goes, in measure, and nothing that was deleted comes back.

use proto::envelope::Opened;

use crate::events::{CHANNEL, channel_id, created, deleted};
use crate::home::Home;
use crate::subject::Subject;

on_every_home! {
    messages_before_the_cut_go_and_the_others_stay fails_on NothingIsRemoved,
    a_tombstone_outlives_its_message fails_on TombstonesArePruned,
    no_more_go_than_may_and_the_oldest_first fails_on PruningHasNoLimit,
    nothing_goes_where_nothing_is_too_old fails_on PruningNeedsNoCut,
    a_long_pruning_lets_the_archive_write fails_on PruningTakesAll,
}

/// The tests' cut: some day in 2023.
const CUT_MS: i64 = 1_700_000_000_000;

/// When deletions are heard of in these tests.
const DELETED_MS: i64 = 1_700_000_000_500;

/// An id of so many milliseconds after the cut.
fn id(after_ms: i64) -> u64 {
    let since_epoch = CUT_MS + after_ms - 1_420_070_400_000;
    since_epoch.cast_unsigned() << 22
}

async fn ids(store: &Subject) -> Vec<u64> {
    let page = store.page(channel_id(CHANNEL), None, 200).await.unwrap();
    page.messages.iter().map(|message| message.id).collect()
}

fn created_at(after_ms: impl IntoIterator<Item = i64>) -> Vec<Opened> {
    let ids = after_ms.into_iter().map(id);
    ids.map(|id| created(id, "")).collect()
}

async fn messages_before_the_cut_go_and_the_others_stay(home: &Home) {
    let mut archive = home.archive().await;
    let mut events = created_at([-5000, -1, 0, 5000]);
    events.push(created(id(0) - 1, "the last of the millisecond before"));
    archive.write(&events).await;
    assert_eq!(archive.store.prune(CUT_MS, 0, 100).await.unwrap(), 3);
    assert_eq!(ids(&archive.store).await, [id(0), id(5000)]);
    assert_eq!(archive.store.prune(CUT_MS, 0, 100).await.unwrap(), 0);
    assert_eq!(
        archive.store.position().await.unwrap(),
        archive.position,
        "the position is not the rows'"
    );
}

async fn a_tombstone_outlives_its_message(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&created_at([-5000, -4000])).await;
    archive.write(&[deleted(id(-5000))]).await;
    let store = archive.store.clone();
    assert_eq!(store.prune(CUT_MS, DELETED_MS, 100).await.unwrap(), 1);
    archive.write(&created_at([-5000])).await;
    assert_eq!(ids(&store).await, [0; 0], "what was deleted stays so");
    assert_eq!(store.prune(CUT_MS, DELETED_MS + 1, 100).await.unwrap(), 1);
    archive.write(&created_at([-5000])).await;
    assert_eq!(ids(&store).await, [id(-5000)]);
}

async fn no_more_go_than_may_and_the_oldest_first(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&created_at([-1, -3, -2, -4])).await;
    assert_eq!(archive.store.prune(CUT_MS, 0, 0).await.unwrap(), 0);
    assert_eq!(archive.store.prune(CUT_MS, 0, 3).await.unwrap(), 3);
    assert_eq!(ids(&archive.store).await, [id(-1)]);
}

async fn nothing_goes_where_nothing_is_too_old(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[created(1, "the oldest that can be")]).await;
    archive.write(&[created(2, ""), deleted(2)]).await;
    assert_eq!(archive.store.prune(0, 0, 100).await.unwrap(), 0);
    let before = archive.store.prune(i64::MIN, i64::MIN, 100).await;
    assert_eq!(before.unwrap(), 0);
    assert_eq!(ids(&archive.store).await, [1]);
}

/// Two batches of old messages and a half, with tombstones between that stay.
async fn a_long_pruning_lets_the_archive_write(home: &Home) {
    let mut archive = home.archive().await;
    let old: Vec<i64> = (-2500..0).collect();
    archive.write(&created_at(old.iter().copied())).await;
    let gone: Vec<_> = (1..=100).map(|n| deleted(id(-n * 20))).collect();
    archive.write(&gone).await;
    let pruner = home.store().await;
    let prune = pruner.prune(CUT_MS, DELETED_MS, u64::MAX);
    let write = async {
        for n in 0..50 {
            archive.write(&created_at([n])).await;
        }
    };
    let (removed, ()) = tokio::join!(prune, write);
    assert_eq!(removed.unwrap(), 2400);
    let expected: Vec<_> = (0..50).map(id).collect();
    assert_eq!(ids(&pruner).await, expected);
    // The tombstones are there: nothing comes back.
    archive.write(&created_at([-20, -2000])).await;
    assert_eq!(ids(&pruner).await, expected);
}
