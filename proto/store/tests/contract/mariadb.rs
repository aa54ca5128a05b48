//! What is a database server's own: it restarts, halts, refuses, locks and has settings of its own.

use std::time::{Duration, Instant};

use proto::event::Event;
use sqlx::{Connection as _, Executor as _, MySqlConnection};
use store::{Batch, Position, Store, StoreError};

use crate::events::{CHANNEL, channel_id, created, message, message_id, opened};
use crate::home::{GENERATION, Home};
use crate::mariadb_server::MariaDb;
use crate::way::way_to;

/// How long a store may take to find its server again.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of one test's own, and a migrated store on it.
async fn alone() -> (MariaDb, Store) {
    let server = MariaDb::start();
    let store = Store::open(&server.url("store")).await.unwrap();
    store.migrate().await.unwrap();
    store.begin_generation(GENERATION).await.unwrap();
    (server, store)
}

/// The position, as soon as the server answers.
async fn eventually_position(store: &Store) -> Position {
    let until = Instant::now() + PATIENCE;
    loop {
        match store.position().await {
            Ok(position) => return position,
            Err(StoreError::Away(_)) if Instant::now() < until => tokio::task::yield_now().await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn one(from: Position, content: &str) -> Batch {
    let mut batch = Batch::new(from);
    let sequence = from.sequence + 1;
    batch.push(sequence, &created(sequence, content));
    batch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_is_away_and_found_again_with_what_it_had() {
    let (mut server, store) = alone().await;
    let from = store.position().await.unwrap();
    store.apply(one(from, "kept")).await.unwrap();
    server.kill();
    let away = store.ping().await;
    assert!(matches!(away, Err(StoreError::Away(_))), "{away:?}");
    server.restart();
    assert_eq!(eventually_position(&store).await.sequence, 1);
    let kept = store.message(channel_id(CHANNEL), message_id(1)).await;
    assert_eq!(kept.unwrap(), Some(message(1, "kept")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_cut_by_a_kill_is_written_whole_or_not_at_all() {
    let (mut server, store) = alone().await;
    let mut position = store.position().await.unwrap();
    for _ in 0..3 {
        let writer = store.clone();
        let mut batch = Batch::new(position);
        for sequence in position.sequence + 1..=position.sequence + 5000 {
            batch.push(sequence, &created(sequence, "a row of many"));
        }
        let (from, to) = (position.sequence, batch.to);
        let mut spy = spy(&server).await;
        let before = rows(&mut spy).await;
        let cut = tokio::spawn(async move { writer.apply(batch).await });
        // Well into the batch: its transaction is open on the server.
        while rows(&mut spy).await < before + 100 {}
        server.kill();
        let outcome = cut.await.unwrap();
        assert!(matches!(outcome, Err(StoreError::Away(_))), "{outcome:?}");
        server.restart();
        position = eventually_position(&store).await;
        assert!([from, to].contains(&position.sequence), "{position:?}");
        let newest = store.page(channel_id(CHANNEL), None, 1).await.unwrap();
        let newest = newest.messages.last().map_or(0, |message| message.id);
        assert_eq!(newest, position.sequence);
    }
}

/// A connection that sees what is not committed yet.
async fn spy(server: &MariaDb) -> MySqlConnection {
    let mut spy = MySqlConnection::connect(&server.url("store"))
        .await
        .unwrap();
    let dirty = "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";
    spy.execute(dirty).await.unwrap();
    spy
}

async fn rows(spy: &mut MySqlConnection) -> i64 {
    let rows = sqlx::query_scalar("SELECT COUNT(*) FROM messages");
    rows.fetch_one(spy).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_halts_is_away_in_time_and_used_again_when_it_goes_on() {
    let (server, store) = alone().await;
    server.halt();
    let begin = Instant::now();
    let away = store.position().await;
    assert!(matches!(away, Err(StoreError::Away(_))), "{away:?}");
    assert!(begin.elapsed() < Duration::from_secs(12), "{begin:?}");
    server.go_on();
    assert_eq!(eventually_position(&store).await.generation, GENERATION);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_not_given_up_makes_the_store_away_and_a_later_try_succeeds() {
    let (server, store) = alone().await;
    let mut other = MySqlConnection::connect(&server.url("store"))
        .await
        .unwrap();
    let hold = "START TRANSACTION; UPDATE archive_position SET number = number";
    other.execute(hold).await.unwrap();
    let from = store.position().await.unwrap();
    let locked = store.apply(one(from, "")).await;
    assert!(matches!(locked, Err(StoreError::Away(_))), "{locked:?}");
    other.execute("ROLLBACK").await.unwrap();
    store.apply(one(from, "")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_goes_without_a_word_keeps_no_lock_for_long() {
    let (server, store) = alone().await;
    let from = store.position().await.unwrap();
    let (url, is_cut) = way_to(&server.url("store")).await;
    let gone = Store::open(&url).await.unwrap();
    let mut batch = Batch::new(from);
    for sequence in 1..=5000 {
        batch.push(sequence, &created(sequence, "a row of many"));
    }
    let mut spy = spy(&server).await;
    let going = tokio::spawn(async move { gone.apply(batch).await });
    while rows(&mut spy).await < 100 {}
    is_cut.send_replace(true);
    let until = Instant::now() + PATIENCE;
    while let Err(error) = store.apply(one(from, "the next archive's")).await {
        assert!(matches!(error, StoreError::Away(_)), "{error:?}");
        assert!(Instant::now() < until, "the lock is still held");
    }
    assert!(!going.is_finished(), "it was heard of");
    going.abort();
    assert_eq!(store.position().await.unwrap().sequence, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_larger_than_a_packet_is_refused_and_the_others_pass() {
    let (server, store) = alone().await;
    server.run("SET GLOBAL max_allowed_packet = 1048576");
    let store = {
        store.close().await;
        Store::open(&server.url("store")).await.unwrap()
    };
    let from = store.position().await.unwrap();
    let mut large = message(1, "");
    large.raw = vec![1; 3 << 20].into();
    let mut batch = Batch::new(from);
    batch.push(1, &opened(Some(CHANNEL), Event::MessageCreated(large)));
    let refused = store.apply(batch).await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    store.apply(one(from, "small")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_was_cut_is_done_again() {
    let home = Home::mariadb();
    let store = home.store().await;
    for cut in [
        "UPDATE _sqlx_migrations SET success = FALSE WHERE version >= 2; \
         DROP TABLE login_guilds, removals",
        "DELETE FROM _sqlx_migrations WHERE version >= 2; \
         UPDATE _sqlx_migrations SET success = FALSE; \
         DROP TABLE login_guilds, revocations, snapshots, erased_users; \
         ALTER TABLE messages DROP COLUMN reactions, DROP COLUMN reactions_guard",
    ] {
        home.run(cut).await;
        assert!(!store.is_migrated().await.unwrap());
        store.migrate().await.unwrap();
        assert!(store.is_migrated().await.unwrap());
        assert_eq!(store.revocations(0).await.unwrap(), []);
        let page = store.page(channel_id(CHANNEL), None, 1).await.unwrap();
        assert_eq!(page.messages, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_later_version_is_refused() {
    let home = Home::mariadb();
    let store = home.store().await;
    home.run(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', TRUE, 'x', 0)",
    )
    .await;
    let refused = store.migrate().await;
    assert!(
        matches!(refused, Err(StoreError::Migration(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_address_without_a_database_is_refused_and_never_repeated() {
    for url in [
        "mysql://user:secret@127.0.0.1",
        "mariadb://user:secret@127.0.0.1/",
    ] {
        let refused = Store::open(url).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
        assert!(!format!("{refused} {refused:?}").contains("secret"));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_away() {
    let away = Store::open("mariadb://user:secret@127.0.0.1:1/store")
        .await
        .unwrap_err();
    assert!(matches!(away, StoreError::Away(_)), "{away:?}");
    assert!(!format!("{away} {away:?}").contains("secret"));
}

#[tokio::test]
async fn both_schemes_name_the_same() {
    let url = Home::mariadb_url();
    let store = Store::open(&url.replacen("mysql:", "mariadb:", 1))
        .await
        .unwrap();
    store.migrate().await.unwrap();
    assert!(
        Store::open(&url)
            .await
            .unwrap()
            .is_migrated()
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_given_up_leaves_nothing_open() {
    let (_server, store) = alone().await;
    let mut position = store.position().await.unwrap();
    let mut given_up_at = None;
    for tenths in 0..100 {
        let mut batch = Batch::new(position);
        for sequence in position.sequence + 1..=position.sequence + 20 {
            batch.push(sequence, &created(sequence, ""));
        }
        let to = batch.to;
        let given_up = Duration::from_micros(100 * tenths);
        let ended = tokio::time::timeout(given_up, store.apply(batch)).await;
        // A lock that was left would make this wait, and a connection in the middle of an answer read nonsense.
        let now = store.position().await.unwrap();
        let was_given_up = ended.is_err();
        match ended {
            Ok(Err(StoreError::AnotherArchive)) => {
                // The server may still have been at the commit of the call that was given up before this one.
                assert_eq!(Some(now.sequence), given_up_at, "{now:?}");
            }
            Ok(outcome) => {
                outcome.unwrap();
                assert_eq!(now.sequence, to);
            }
            Err(_) => assert!([position.sequence, to].contains(&now.sequence), "{now:?}"),
        }
        given_up_at = was_given_up.then_some(to);
        let page = store.page(channel_id(CHANNEL), None, 1).await.unwrap();
        let newest = page.messages.last().map_or(0, |message| message.id);
        assert_eq!(newest, page.position.sequence);
        position = page.position;
    }
    assert!(position.sequence > 0, "some were written");
}
