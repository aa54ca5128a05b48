//! Revocations in SQL: which tokens no longer count although they have not expired.
//!
//! A row is written by the service that ends a session and read by every service that checks one. It refuses to
//! know what a key is made of.

use crate::database::{Connection, Statement, query};
use crate::error::StoreError;

/// The longest key, in bytes: an index of MySQL holds it whole. Longer names are for the caller to hash.
pub const REVOCATION_KEY_BYTES_MAX: usize = 512;

/// What is revoked, and until when that has to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// A token's name, or a user's.
    pub key: String,
    /// From then on none of its tokens is valid anyway (milliseconds since 1970).
    pub until_ms: i64,
    /// Only what was issued before counts as revoked (milliseconds since 1970); all where there is none.
    pub not_before_ms: Option<i64>,
}

/// Revoked twice is revoked until the later end and for all that either names.
const UPSERT: Statement = Statement {
    sqlite: "INSERT INTO revocations (revoked, until_ms, not_before_ms) VALUES (?, ?, ?) \
         ON CONFLICT (revoked) DO UPDATE SET until_ms = MAX(until_ms, excluded.until_ms), \
         not_before_ms = MAX(not_before_ms, excluded.not_before_ms)",
    mysql: "INSERT INTO revocations (revoked, until_ms, not_before_ms) VALUES (?, ?, ?) \
         ON DUPLICATE KEY UPDATE until_ms = GREATEST(until_ms, VALUES(until_ms)), \
         not_before_ms = GREATEST(not_before_ms, VALUES(not_before_ms))",
    postgres: "INSERT INTO revocations (revoked, until_ms, not_before_ms) VALUES (?, ?, ?) \
         ON CONFLICT (revoked) DO UPDATE \
         SET until_ms = GREATEST(revocations.until_ms, excluded.until_ms), \
         not_before_ms = GREATEST(revocations.not_before_ms, excluded.not_before_ms)",
};

const ALL: &str = "SELECT revoked, until_ms, not_before_ms FROM revocations ORDER BY revoked";

const DELETE_EXPIRED: &str = "DELETE FROM revocations WHERE until_ms <= ?";

/// All tokens, whenever they were issued.
const ALL_ISSUED: i64 = i64::MAX;

pub(crate) async fn write(
    connection: &mut Connection,
    key: &str,
    until_ms: i64,
    not_before_ms: Option<i64>,
) -> Result<(), StoreError> {
    if key.len() > REVOCATION_KEY_BYTES_MAX {
        return Err(StoreError::KeyTooLong);
    }
    query(UPSERT)
        .bind(key.as_bytes())
        .bind(until_ms)
        .bind(not_before_ms.unwrap_or(ALL_ISSUED))
        .execute(connection)
        .await?;
    Ok(())
}

/// Those that still count at `now_ms`, ascending by key; the others are removed.
pub(crate) async fn read(
    connection: &mut Connection,
    now_ms: i64,
) -> Result<Vec<Revocation>, StoreError> {
    let rows: Vec<(Vec<u8>, i64, i64)> = query(ALL).fetch_all(&mut *connection).await?;
    let known = rows.len();
    let unexpired: Vec<_> = rows
        .into_iter()
        .filter(|(_, until_ms, _)| *until_ms > now_ms)
        .map(|(key, until_ms, not_before_ms)| Revocation {
            key: String::from_utf8_lossy(&key).into_owned(),
            until_ms,
            not_before_ms: Some(not_before_ms).filter(|from| *from != ALL_ISSUED),
        })
        .collect();
    if unexpired.len() < known {
        query(DELETE_EXPIRED)
            .bind(now_ms)
            .execute(connection)
            .await?;
    }
    Ok(unexpired)
}
