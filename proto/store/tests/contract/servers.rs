//! What a database server may do to its store, whichever it is: it dies, halts, locks, goes without a word, and is given
//! addresses and schemas that are not right. What one server alone does is tested in its own file.

use std::time::{Duration, Instant};

use store::{Batch, Position, Store, StoreError};

use crate::events::{CHANNEL, channel_id, created, message, message_id};
use crate::home::{GENERATION, Home};
use crate::mariadb_server::MariaDb;
use crate::postgres_server::Postgres;
use crate::way::way_to;

/// How long a store may take to find its server again.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of one test's own.
pub(crate) trait Server: Sized {
    /// The scheme of its addresses, and the other name of that.
    const SCHEMES: [&'static str; 2];
    /// Locks the position's row until the transaction ends.
    const HOLD: &'static str;
    /// How much [`Server::seen`] grows by what is well into a batch of thousands.
    const WELL_INTO: i64;
    /// A connection of somebody else's.
    type Spy;

    fn start() -> Self;
    fn url(&self, database: &str) -> String;
    fn kill(&mut self);
    fn restart(&mut self);
    fn halt(&self);
    fn go_on(&self);
    /// A database of one test's own on the server that the tests share.
    fn home() -> Home;
    /// Another connection to the store's database.
    async fn spy(&self) -> Self::Spy;
    /// Grows with what is written, also in transactions that are open.
    async fn seen(spy: &mut Self::Spy) -> i64;
    async fn run(spy: &mut Self::Spy, statement: &'static str);
}

/// Runs these cases on each server.
macro_rules! on_every_server {
    ($($name:ident),+ $(,)?) => {
        mod mariadb {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name::<super::MariaDb>().await;
                }
            )+
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name::<super::Postgres>().await;
                }
            )+
        }
    };
}

on_every_server! {
    a_server_that_was_killed_is_away_and_found_again_with_what_it_had,
    a_batch_that_was_cut_by_a_kill_is_written_whole_or_not_at_all,
    a_server_that_halts_is_away_in_time_and_used_again_when_it_goes_on,
    a_lock_that_is_not_given_up_makes_the_store_away_and_a_later_try_succeeds,
    an_archive_that_goes_without_a_word_keeps_no_lock_for_long,
    a_schema_of_a_later_version_is_refused,
    an_address_without_a_database_is_refused_and_never_repeated,
    a_server_that_is_not_there_is_away,
    a_server_that_comes_after_its_clients_is_found,
    both_schemes_name_the_same,
    a_call_that_is_given_up_leaves_nothing_open,
}

/// A server of one test's own, and a migrated store on it.
pub(crate) async fn alone<S: Server>() -> (S, Store) {
    let server = S::start();
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

/// The next event, as a batch.
pub(crate) fn one(from: Position, content: &str) -> Batch {
    let mut batch = Batch::new(from);
    let sequence = from.sequence + 1;
    batch.push(sequence, &created(sequence, content));
    batch
}

async fn a_server_that_was_killed_is_away_and_found_again_with_what_it_had<S: Server>() {
    let (mut server, store) = alone::<S>().await;
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

async fn a_batch_that_was_cut_by_a_kill_is_written_whole_or_not_at_all<S: Server>() {
    let (mut server, store) = alone::<S>().await;
    let mut position = store.position().await.unwrap();
    for _ in 0..3 {
        let writer = store.clone();
        let mut batch = Batch::new(position);
        for sequence in position.sequence + 1..=position.sequence + 5000 {
            batch.push(sequence, &created(sequence, "a row of many"));
        }
        let (from, to) = (position.sequence, batch.to);
        let mut spy = server.spy().await;
        let before = S::seen(&mut spy).await;
        let cut = tokio::spawn(async move { writer.apply(batch).await });
        // Well into the batch: its transaction is open on the server.
        while S::seen(&mut spy).await < before + S::WELL_INTO {}
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

async fn a_server_that_halts_is_away_in_time_and_used_again_when_it_goes_on<S: Server>() {
    let (server, store) = alone::<S>().await;
    server.halt();
    let begin = Instant::now();
    let away = store.position().await;
    assert!(matches!(away, Err(StoreError::Away(_))), "{away:?}");
    assert!(begin.elapsed() < Duration::from_secs(12), "{begin:?}");
    server.go_on();
    assert_eq!(eventually_position(&store).await.generation, GENERATION);
}

async fn a_lock_that_is_not_given_up_makes_the_store_away_and_a_later_try_succeeds<S: Server>() {
    let (server, store) = alone::<S>().await;
    let mut other = server.spy().await;
    S::run(&mut other, S::HOLD).await;
    let from = store.position().await.unwrap();
    let locked = store.apply(one(from, "")).await;
    assert!(matches!(locked, Err(StoreError::Away(_))), "{locked:?}");
    S::run(&mut other, "ROLLBACK").await;
    store.apply(one(from, "")).await.unwrap();
}

async fn an_archive_that_goes_without_a_word_keeps_no_lock_for_long<S: Server>() {
    let (server, store) = alone::<S>().await;
    let from = store.position().await.unwrap();
    let (url, is_cut) = way_to(&server.url("store")).await;
    let gone = Store::open(&url).await.unwrap();
    let mut batch = Batch::new(from);
    for sequence in 1..=5000 {
        batch.push(sequence, &created(sequence, "a row of many"));
    }
    let mut spy = server.spy().await;
    let before = S::seen(&mut spy).await;
    let going = tokio::spawn(async move { gone.apply(batch).await });
    while S::seen(&mut spy).await < before + S::WELL_INTO {}
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

async fn a_schema_of_a_later_version_is_refused<S: Server>() {
    let home = S::home();
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

async fn an_address_without_a_database_is_refused_and_never_repeated<S: Server>() {
    let [scheme, other] = S::SCHEMES;
    for url in [
        format!("{scheme}://user:secret@127.0.0.1"),
        format!("{other}://user:secret@127.0.0.1/"),
    ] {
        let refused = Store::open(&url).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
        assert!(!format!("{refused} {refused:?}").contains("secret"));
    }
}

async fn a_server_that_is_not_there_is_away<S: Server>() {
    let url = format!("{}://user:secret@127.0.0.1:1/store", S::SCHEMES[1]);
    let store = Store::open(&url).await.unwrap();
    let away = store.position().await.unwrap_err();
    assert!(matches!(away, StoreError::Away(_)), "{away:?}");
    assert!(!format!("{away} {away:?}").contains("secret"));
}

async fn a_server_that_comes_after_its_clients_is_found<S: Server>() {
    let (server, _store) = alone::<S>().await;
    let (url, is_cut) = way_to(&server.url("store")).await;
    is_cut.send_replace(true);
    let store = Store::open(&url).await.unwrap();
    let away = store.position().await;
    assert!(matches!(away, Err(StoreError::Away(_))), "{away:?}");
    is_cut.send_replace(false);
    let position = eventually_position(&store).await;
    assert_eq!(position.generation, GENERATION);
    // What the server takes at once is known, as on every other connection.
    store.apply(one(position, "a row")).await.unwrap();
}

async fn both_schemes_name_the_same<S: Server>() {
    let home = S::home();
    let (url, [scheme, other]) = (home.url(), S::SCHEMES);
    let store = Store::open(&url.replacen(scheme, other, 1)).await.unwrap();
    store.migrate().await.unwrap();
    assert!(Store::open(url).await.unwrap().is_migrated().await.unwrap());
}

async fn a_call_that_is_given_up_leaves_nothing_open<S: Server>() {
    let (_server, store) = alone::<S>().await;
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
