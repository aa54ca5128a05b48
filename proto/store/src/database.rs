//! The databases that the store can live in, as one: pools, transactions and what an error means.
//!
//! SQL is written once, with `?`; only where the dialects differ has a [`Statement`] a text a database. What is a
//! database's own is in `sqlite.rs`, `mysql.rs` and `postgres.rs`; nothing outside this module knows which one it is.

mod connection;
mod mysql;
mod postgres;
mod query;
mod server;
mod sqlite;

use std::io;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::{MySql, Postgres, SqlitePool};

pub(crate) use self::connection::Connection;
pub(crate) use self::query::{LIST_MAX, Query, Statement, list_marks, query};
use self::server::Server;
use crate::error::StoreError;

/// How long a call waits for a connection, and a writer for another writer. Larger batches commit in far less.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A pool of connections to one database.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Sqlite(SqlitePool),
    MySql(Server<MySql>),
    Postgres(Server<Postgres>),
}

impl Database {
    /// Opens what the address names, by its scheme.
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        match url.split(':').next().unwrap_or_default() {
            "sqlite" => Ok(Self::Sqlite(sqlite::open(url).await?)),
            "mysql" | "mariadb" => Ok(Self::MySql(mysql::open(url).await?)),
            "postgres" | "postgresql" => Ok(Self::Postgres(postgres::open(url).await?)),
            scheme => Err(StoreError::Unsupported {
                scheme: scheme.to_owned(),
            }),
        }
    }

    /// Brings the schema up to date, forward only.
    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(pool) => sqlite::migrate(pool).await,
            Self::MySql(server) => mysql::migrate(&server.pool).await,
            Self::Postgres(server) => postgres::migrate(&server.pool).await,
        }
    }

    /// The version of the newest migration that this version of ours knows.
    pub(crate) fn newest_migration(&self) -> Option<i64> {
        let migrator = match self {
            Self::Sqlite(_) => &sqlite::MIGRATOR,
            Self::MySql(_) => &mysql::MIGRATOR,
            Self::Postgres(_) => &postgres::MIGRATOR,
        };
        migrator.iter().map(|migration| migration.version).max()
    }

    /// A connection for single statements.
    pub(crate) async fn acquire(&self) -> Result<Connection, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => Connection::Sqlite(pool.acquire().await?),
            Self::MySql(server) => Connection::MySql(server.acquire().await?),
            Self::Postgres(server) => Connection::Postgres(server.acquire().await?),
        })
    }

    /// A transaction whose reads all see one moment.
    pub(crate) async fn begin_read(&self) -> Result<Connection, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => {
                Connection::SqliteTransaction(pool.begin_with(sqlite::BEGIN_READ).await?)
            }
            Self::MySql(server) => Connection::MySql(server.begin(mysql::BEGIN_READ).await?),
            Self::Postgres(server) => {
                Connection::Postgres(server.begin(postgres::BEGIN_READ).await?)
            }
        })
    }

    /// A transaction that writes.
    pub(crate) async fn begin_write(&self) -> Result<Connection, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => {
                Connection::SqliteTransaction(pool.begin_with(sqlite::BEGIN_WRITE).await?)
            }
            Self::MySql(server) => Connection::MySql(server.begin(mysql::BEGIN_WRITE).await?),
            Self::Postgres(server) => {
                Connection::Postgres(server.begin(postgres::BEGIN_WRITE).await?)
            }
        })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::MySql(server) => server.pool.close().await,
            Self::Postgres(server) => server.pool.close().await,
        }
    }
}

/// Ends what takes too long: a machine that has gone without a word answers never.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(StoreError::Away(sqlx::Error::Io(
            io::ErrorKind::TimedOut.into(),
        ))),
    }
}

/// Whether a row is what is wrong. Anything else is the database's trouble (busy, full, corrupt, a table that is
/// missing), and no reason to set rows aside one by one.
pub(crate) fn is_rows_fault(answer: &dyn DatabaseError) -> bool {
    sqlite::is_rows_fault(answer) || mysql::is_rows_fault(answer) || postgres::is_rows_fault(answer)
}

/// Whether a statement names a table that is not there. SQLite has one code for every statement that it can't
/// prepare, so ask this only of statements that are right once the table exists.
pub(crate) fn is_table_missing(error: &StoreError) -> bool {
    let (StoreError::Away(error) | StoreError::Refused(error)) = error else {
        return false;
    };
    sqlite::is_table_missing(error)
        || mysql::is_table_missing(error)
        || postgres::is_table_missing(error)
}
