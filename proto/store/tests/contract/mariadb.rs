//! What is MariaDB's own, and MySQL's: packets, and migrations that are cut in the middle.

use proto::event::Event;
use sqlx::{Connection as _, Executor as _, MySqlConnection};
use store::{Batch, Store, StoreError};

use crate::events::{CHANNEL, channel_id, message, opened};
use crate::home::Home;
use crate::mariadb_server::MariaDb;
use crate::servers::{Server, alone, one};

impl Server for MariaDb {
    const SCHEMES: [&'static str; 2] = ["mysql", "mariadb"];
    const HOLD: &'static str = "START TRANSACTION; UPDATE archive_position SET number = number";
    /// Rows.
    const WELL_INTO: i64 = 100;
    type Spy = MySqlConnection;

    fn start() -> Self {
        MariaDb::start()
    }

    fn url(&self, database: &str) -> String {
        MariaDb::url(self, database)
    }

    fn kill(&mut self) {
        MariaDb::kill(self);
    }

    fn restart(&mut self) {
        MariaDb::restart(self);
    }

    fn halt(&self) {
        MariaDb::halt(self);
    }

    fn go_on(&self) {
        MariaDb::go_on(self);
    }

    fn home() -> Home {
        Home::mariadb()
    }

    /// It sees what is not committed yet.
    async fn spy(&self) -> MySqlConnection {
        let mut spy = MySqlConnection::connect(&self.url("store")).await.unwrap();
        let dirty = "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";
        spy.execute(dirty).await.unwrap();
        spy
    }

    async fn seen(spy: &mut MySqlConnection) -> i64 {
        let rows = sqlx::query_scalar("SELECT COUNT(*) FROM messages");
        rows.fetch_one(spy).await.unwrap()
    }

    async fn run(spy: &mut MySqlConnection, statement: &'static str) {
        spy.execute(statement).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_larger_than_a_packet_is_refused_and_the_others_pass() {
    let (server, store) = alone::<MariaDb>().await;
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
