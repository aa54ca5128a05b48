//! The position: who may move it, and that whatever is read belongs to it.

use std::sync::atomic::{AtomicBool, Ordering};

use store::{Position, StoreError};

use crate::events::{
    CHANNEL, channel, channel_id, channel_upserted, created, guild_updated, message, message_id,
    snapshot, updated,
};
use crate::home::{GENERATION, Home};
use crate::subject::Subject;

on_every_home! {
    a_reader_that_comes_first_waits_for_the_schema fails_on AlwaysMigrated,
    two_may_migrate_at_once fails_on MigratesOnce,
    a_new_store_is_at_the_beginning fails_on StartsLater,
    a_generation_starts_at_0_and_only_once fails_on GenerationKeepsItsSequence,
    of_two_archives_one_loses_and_writes_nothing fails_on NoFence,
    an_archive_of_an_older_generation_is_refused fails_on NoFence,
    skipped_events_move_the_position fails_on EmptyBatchesAreDropped,
    a_stream_that_lost_its_tail_gives_its_numbers_again_and_what_they_bring_counts fails_on NumberStays,
    a_repeated_sequence_is_pushed_once fails_on RepetitionsAreRenumbered,
    a_batch_that_fails_leaves_nothing_behind fails_on PositionIsMovedFirst,
    a_reopened_store_has_everything fails_on ForgetsWhenReopened,
    a_page_belongs_to_its_position_while_others_write fails_on AnswersAreTorn,
    a_directory_belongs_to_its_position_while_others_write fails_on AnswersAreTorn,
    of_two_that_write_at_once_exactly_one_wins fails_on NoFence,
    a_closed_store_is_away fails_on NeverCloses,
}

async fn page_ids(store: &Subject) -> Vec<u64> {
    let page = store.page(channel_id(CHANNEL), None, 100).await.unwrap();
    page.messages.iter().map(|message| message.id).collect()
}

async fn a_reader_that_comes_first_waits_for_the_schema(home: &Home) {
    let reader = home.open().await;
    assert!(!reader.is_migrated().await.unwrap());
    reader.ping().await.unwrap();
    let writer = home.store().await;
    assert!(reader.is_migrated().await.unwrap());
    assert!(writer.is_migrated().await.unwrap());
    assert_eq!(page_ids(&reader).await, [0; 0]);
}

async fn two_may_migrate_at_once(home: &Home) {
    let (one, other) = tokio::join!(home.open(), home.open());
    let (first, second) = tokio::join!(one.migrate(), other.migrate());
    first.unwrap();
    second.unwrap();
    one.migrate().await.unwrap();
    assert!(other.is_migrated().await.unwrap());
}

async fn a_new_store_is_at_the_beginning(home: &Home) {
    let store = home.store().await;
    assert_eq!(store.position().await.unwrap(), Position::default());
    let directory = store.directory().await.unwrap();
    assert_eq!(directory.position, Position::default());
    assert!(directory.guilds.is_empty());
}

async fn a_generation_starts_at_0_and_only_once(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[created(1, ""), created(2, "")]).await;
    let at = |generation, sequence| Position {
        generation,
        sequence,
    };
    archive.store.begin_generation(GENERATION).await.unwrap();
    assert_eq!(archive.store.position().await.unwrap(), at(GENERATION, 2));
    archive.store.begin_generation(3).await.unwrap();
    assert_eq!(archive.store.position().await.unwrap(), at(3, 0));
    archive.store.begin_generation(GENERATION).await.unwrap();
    assert_eq!(archive.store.position().await.unwrap(), at(GENERATION, 0));
}

async fn of_two_archives_one_loses_and_writes_nothing(home: &Home) {
    let mut winner = home.archive().await;
    let loser = home.archive().await;
    let mut theirs = vec![created(2, "theirs"), guild_updated("theirs")];
    theirs.extend(snapshot("theirs", &[], &[channel(5, 0, None)], &[]));
    let batch = loser.batch(&theirs);
    winner.write(&[created(1, "ours")]).await;
    let refused = loser.store.apply(batch).await;
    assert!(
        matches!(refused, Err(StoreError::AnotherArchive)),
        "{refused:?}"
    );
    assert_eq!(page_ids(&loser.store).await, [1]);
    let directory = loser.store.directory().await.unwrap();
    assert_eq!(directory.position, winner.position);
    assert!(directory.guilds.is_empty());
}

async fn an_archive_of_an_older_generation_is_refused(home: &Home) {
    let archive = home.archive().await;
    archive.store.begin_generation(5).await.unwrap();
    // Both are at sequence 0: the generation alone tells them apart.
    let refused = archive.store.apply(archive.batch(&[created(1, "")])).await;
    assert!(
        matches!(refused, Err(StoreError::AnotherArchive)),
        "{refused:?}"
    );
    assert_eq!(page_ids(&archive.store).await, [0; 0]);
    assert_eq!(archive.store.position().await.unwrap().sequence, 0);
}

async fn skipped_events_move_the_position(home: &Home) {
    let archive = home.archive().await;
    let mut batch = archive.store.batch(archive.position);
    batch.skip(1);
    // The stream may have holes.
    batch.push(4, &created(1, ""));
    batch.skip(9);
    assert_eq!((batch.events(), batch.to), (1, 9));
    archive.store.apply(batch).await.unwrap();
    let position = archive.store.position().await.unwrap();
    assert_eq!(position.sequence, 9);
    let mut nothing = archive.store.batch(position);
    nothing.skip(10);
    archive.store.apply(nothing).await.unwrap();
    assert_eq!(archive.store.position().await.unwrap().sequence, 10);
}

async fn a_repeated_sequence_is_pushed_once(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[created(1, "")]).await;
    let mut batch = archive.store.batch(archive.position);
    batch.push(1, &created(2, "already in"));
    batch.push(2, &created(3, "new"));
    batch.push(2, &created(4, "a repetition"));
    assert_eq!((batch.events(), batch.to), (1, 2));
    archive.store.apply(batch).await.unwrap();
    assert_eq!(page_ids(&archive.store).await, [1, 3]);
}

async fn a_batch_that_fails_leaves_nothing_behind(home: &Home) {
    let mut archive = home.archive().await;
    let mut batch = archive.store.batch(archive.position);
    batch.push(1, &created(1, ""));
    batch.push(1 << 50, &created(2, "beyond what a guard holds"));
    let failed = archive.store.apply(batch).await;
    assert!(matches!(failed, Err(StoreError::Overflow)), "{failed:?}");
    assert_eq!(archive.store.position().await.unwrap(), archive.position);
    assert_eq!(page_ids(&archive.store).await, [0; 0]);
    archive.write(&[created(3, "the archive goes on")]).await;
    assert_eq!(page_ids(&archive.store).await, [3]);
}

async fn a_reopened_store_has_everything(home: &Home) {
    let mut archive = home.archive().await;
    archive
        .write(&[created(1, "kept"), guild_updated("kept")])
        .await;
    archive.store.close().await;
    let reopened = home.store().await;
    assert_eq!(reopened.position().await.unwrap(), archive.position);
    let kept = reopened.message(channel_id(CHANNEL), message_id(1)).await;
    assert_eq!(kept.unwrap(), Some(message(1, "kept")));
    let directory = reopened.directory().await.unwrap();
    assert_eq!(directory.guilds.len(), 1);
    assert_eq!(directory.guilds[0].guild.name, "kept");
}

const HAMMERED: u64 = 300;

/// The message of sequence n has the id n, so that page and position check each other, both ways.
async fn a_page_belongs_to_its_position_while_others_write(home: &Home) {
    let mut archive = home.archive().await;
    let reader = home.open().await;
    let is_done = AtomicBool::new(false);
    let write = async {
        for id in 1..=HAMMERED {
            archive.write(&[created(id, "")]).await;
        }
        is_done.store(true, Ordering::Release);
    };
    let read = async {
        let mut moves = 0;
        let mut last = 0;
        while !is_done.load(Ordering::Acquire) {
            let page = reader.page(channel_id(CHANNEL), None, 1).await.unwrap();
            let newest = page.messages.last().map_or(0, |message| message.id);
            assert_eq!(newest, page.position.sequence);
            assert!(newest >= last, "a later page is not older");
            moves += u64::from(newest > last);
            last = newest;
        }
        moves
    };
    let ((), moves) = tokio::join!(write, read);
    assert!(moves > 10, "reader and writer did not overlap: {moves}");
}

async fn a_directory_belongs_to_its_position_while_others_write(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[guild_updated("busy")]).await;
    let reader = home.open().await;
    let is_done = AtomicBool::new(false);
    let write = async {
        for id in 2..=HAMMERED {
            archive
                .write(&[channel_upserted(channel(id, 0, None))])
                .await;
        }
        is_done.store(true, Ordering::Release);
    };
    let read = async {
        let mut reads = 0;
        while !is_done.load(Ordering::Acquire) {
            let directory = reader.directory().await.unwrap();
            let channels = directory.guilds[0].channels.len() as u64;
            assert_eq!(channels + 1, directory.position.sequence);
            reads += 1;
        }
        reads
    };
    let ((), reads) = tokio::join!(write, read);
    assert!(reads > 10, "reader and writer did not overlap: {reads}");
}

async fn of_two_that_write_at_once_exactly_one_wins(home: &Home) {
    let mut one = home.archive().await;
    let mut other = home.archive().await;
    let mut winners = Vec::new();
    for round in 1..=40 {
        let ours = one.batch(&[created(round, "")]);
        let theirs = other.batch(&[created(1000 + round, "")]);
        match tokio::join!(one.store.apply(ours), other.store.apply(theirs)) {
            (Ok(()), Err(StoreError::AnotherArchive)) => winners.push(round),
            (Err(StoreError::AnotherArchive), Ok(())) => winners.push(1000 + round),
            neither => panic!("round {round}: {neither:?}"),
        }
        one.position.sequence = round;
        other.position.sequence = round;
    }
    winners.sort_unstable();
    assert_eq!(page_ids(&one.store).await, winners);
    assert_eq!(one.store.position().await.unwrap(), other.position);
}

async fn a_closed_store_is_away(home: &Home) {
    let store = home.store().await;
    store.close().await;
    let closed = store.ping().await;
    assert!(matches!(closed, Err(StoreError::Away(_))), "{closed:?}");
}

async fn a_stream_that_lost_its_tail_gives_its_numbers_again_and_what_they_bring_counts(
    home: &Home,
) {
    let store = home.store().await;
    store.begin_generation(GENERATION).await.unwrap();
    let mut batch = store.batch(store.position().await.unwrap());
    batch.push(1, &created(1, "first"));
    batch.push(9, &created(2, "kept"));
    store.apply(batch).await.unwrap();

    store.rewind(GENERATION + 1, 3).await.unwrap();
    assert_eq!(
        store.position().await.unwrap().sequence,
        9,
        "another generation's word"
    );
    store.rewind(GENERATION, 3).await.unwrap();
    let position = store.position().await.unwrap();
    assert_eq!((position.generation, position.sequence), (GENERATION, 3));

    let mut batch = store.batch(position);
    batch.push(4, &updated(2, "edited"));
    store.apply(batch).await.unwrap();
    let page = store.page(channel_id(CHANNEL), None, 100).await.unwrap();
    let contents: Vec<_> = page.messages.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(contents, ["first", "edited"]);
}
