//! MySQL 8 and MariaDB 10.6 as the store's home: what a session is set to, how the schema is brought up to date, and
//! what the error numbers mean.

use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlPoolOptions};
use sqlx::{Executor as _, MySql, MySqlConnection, MySqlPool};

use super::WAIT_MAX;
use super::server::Server;
use crate::error::StoreError;

/// The schema, forward only. DDL commits by itself, so that a migration may be cut in the middle: each is written
/// so that running it again does no harm.
pub(super) static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("migrations/mysql");
    // The lock is taken below, where it has an end.
    migrator.set_locking(false);
    migrator
});

/// In `InnoDB` a plain read takes the snapshot at its first statement; this takes it at once
/// (<https://dev.mysql.com/doc/refman/8.0/en/innodb-consistent-read.html>).
pub(super) const BEGIN_READ: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// The first statement of a writer locks the position's row, and its first read, which takes the snapshot, comes
/// after that.
pub(super) const BEGIN_WRITE: &str = "START TRANSACTION READ WRITE";

/// A page takes the server well under a millisecond; a server has 151 connections by default, for all instances.
const CONNECTIONS_MAX: u32 = 8;

/// What no server's settings may change: an answer in the snapshot of its transaction, values that do not fit
/// refused instead of cut, no wait for a lock that is longer than a call, and no lock that a machine which has gone
/// without a word holds until TCP notices. MySQL has nothing for the last, and takes it for a comment.
const SESSION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
     SET SESSION autocommit = 1, innodb_lock_wait_timeout = 5, \
     /*M!100300 idle_transaction_timeout = 10, */ \
     sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')";

/// An envelope has at most 1 MiB, a guild's part 256 KiB; the rest of a statement is small.
const PACKET_BYTES_MIN: usize = 2 << 20;

/// What a packet holds beside the values' own bytes: lengths, types, and the values that have no length.
const PACKET_OVERHEAD_BYTES: usize = 1024;

/// How long one process waits for another to migrate.
const MIGRATION_WAIT: Duration = Duration::from_mins(1);

/// One lock for each database of the server, for a lock's name is the server's. At most 64 characters.
const LOCK: &str = "SELECT GET_LOCK(CONCAT('discord-stream.', MD5(DATABASE())), ?)";

/// What a process left that was killed within a migration.
const FORGET_UNFINISHED: &str = "DELETE FROM _sqlx_migrations WHERE success = FALSE";

/// `ER_NO_SUCH_TABLE`.
const NO_SUCH_TABLE: u16 = 1146;

/// `ER_NET_PACKET_TOO_LARGE`, `ER_TRUNCATED_WRONG_VALUE_FOR_FIELD`: the rest has an SQL state that says it.
const ROWS_FAULTS: [u16; 2] = [1153, 1366];

/// Opens a pool, for a server that may be away now.
pub(super) async fn open(url: &str) -> Result<Server<MySql>, StoreError> {
    let options = MySqlConnectOptions::from_str(url)?;
    if options.get_database().is_none_or(str::is_empty) {
        let problem = "the address names no database".into();
        return Err(StoreError::Refused(sqlx::Error::Configuration(problem)));
    }
    let statement_bytes_max = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&statement_bytes_max);
    let pool = MySqlPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(WAIT_MAX)
        .after_connect(move |connection, _| {
            let told = Arc::clone(&told);
            Box::pin(async move { begin_session(connection, &told).await })
        })
        .connect_lazy_with(options);
    let server = Server {
        pool,
        statement_bytes_max,
    };
    Ok(server.greet().await)
}

/// Sets a session, and asks the server what it can take: an operator may have raised it since the last connection.
async fn begin_session(
    connection: &mut MySqlConnection,
    statement_bytes_max: &AtomicUsize,
) -> Result<(), sqlx::Error> {
    connection.execute(SESSION).await?;
    let packet_bytes_max: i64 = sqlx::query_scalar("SELECT CAST(@@max_allowed_packet AS SIGNED)")
        .fetch_one(&mut *connection)
        .await?;
    let packet_bytes_max = usize::try_from(packet_bytes_max).unwrap_or(usize::MAX);
    let bytes_max = packet_bytes_max.saturating_sub(PACKET_OVERHEAD_BYTES);
    let before = statement_bytes_max.swap(bytes_max, Ordering::Relaxed);
    if packet_bytes_max < PACKET_BYTES_MIN && before != bytes_max {
        tracing::warn!(
            packet_bytes_max,
            packet_bytes_min = PACKET_BYTES_MIN,
            "the database refuses large messages: raise max_allowed_packet"
        );
    }
    Ok(())
}

/// One process at a time; whoever comes second finds the work done.
pub(super) async fn migrate(pool: &MySqlPool) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    // However this ends, the lock ends with the connection.
    connection.close_on_drop();
    let seconds = MIGRATION_WAIT.as_secs().cast_signed();
    let locked: Option<i64> = sqlx::query_scalar(LOCK)
        .bind(seconds)
        .fetch_one(&mut *connection)
        .await?;
    if locked != Some(1) {
        return Err(StoreError::Away(sqlx::Error::PoolTimedOut));
    }
    match sqlx::query(FORGET_UNFINISHED)
        .execute(&mut *connection)
        .await
    {
        Err(error) if !is_table_missing(&error) => return Err(error.into()),
        Ok(_) | Err(_) => {}
    }
    MIGRATOR.run_direct(None, &mut *connection, false).await?;
    Ok(connection.close().await?)
}

/// A data exception, a violated constraint, or more than a packet may hold.
pub(super) fn is_rows_fault(answer: &dyn DatabaseError) -> bool {
    let Some(answer) = answer.try_downcast_ref::<MySqlDatabaseError>() else {
        return false;
    };
    let state = answer.code().unwrap_or_default();
    let is_by_state = state.starts_with("22") || state.starts_with("23");
    is_by_state || ROWS_FAULTS.contains(&answer.number())
}

pub(super) fn is_table_missing(error: &sqlx::Error) -> bool {
    let answer = error.as_database_error();
    let answer = answer.and_then(|answer| answer.try_downcast_ref::<MySqlDatabaseError>());
    answer.is_some_and(|answer| answer.number() == NO_SUCH_TABLE)
}
