//! Where the store lives in a test, and an archive that writes to it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use proto::envelope::Opened;
use sqlx::{Connection as _, MySqlConnection, SqliteConnection};
use store::{Batch, Position, Store};
use tempfile::TempDir;

use crate::mariadb_server::MariaDb;

/// The generation of most tests' streams.
pub(crate) const GENERATION: u64 = u64::MAX - 6;

/// One server for all tests of a process, each with a database of its own.
static SERVER: LazyLock<MariaDb> = LazyLock::new(MariaDb::start);

/// A database of one test's own; it goes with the value, or with the process.
pub(crate) struct Home {
    url: String,
    _folder: Option<TempDir>,
}

impl Home {
    /// SQLite in a file.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/store.db", folder.path().display());
        Self {
            url,
            _folder: Some(folder),
        }
    }

    /// MariaDB.
    pub(crate) fn mariadb() -> Self {
        Self {
            url: Self::mariadb_url(),
            _folder: None,
        }
    }

    /// A new database of the server that the tests share.
    pub(crate) fn mariadb_url() -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        SERVER.url(&format!("store_{number}"))
    }

    /// Another handle, as another process would have it.
    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.url).await.unwrap()
    }

    /// Runs a statement behind the store's back.
    pub(crate) async fn run(&self, statement: &'static str) {
        if self.url.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            let outcome = sqlx::raw_sql(statement).execute(&mut connection).await;
            outcome.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = MySqlConnection::connect(&self.url).await.unwrap();
            let outcome = sqlx::raw_sql(statement).execute(&mut connection).await;
            outcome.unwrap();
            connection.close().await.unwrap();
        }
    }

    /// A handle on a migrated database.
    pub(crate) async fn store(&self) -> Store {
        let store = self.open().await;
        store.migrate().await.unwrap();
        store
    }

    /// An archive at the beginning of its stream, on a handle of its own.
    pub(crate) async fn archive(&self) -> Archive {
        let store = self.store().await;
        store.begin_generation(GENERATION).await.unwrap();
        let position = store.position().await.unwrap();
        Archive { store, position }
    }
}

/// Writes events as the stream's next ones.
pub(crate) struct Archive {
    pub(crate) store: Store,
    pub(crate) position: Position,
}

impl Archive {
    /// The next events as a batch, unwritten.
    pub(crate) fn batch(&self, events: &[Opened]) -> Batch {
        let mut batch = Batch::new(self.position);
        for (sequence, event) in (self.position.sequence + 1..).zip(events) {
            batch.push(sequence, event);
        }
        batch
    }

    /// Writes the next events in one batch.
    pub(crate) async fn write(&mut self, events: &[Opened]) {
        let batch = self.batch(events);
        let sequence = batch.to;
        self.store.apply(batch).await.unwrap();
        self.position.sequence = sequence;
    }

    /// Writes the next events in a batch each.
    pub(crate) async fn write_one_by_one(&mut self, events: &[Opened]) {
        for event in events {
            self.write(std::slice::from_ref(event)).await;
        }
    }

    /// Goes on with another stream, at its beginning.
    pub(crate) async fn begin_generation(&mut self, generation: u64) {
        self.store.begin_generation(generation).await.unwrap();
        self.position = Position {
            generation,
            sequence: 0,
        };
    }
}
