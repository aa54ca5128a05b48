//! Where the store lives in a test, and an archive that writes to it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use proto::envelope::Opened;
use sqlx::{Connection as _, MySqlConnection, PgConnection, SqliteConnection};
use store::{Position, Store};
use tempfile::TempDir;

use crate::double::Defect;
use crate::mariadb_server::MariaDb;
use crate::postgres_server::Postgres;
use crate::subject::{Run, Subject};

/// The generation of most tests' streams.
pub(crate) const GENERATION: u64 = u64::MAX - 6;

/// One server of a kind for all tests of a process, each with a database of its own.
static MARIADB: LazyLock<MariaDb> = LazyLock::new(MariaDb::start);
static POSTGRES: LazyLock<Postgres> = LazyLock::new(Postgres::start);

/// What makes a database's name its own.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A database's name that no other test has.
fn own_name() -> String {
    format!("store_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A database of one test's own; it goes with the value, or with the process.
pub(crate) struct Home {
    url: String,
    defect: Option<Defect>,
    _folder: Option<TempDir>,
}

impl Home {
    /// SQLite in a file.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/store.db", folder.path().display());
        Self {
            url,
            defect: None,
            _folder: Some(folder),
        }
    }

    /// A double: SQLite with something wrong.
    pub(crate) fn broken(defect: Defect) -> Self {
        Self {
            defect: Some(defect),
            ..Self::sqlite()
        }
    }

    /// MariaDB.
    pub(crate) fn mariadb() -> Self {
        Self {
            url: MARIADB.url(&own_name()),
            defect: None,
            _folder: None,
        }
    }

    /// PostgreSQL.
    pub(crate) fn postgres() -> Self {
        Self {
            url: POSTGRES.url(&own_name()),
            defect: None,
            _folder: None,
        }
    }

    /// Another handle, as another process would have it.
    pub(crate) async fn open(&self) -> Subject {
        Subject::new(Store::open(&self.url).await.unwrap(), self.defect)
    }

    /// Runs a statement behind the store's back.
    pub(crate) async fn run(&self, statement: &'static str) {
        let statement = sqlx::raw_sql(statement);
        match self.url.split(':').next() {
            Some("sqlite") => {
                let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
                statement.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Some("postgres") => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                statement.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            _ => {
                let mut connection = MySqlConnection::connect(&self.url).await.unwrap();
                statement.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// Where it is, for what is asked behind the store's back.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A handle on a migrated database.
    pub(crate) async fn store(&self) -> Subject {
        let store = self.open().await;
        store.migrate().await.unwrap();
        if let Some(defect) = self.defect {
            self.run(defect.sql()).await;
        }
        store
    }

    /// An archive at the beginning of its stream, on a handle of its own.
    pub(crate) async fn archive(&self) -> Archive {
        let store = self.store().await;
        store.begin_generation(GENERATION).await.unwrap();
        let position = store.position().await.unwrap();
        let defect = self.defect;
        Archive {
            store,
            position,
            defect,
        }
    }
}

/// Writes events as the stream's next ones.
pub(crate) struct Archive {
    pub(crate) store: Subject,
    pub(crate) position: Position,
    defect: Option<Defect>,
}

impl Archive {
    /// The next events as a batch, unwritten.
    pub(crate) fn batch(&self, events: &[Opened]) -> Run {
        let events = match self.defect {
            Some(defect) => defect.distort(events),
            None => events.to_vec(),
        };
        let mut batch = self.store.batch(self.position);
        for (sequence, event) in (self.position.sequence + 1..).zip(&events) {
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

    /// Goes on with the same stream, from an earlier place.
    pub(crate) async fn rewind(&mut self, generation: u64, to: u64) {
        self.store.rewind(generation, to).await.unwrap();
        self.position = self.store.position().await.unwrap();
        assert_eq!(self.position.sequence, to);
    }
}
