//! A connection that one call holds, in a transaction or not: the one place where a query meets its database.
//!
//! A transaction that is dropped is rolled back.

use sqlx::mysql::MySqlRow;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, MySql, Postgres, Sqlite, Transaction};

use super::query::{Query, Value};
use super::server::Held;

/// A connection to one of the databases.
pub(crate) enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    SqliteTransaction(Transaction<'static, Sqlite>),
    MySql(Held<MySql>),
    Postgres(Held<Postgres>),
}

/// What a row of any database can be read as.
pub(crate) trait Columns:
    for<'r> FromRow<'r, SqliteRow>
    + for<'r> FromRow<'r, MySqlRow>
    + for<'r> FromRow<'r, PgRow>
    + Send
    + Unpin
{
}

impl<T> Columns for T where
    T: for<'r> FromRow<'r, SqliteRow>
        + for<'r> FromRow<'r, MySqlRow>
        + for<'r> FromRow<'r, PgRow>
        + Send
        + Unpin
{
}

/// Gives a query its values.
macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Integer(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value.map(std::borrow::Cow::into_owned)),
                Value::Text(value) => query.bind(value),
            };
        }
        query
    }};
}

/// Expands one call for each database: `prepare` makes sqlx's query, `call` is what is done with it, and the
/// answer, whose type is the database's own, is turned into one that is not.
macro_rules! on_each {
    ($connection:expr, $query:expr, $prepare:ident $(::<$row:ident>)?, $call:ident => |$answer:ident| $same:expr) => {{
        let bytes = $query.bytes();
        let Query { statement, values } = $query;
        match $connection {
            Connection::Sqlite(held) => {
                let query = sqlx::$prepare::<Sqlite, $($row)?>(statement.sqlite);
                bound!(query, values).$call(&mut **held).await.map(|$answer| $same)
            }
            Connection::SqliteTransaction(held) => {
                let query = sqlx::$prepare::<Sqlite, $($row)?>(statement.sqlite);
                bound!(query, values).$call(&mut **held).await.map(|$answer| $same)
            }
            Connection::MySql(held) => {
                let query = sqlx::$prepare::<MySql, $($row)?>(statement.mysql);
                let connection = held.connection_for(bytes)?;
                let outcome = bound!(query, values).$call(connection).await;
                held.rest();
                outcome.map(|$answer| $same)
            }
            Connection::Postgres(held) => {
                let query = sqlx::$prepare::<Postgres, $($row)?>(statement.numbered());
                let connection = held.connection_for(bytes)?;
                let outcome = bound!(query, values).$call(connection).await;
                held.rest();
                outcome.map(|$answer| $same)
            }
        }
    }};
}

impl Connection {
    /// Runs a query, and tells how many rows it matched.
    pub(super) async fn execute(&mut self, query: Query<'_>) -> Result<u64, sqlx::Error> {
        on_each!(self, query, query, execute => |done| done.rows_affected())
    }

    /// The first row, or none.
    pub(super) async fn fetch_optional<T: Columns>(
        &mut self,
        query: Query<'_>,
    ) -> Result<Option<T>, sqlx::Error> {
        on_each!(self, query, query_as::<T>, fetch_optional => |row| row)
    }

    /// All rows.
    pub(super) async fn fetch_all<T: Columns>(
        &mut self,
        query: Query<'_>,
    ) -> Result<Vec<T>, sqlx::Error> {
        on_each!(self, query, query_as::<T>, fetch_all => |rows| rows)
    }

    /// Ends the transaction, if there is one.
    pub(crate) async fn commit(self) -> Result<(), crate::error::StoreError> {
        match self {
            Self::Sqlite(_) => {}
            Self::SqliteTransaction(transaction) => transaction.commit().await?,
            Self::MySql(held) => held.commit().await?,
            Self::Postgres(held) => held.commit().await?,
        }
        Ok(())
    }
}
