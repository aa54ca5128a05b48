//! What the databases share that are servers: a pool, and a connection for as long as a call holds it.
//!
//! A connection whose call did not end is closed, never used again: after a cut or a call that was given up nobody
//! knows what it still has to say. The server then rolls back what was open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Executor, Pool};
use tokio::time::timeout;

/// How long a server is waited for that may come later.
const FIRST_CONNECTION_PATIENCE: Duration = Duration::from_secs(1);

/// A pool, and the largest statement that its server takes.
#[derive(Debug)]
pub(crate) struct Server<DB: sqlx::Database> {
    pub(super) pool: Pool<DB>,
    /// A server says it to each connection, before anything is sent there.
    pub(super) statement_bytes_max: Arc<AtomicUsize>,
}

// Derived, it would ask for databases that can be cloned.
impl<DB: sqlx::Database> Clone for Server<DB> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            statement_bytes_max: Arc::clone(&self.statement_bytes_max),
        }
    }
}

impl<DB: sqlx::Database> Server<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// Looks whether the server is there. Where it is not, only a warning says why: a service that starts while its
    /// database is away does all that it can without it, and finds it once it is back.
    pub(super) async fn greet(self) -> Self {
        let first = timeout(FIRST_CONNECTION_PATIENCE, self.pool.acquire()).await;
        match first.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the database can't be reached yet"),
        }
        self
    }

    /// A connection for single statements.
    pub(super) async fn acquire(&self) -> Result<Held<DB>, sqlx::Error> {
        Ok(Held {
            connection: self.pool.acquire().await?,
            statement_bytes_max: self.statement_bytes_max.load(Ordering::Relaxed),
            is_in_transaction: false,
            is_at_rest: true,
        })
    }

    /// A connection in a transaction.
    pub(super) async fn begin(&self, statement: &'static str) -> Result<Held<DB>, sqlx::Error> {
        let mut held = self.acquire().await?;
        held.is_in_transaction = true;
        held.is_at_rest = false;
        (&mut *held.connection).execute(statement).await?;
        Ok(held)
    }
}

/// A connection that one call holds.
pub(crate) struct Held<DB: sqlx::Database> {
    connection: PoolConnection<DB>,
    statement_bytes_max: usize,
    is_in_transaction: bool,
    is_at_rest: bool,
}

impl<DB: sqlx::Database> Held<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// The connection for one statement of so many bytes; [`Held::rest`] follows once that has ended. A server cuts
    /// the connection at a statement that is too large, and its reason is often lost: so it is not sent.
    pub(super) fn connection_for(
        &mut self,
        bytes: usize,
    ) -> Result<&mut DB::Connection, sqlx::Error> {
        if bytes > self.statement_bytes_max {
            let problem = "larger than what the server takes at once".into();
            return Err(sqlx::Error::Encode(problem));
        }
        self.is_at_rest = false;
        Ok(&mut self.connection)
    }

    /// A statement has ended, well or not.
    pub(super) fn rest(&mut self) {
        self.is_at_rest = !self.is_in_transaction;
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        if self.is_in_transaction {
            (&mut *self.connection).execute("COMMIT").await?;
            self.is_at_rest = true;
        }
        Ok(())
    }
}

impl<DB: sqlx::Database> Drop for Held<DB> {
    fn drop(&mut self) {
        if !self.is_at_rest {
            self.connection.close_on_drop();
        }
    }
}
