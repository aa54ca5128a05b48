//! What is PostgreSQL's own: its error codes, and migrations that are one transaction each.

use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};
use store::StoreError;

use crate::events::{CHANNEL, channel_id, created};
use crate::home::Home;
use crate::postgres_server::Postgres;
use crate::servers::Server;

impl Server for Postgres {
    const SCHEMES: [&'static str; 2] = ["postgres", "postgresql"];
    const HOLD: &'static str = "BEGIN; UPDATE archive_position SET number = number";
    /// Bytes.
    const WELL_INTO: i64 = 50_000;
    type Spy = PgConnection;

    fn start() -> Self {
        Postgres::start()
    }

    fn url(&self, database: &str) -> String {
        Postgres::url(self, database)
    }

    fn kill(&mut self) {
        Postgres::kill(self);
    }

    fn restart(&mut self) {
        Postgres::restart(self);
    }

    fn halt(&self) {
        Postgres::halt(self);
    }

    fn go_on(&self) {
        Postgres::go_on(self);
    }

    fn home() -> Home {
        Home::postgres()
    }

    async fn spy(&self) -> PgConnection {
        PgConnection::connect(&self.url("store")).await.unwrap()
    }

    /// How many bytes of changes the server has logged: those of open transactions too, whose rows nobody sees.
    async fn seen(spy: &mut PgConnection) -> i64 {
        let bytes = "SELECT CAST(pg_current_wal_insert_lsn() - '0/0' AS BIGINT)";
        sqlx::query_scalar(bytes).fetch_one(spy).await.unwrap()
    }

    async fn run(spy: &mut PgConnection, statement: &'static str) {
        spy.execute(statement).await.unwrap();
    }
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
