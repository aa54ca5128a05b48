//! What is a PostgreSQL server's own: it restarts, halts, refuses, locks and has processes and settings of its own.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, Executor as _, PgConnection};
use store::{Batch, Position, Store, StoreError};

use crate::events::{CHANNEL, channel_id, created, message, message_id};
use crate::home::{GENERATION, Home};
use crate::postgres_server::Postgres;
use crate::way::way_to;

/// How long a store may take to find its server again.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of one test's own, and a migrated store on it.
async fn alone() -> (Postgres, Store) {
    let server = Postgres::start();
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

/// Another connection to the store's database.
async fn spy(server: &Postgres) -> PgConnection {
    PgConnection::connect(&server.url("store")).await.unwrap()
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
        let before = written(&mut spy).await;
        let cut = tokio::spawn(async move { writer.apply(batch).await });
        // Well into the batch: its transaction is open on the server.
        while written(&mut spy).await < before + 50_000 {}
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

/// How many bytes of changes the server has logged: those of open transactions too, whose rows nobody sees.
async fn written(spy: &mut PgConnection) -> i64 {
    let bytes = "SELECT CAST(pg_current_wal_insert_lsn() - '0/0' AS BIGINT)";
    sqlx::query_scalar(bytes).fetch_one(spy).await.unwrap()
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
    let mut other = spy(&server).await;
    let hold = "BEGIN; UPDATE archive_position SET number = number";
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
    let before = written(&mut spy).await;
    let going = tokio::spawn(async move { gone.apply(batch).await });
    while written(&mut spy).await < before + 50_000 {}
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
async fn what_is_a_rows_fault_is_refused_and_what_passes_is_away() {
    let home = Home::postgres();
    let mut store = home.archive().await;
    home.run(
        "CREATE TABLE trouble (code TEXT NOT NULL); \
         INSERT INTO trouble VALUES ('00000'); \
         CREATE FUNCTION fail() RETURNS TRIGGER LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION USING ERRCODE = (SELECT code FROM trouble); END $$; \
         CREATE TRIGGER trouble BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    .await;
    let mut spy = PgConnection::connect(home.url()).await.unwrap();
    let cases = [
        // A value that is too long, that is no text, a constraint, one key twice, a row that no page holds.
        ("22001", true),
        ("22021", true),
        ("23514", true),
        ("21000", true),
        ("54000", true),
        // Serialization, a deadlock, a lock, a full disk, memory, shutdowns, a standby, rights, a table, corruption.
        ("40001", false),
        ("40P01", false),
        ("55P03", false),
        ("53100", false),
        ("53200", false),
        ("57014", false),
        ("57P01", false),
        ("25006", false),
        ("42501", false),
        ("42P01", false),
        ("XX001", false),
    ];
    for (code, is_refused) in cases {
        let set = sqlx::query("UPDATE trouble SET code = $1").bind(code);
        set.execute(&mut spy).await.unwrap();
        let batch = store.batch(&[created(1, "")]);
        match store.store.apply(batch).await {
            Err(StoreError::Refused(_)) => assert!(is_refused, "{code}"),
            Err(StoreError::Away(_)) => assert!(!is_refused, "{code}"),
            other => panic!("{code}: {other:?}"),
        }
    }
    home.run("DROP TRIGGER trouble ON messages").await;
    store.write(&[created(1, "")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_given_up_is_done_by_the_next() {
    let home = Home::postgres();
    let store = home.store().await;
    home.run(
        "DELETE FROM _sqlx_migrations WHERE version >= 2; \
         DROP TABLE login_guilds, revocations, removals, erased_users, filled_channels; \
         ALTER TABLE messages DROP COLUMN reactions, DROP COLUMN reactions_guard",
    )
    .await;
    assert!(!store.is_migrated().await.unwrap());
    // Whoever reads the table holds the migration up.
    let mut reader = PgConnection::connect(home.url()).await.unwrap();
    reader
        .execute("BEGIN; SELECT id FROM messages")
        .await
        .unwrap();
    let given_up = tokio::time::timeout(Duration::from_secs(1), store.migrate()).await;
    assert!(given_up.is_err(), "{given_up:?}");
    assert!(!store.is_migrated().await.unwrap());
    reader.execute("COMMIT").await.unwrap();
    store.migrate().await.unwrap();
    assert!(store.is_migrated().await.unwrap());
    assert_eq!(store.revocations(0).await.unwrap(), []);
    let page = store.page(channel_id(CHANNEL), None, 1).await.unwrap();
    assert_eq!(page.messages, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_later_version_is_refused() {
    let home = Home::postgres();
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
        "postgres://user:secret@127.0.0.1",
        "postgresql://user:secret@127.0.0.1/",
    ] {
        let refused = Store::open(url).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
        assert!(!format!("{refused} {refused:?}").contains("secret"));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_away() {
    let away = Store::open("postgres://user:secret@127.0.0.1:1/store")
        .await
        .unwrap_err();
    assert!(matches!(away, StoreError::Away(_)), "{away:?}");
    assert!(!format!("{away} {away:?}").contains("secret"));
}

#[tokio::test]
async fn both_schemes_name_the_same() {
    let url = Home::postgres_url();
    let store = Store::open(&url.replacen("postgres:", "postgresql:", 1))
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
