//! Why a call on the store failed, sorted by what the caller does about it.

use sqlx::migrate::MigrateError;

use crate::database;

/// Why a call on the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, busy, out of room or broken: worth a retry. After a failed [`crate::Store::apply`] the
    /// outcome is unknown: read the position first.
    #[error("the database is away or busy")]
    Away(#[source] sqlx::Error),
    /// The position is not where this archive left it: another one is alive. Nothing was written; stop.
    #[error("another archive has moved the position")]
    AnotherArchive,
    /// The database refuses it, today and tomorrow.
    #[error("the database refuses the call")]
    Refused(#[source] sqlx::Error),
    /// A row does not hold what its table promises.
    #[error("a row of {table} is corrupt")]
    Corrupt {
        /// Where it was found.
        table: &'static str,
        /// What its bytes lack.
        #[source]
        source: prost::DecodeError,
    },
    /// No database of this kind is supported.
    #[error("no store for the scheme {scheme:?}")]
    Unsupported {
        /// The address's scheme; the rest may hold a password.
        scheme: String,
    },
    /// The schema could not be brought up to date, or is newer than this version.
    #[error("the schema can't be migrated")]
    Migration(#[source] MigrateError),
    /// A revocation's key is longer than [`crate::REVOCATION_KEY_BYTES_MAX`].
    #[error("the revocation's key is too long")]
    KeyTooLong,
    /// The generation's number or the sequence is beyond what a guard holds.
    #[error("the position is beyond what a guard holds")]
    Overflow,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let is_away = match &error {
            sqlx::Error::Database(answer) => !database::is_rows_fault(answer.as_ref()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => true,
            _ => false,
        };
        if is_away {
            Self::Away(error)
        } else {
            Self::Refused(error)
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(cause) => match Self::from(cause) {
                Self::Refused(cause) => Self::Migration(MigrateError::Execute(cause)),
                away => away,
            },
            other => Self::Migration(other),
        }
    }
}
