//! SQLite as the store's home: how it is opened, how its transactions begin, and what its error codes mean.
//!
//! A file may be open in several processes at once, one archive and many readers.

use std::str::FromStr;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteError, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::time::Instant;

use super::WAIT_MAX;
use crate::error::StoreError;

/// The schema, forward only.
pub(super) static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// Takes the write lock at once: a transaction that reads first and writes later can't wait for another
/// writer, it fails (<https://www.sqlite.org/lang_transaction.html>).
pub(super) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// In WAL mode everything until the end sees the moment of the first read (<https://www.sqlite.org/isolation.html>).
pub(super) const BEGIN_READ: &str = "BEGIN DEFERRED";

/// Each is a thread; a page takes well under a millisecond, so that a few keep the cores busy.
const CONNECTIONS_MAX: u32 = 4;

/// Between two tries to open a file that another process is just making.
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// `SQLITE_ERROR`: the statement can't be prepared.
const ERROR: u32 = 1;

/// `SQLITE_BUSY`: another connection holds the lock.
const BUSY: u32 = 5;

/// Opens the file, or makes it: a reader may start before the writer.
pub(super) async fn open(url: &str) -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A power cut may take back the last commits, never a part of one: the position goes back with the
        // rows, and the archive reads the stream from there.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(WAIT_MAX)
        // Rows come in the stream's order, a channel perhaps before its guild.
        .foreign_keys(false);
    let pool = SqlitePoolOptions::new().acquire_timeout(WAIT_MAX);
    let pool = if is_in_memory(url) {
        // Without a file there is no WAL, and the last connection takes the rows along: one, for ever.
        pool.max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
    } else {
        pool.max_connections(CONNECTIONS_MAX)
    };
    Ok(connect(pool, options).await?)
}

/// Connects, and again while another process turns the new file to WAL: that one moment the busy timeout
/// does not cover.
async fn connect(
    pool: SqlitePoolOptions,
    options: SqliteConnectOptions,
) -> Result<SqlitePool, sqlx::Error> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(error) if has_code(&error, BUSY) && Instant::now() < deadline => {
                tokio::time::sleep(OPEN_AGAIN_AFTER).await;
            }
            outcome => return outcome,
        }
    }
}

/// One transaction under the write lock: whoever comes second finds the work done.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut write = pool.begin_with(BEGIN_WRITE).await?;
    // `Migrator::run` is the same, but its future can't be sent to another thread.
    MIGRATOR.run_direct(None, &mut *write, false).await?;
    Ok(write.commit().await?)
}

fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

/// TOOBIG, CONSTRAINT, MISMATCH, RANGE.
pub(super) fn is_rows_fault(answer: &dyn DatabaseError) -> bool {
    matches!(result_code(answer), Some(18..=20 | 25))
}

/// The statement can't be prepared.
pub(super) fn is_table_missing(error: &sqlx::Error) -> bool {
    has_code(error, ERROR)
}

fn has_code(error: &sqlx::Error, code: u32) -> bool {
    error
        .as_database_error()
        .is_some_and(|answer| result_code(answer) == Some(code))
}

/// The result code without its extension (<https://www.sqlite.org/rescode.html>), if it is SQLite that answers.
fn result_code(answer: &dyn DatabaseError) -> Option<u32> {
    let answer = answer.try_downcast_ref::<SqliteError>()?;
    let extended: u32 = DatabaseError::code(answer)?.parse().ok()?;
    Some(extended & 0xff)
}
