//! PostgreSQL 14 as the store's home: what a session is set to, how the schema is brought up to date, and what the
//! error codes mean.
//!
//! TLS is as `sslmode` in the address says. A pooler between has to leave a session its connection: what is set and
//! prepared belongs to it.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPoolOptions};
use sqlx::{Executor as _, PgPool, Postgres};

use super::WAIT_MAX;
use super::server::Server;
use crate::error::StoreError;

/// The schema, forward only. Each migration is one transaction: cut in the middle, it leaves nothing.
pub(super) static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// All reads see the moment of the first
/// (<https://www.postgresql.org/docs/14/transaction-iso.html#XACT-REPEATABLE-READ>).
pub(super) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// The first statement of a writer moves the position. One that waits there for another writer then looks at the
/// position that this one left, and moves nothing; a stricter level would fail, and say nothing about the position
/// (<https://www.postgresql.org/docs/14/transaction-iso.html#XACT-READ-COMMITTED>).
pub(super) const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE";

/// A page takes the server well under a millisecond; a server has 100 connections by default, for all instances.
const CONNECTIONS_MAX: u32 = 8;

/// What no server's settings may change: no wait for a lock that is longer than a call, no statement that outlives
/// its call for long, and no lock that a machine which has gone without a word holds until TCP notices.
/// Every order that we ask for is one of an index. A plan that sorts is cheaper only by estimates: by the average
/// channel, from which a large one differs, or by those of a table that was small when the plan was made.
const SESSION: &str = "SET lock_timeout = '5s'; SET statement_timeout = '30s'; \
     SET idle_in_transaction_session_timeout = '10s'; \
     SET default_transaction_isolation = 'read committed'; SET enable_sort = off";

/// How long one process waits for another to migrate, or for readers of the table; the migration itself has no limit
/// here.
const MIGRATION_SESSION: &str = "SET lock_timeout = '1min'; SET statement_timeout = 0";

/// A message of the protocol has less than a gibibyte; the rest of a statement is small.
const STATEMENT_BYTES_MAX: usize = (1 << 30) - (1 << 20);

/// `undefined_table` (<https://www.postgresql.org/docs/14/errcodes-appendix.html>).
const NO_SUCH_TABLE: &str = "42P01";

/// `cardinality_violation`, `data_exception`, `integrity_constraint_violation`, `program_limit_exceeded`. Other
/// classes pass: locks, deadlocks, serialization, resources, the operator's doing.
const ROWS_FAULTS: [&str; 4] = ["21", "22", "23", "54"];

/// Opens a pool, for a server that may be away now.
pub(super) async fn open(url: &str) -> Result<Server<Postgres>, StoreError> {
    let options = PgConnectOptions::from_str(url)?;
    if options.get_database().is_none_or(str::is_empty) {
        let problem = "the address names no database".into();
        return Err(StoreError::Refused(sqlx::Error::Configuration(problem)));
    }
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(WAIT_MAX)
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute(SESSION).await.map(|_| ()) })
        })
        .connect_lazy_with(options);
    let server = Server {
        pool,
        statement_bytes_max: Arc::new(AtomicUsize::new(STATEMENT_BYTES_MAX)),
    };
    Ok(server.greet().await)
}

/// One process at a time, by the migrator's lock; whoever comes second finds the work done.
pub(super) async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    // However this ends, the lock and the settings end with the connection.
    connection.close_on_drop();
    connection.execute(MIGRATION_SESSION).await?;
    MIGRATOR.run_direct(None, &mut *connection, false).await?;
    Ok(connection.close().await?)
}

/// A data exception, a violated constraint, or more than a row may hold.
pub(super) fn is_rows_fault(answer: &dyn DatabaseError) -> bool {
    let answer = answer.try_downcast_ref::<PgDatabaseError>();
    answer.is_some_and(|answer| {
        ROWS_FAULTS
            .iter()
            .any(|class| answer.code().starts_with(class))
    })
}

pub(super) fn is_table_missing(error: &sqlx::Error) -> bool {
    let answer = error.as_database_error();
    let answer = answer.and_then(|answer| answer.try_downcast_ref::<PgDatabaseError>());
    answer.is_some_and(|answer| answer.code() == NO_SUCH_TABLE)
}
