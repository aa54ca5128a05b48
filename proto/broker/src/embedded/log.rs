//! The log's file: its tables and every statement on them.
//!
//! Each function is one statement or a few within the caller's transaction. It knows nothing of tasks,
//! feeds or who asks.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use proto::{Subject, TraceParent};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{SqliteConnection, SqlitePool};

use crate::broker::{Catchup, LEASE_TTL, Publication, Stored, StreamState};

/// How long a statement waits for another connection's write.
const BUSY: Duration = Duration::from_secs(4);

/// About how many payload bytes one read returns.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a row costs in the file beside its payload: two index entries, the row's head and its texts.
const ROW_BYTES: u64 = 160;

/// `AUTOINCREMENT` keeps the last number given when all rows are gone; a rolled-back insert gives its number
/// back, so numbers have no holes but those that trimming makes.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL,
    identity TEXT NOT NULL,
    trace TEXT,
    payload BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_subject ON events (subject, sequence);
CREATE INDEX IF NOT EXISTS events_by_identity ON events (identity, sequence);
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS lease (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    owner TEXT NOT NULL,
    revision INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS value (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
";

/// How to connect to the file. `NORMAL` syncs at checkpoints: a crash of the process loses nothing, a
/// failure of the power perhaps the last moments, which decisions.md ("Acknowledged is not fsynced") accepts.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY)
}

/// Makes the tables, and the generation of a new log. Returns the generation that the file has.
pub(super) async fn prepare(
    connection: &mut SqliteConnection,
    generation_if_new: u64,
) -> sqlx::Result<u64> {
    sqlx::raw_sql(SCHEMA).execute(&mut *connection).await?;
    sqlx::query("INSERT INTO log (id, generation, bytes) VALUES (1, ?, 0) ON CONFLICT DO NOTHING")
        .bind(generation_if_new.cast_signed())
        .execute(&mut *connection)
        .await?;
    let generation: i64 = sqlx::query_scalar("SELECT generation FROM log")
        .fetch_one(connection)
        .await?;
    Ok(generation.cast_unsigned())
}

/// What the log says about a publication before it is stored.
pub(super) struct Known {
    /// The sequence of the same identity within the window.
    pub(super) same: Option<u64>,
    /// The last sequence of the subject, 0 if it has none.
    pub(super) last: u64,
}

/// Looks a publication up.
pub(super) async fn look_up(
    connection: &mut SqliteConnection,
    publication: &Publication,
    window_from_ms: u64,
) -> sqlx::Result<Known> {
    let (same, last): (Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT (SELECT sequence FROM events WHERE identity = ? AND stored_ms >= ? ORDER BY sequence DESC LIMIT 1), \
                (SELECT max(sequence) FROM events WHERE subject = ?)",
    )
    .bind(&publication.identity)
    .bind(signed(window_from_ms))
    .bind(publication.subject.to_string())
    .fetch_one(connection)
    .await?;
    Ok(Known {
        same: same.map(i64::cast_unsigned),
        last: last.map_or(0, i64::cast_unsigned),
    })
}

/// Stores a publication and returns its number.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    publication: &Publication,
    now_ms: u64,
) -> sqlx::Result<u64> {
    let sequence: i64 = sqlx::query_scalar(
        "INSERT INTO events (subject, identity, trace, payload, bytes, stored_ms) \
         VALUES (?, ?, ?, ?, ?, ?) RETURNING sequence",
    )
    .bind(publication.subject.to_string())
    .bind(&publication.identity)
    .bind(publication.trace.map(|trace| trace.to_string()))
    .bind(publication.payload.as_ref())
    .bind(signed(row_bytes(
        &publication.identity,
        &publication.payload,
    )))
    .bind(signed(now_ms))
    .fetch_one(connection)
    .await?;
    Ok(sequence.cast_unsigned())
}

/// What an event adds to the log's size.
pub(super) fn row_bytes(identity: &str, payload: &[u8]) -> u64 {
    ROW_BYTES + u64::try_from(identity.len() + payload.len()).unwrap_or(u64::MAX / 2)
}

/// The log's size in bytes.
pub(super) async fn bytes(connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let bytes: i64 = sqlx::query_scalar("SELECT bytes FROM log")
        .fetch_one(connection)
        .await?;
    Ok(bytes.max(0).cast_unsigned())
}

/// Changes the log's size by what was stored or trimmed.
pub(super) async fn add_bytes(connection: &mut SqliteConnection, by: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE log SET bytes = bytes + ?")
        .bind(by)
        .execute(connection)
        .await?;
    Ok(())
}

/// A row at the log's beginning: what trimming looks at.
pub(super) struct HeadRow {
    pub(super) sequence: u64,
    pub(super) bytes: u64,
    pub(super) stored_ms: u64,
}

/// The oldest rows.
pub(super) async fn oldest(
    connection: &mut SqliteConnection,
    rows_max: u32,
) -> sqlx::Result<Vec<HeadRow>> {
    let rows: Vec<(i64, i64, i64)> =
        sqlx::query_as("SELECT sequence, bytes, stored_ms FROM events ORDER BY sequence LIMIT ?")
            .bind(rows_max)
            .fetch_all(connection)
            .await?;
    let rows = rows
        .into_iter()
        .map(|(sequence, bytes, stored_ms)| HeadRow {
            sequence: sequence.cast_unsigned(),
            bytes: bytes.cast_unsigned(),
            stored_ms: stored_ms.cast_unsigned(),
        });
    Ok(rows.collect())
}

/// Removes everything up to a sequence.
pub(super) async fn remove_to(
    connection: &mut SqliteConnection,
    sequence: u64,
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM events WHERE sequence <= ?")
        .bind(signed(sequence))
        .execute(connection)
        .await?;
    Ok(())
}

/// Puts zeros in the place of an event's payload: as many, so that they are written over it.
pub(super) async fn overwrite(
    connection: &mut SqliteConnection,
    sequence: u64,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE events SET payload = zeroblob(length(payload)) WHERE sequence = ?")
        .bind(signed(sequence))
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes one event: what it added to the log's size, if it was there.
pub(super) async fn remove(
    connection: &mut SqliteConnection,
    sequence: u64,
) -> sqlx::Result<Option<u64>> {
    let bytes: Option<i64> =
        sqlx::query_scalar("DELETE FROM events WHERE sequence = ? RETURNING bytes")
            .bind(signed(sequence))
            .fetch_optional(connection)
            .await?;
    Ok(bytes.map(i64::cast_unsigned))
}

/// The log's numbers.
pub(super) async fn state(pool: &SqlitePool, generation: u64) -> sqlx::Result<StreamState> {
    let (first, last): (Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT (SELECT min(sequence) FROM events), \
                (SELECT seq FROM sqlite_sequence WHERE name = 'events')",
    )
    .fetch_one(pool)
    .await?;
    let last = last.map_or(0, i64::cast_unsigned);
    Ok(StreamState {
        generation,
        first: first.map_or(last + 1, i64::cast_unsigned),
        last,
    })
}

type Row = (i64, String, String, Option<String>, Vec<u8>);

/// The last event of a subject.
pub(super) async fn last_of(pool: &SqlitePool, subject: Subject) -> sqlx::Result<Option<Stored>> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT sequence, subject, identity, trace, payload FROM events \
         WHERE subject = ? ORDER BY sequence DESC LIMIT 1",
    )
    .bind(subject.to_string())
    .fetch_optional(pool)
    .await?;
    row.map(stored).transpose()
}

/// Events from a sequence on. What is committed after the read began is left for the next one, so that
/// the answer is complete to exactly the last number that it began with.
pub(super) async fn read(
    pool: &SqlitePool,
    from: u64,
    subject: Option<Subject>,
    events_max: usize,
) -> sqlx::Result<Catchup> {
    let last = state(pool, 0).await?.last;
    let query = match subject {
        Some(subject) => sqlx::query_as::<_, Row>(
            "SELECT sequence, subject, identity, trace, payload FROM events \
             WHERE sequence BETWEEN ? AND ? AND subject = ? ORDER BY sequence",
        )
        .bind(signed(from))
        .bind(signed(last))
        .bind(subject.to_string()),
        None => sqlx::query_as::<_, Row>(
            "SELECT sequence, subject, identity, trace, payload FROM events \
             WHERE sequence BETWEEN ? AND ? ORDER BY sequence",
        )
        .bind(signed(from))
        .bind(signed(last)),
    };
    let mut rows = query.fetch(pool);
    let mut events: Vec<Stored> = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await? {
        let event = stored(row)?;
        let sequence = event.sequence;
        bytes += event.payload.len();
        events.push(event);
        if events.len() >= events_max.max(1) || bytes >= READ_BYTES_MAX {
            return Ok(Catchup {
                events,
                complete_to: sequence,
            });
        }
    }
    Ok(Catchup {
        events,
        complete_to: last,
    })
}

/// A small value.
pub(super) async fn value(pool: &SqlitePool, key: &str) -> sqlx::Result<Option<Bytes>> {
    let value: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM value WHERE key = ?")
        .bind(key)
        .fetch_optional(pool)
        .await?;
    Ok(value.map(Bytes::from))
}

/// Replaces a small value.
pub(super) async fn set_value(
    connection: &mut SqliteConnection,
    key: &str,
    value: &[u8],
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO value (key, value) VALUES (?, ?) \
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .bind(key)
    .bind(value)
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes the lease if nobody else has it; the revision only ever grows.
pub(super) async fn lease_acquire(
    connection: &mut SqliteConnection,
    owner: &str,
    now_ms: u64,
) -> sqlx::Result<Option<u64>> {
    let revision: Option<i64> = sqlx::query_scalar(
        "INSERT INTO lease (id, owner, revision, until_ms) VALUES (1, ?, 1, ?) \
         ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, revision = revision + 1, \
             until_ms = excluded.until_ms \
         WHERE until_ms <= ? OR owner = excluded.owner RETURNING revision",
    )
    .bind(owner)
    .bind(signed(until_ms(now_ms)))
    .bind(signed(now_ms))
    .fetch_optional(connection)
    .await?;
    Ok(revision.map(i64::cast_unsigned))
}

/// Renews the lease of exactly this owner and revision, unless it has ended.
pub(super) async fn lease_renew(
    connection: &mut SqliteConnection,
    owner: &str,
    revision: u64,
    now_ms: u64,
) -> sqlx::Result<Option<u64>> {
    let revision: Option<i64> = sqlx::query_scalar(
        "UPDATE lease SET revision = revision + 1, until_ms = ? \
         WHERE owner = ? AND revision = ? AND until_ms > ? RETURNING revision",
    )
    .bind(signed(until_ms(now_ms)))
    .bind(owner)
    .bind(signed(revision))
    .bind(signed(now_ms))
    .fetch_optional(connection)
    .await?;
    Ok(revision.map(i64::cast_unsigned))
}

/// Ends the lease of this revision.
pub(super) async fn lease_release(
    connection: &mut SqliteConnection,
    revision: u64,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE lease SET until_ms = 0 WHERE revision = ?")
        .bind(signed(revision))
        .execute(connection)
        .await?;
    Ok(())
}

fn until_ms(now_ms: u64) -> u64 {
    now_ms.saturating_add(u64::try_from(LEASE_TTL.as_millis()).unwrap_or(u64::MAX))
}

/// Numbers above 2^63 − 1 do not occur; a caller's nonsense compares as the greatest.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn stored((sequence, subject, identity, trace, payload): Row) -> sqlx::Result<Stored> {
    let subject = subject.parse::<Subject>();
    Ok(Stored {
        sequence: sequence.cast_unsigned(),
        subject: subject.map_err(|error| sqlx::Error::Decode(error.into()))?,
        identity,
        trace: trace.and_then(|text| text.parse::<TraceParent>().ok()),
        payload: Bytes::from(payload),
    })
}
