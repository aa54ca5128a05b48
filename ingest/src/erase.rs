//! Erases a user on request (`ingest erase`): what they wrote, and what others' messages tell of it.
//!
//! It works beside a running ingest or without one: what it finds in SQL and in the stream it takes out of both, and
//! tells the stream, so that every fanout drops it from memory and every archive outranks what is left elsewhere. The
//! leader obeys within seconds, so it sweeps until a sweep finds nothing. It says how much there was, never what.

mod publish;
mod receipt;
mod stream;
mod sweep;

use std::time::Duration;

use broker::{Broker, BrokerError};
use proto::UserId;
use runtime::time::now_ms;
use store::{Store, StoreError};
use tokio::time::sleep;

pub use receipt::{Counts, Receipt};

/// By then a leader has read who is erased, and published what it had decoded before.
const OBEYED: Duration = Duration::from_secs(5);

/// A user who writes as fast as they are erased is not obeyed: something is wrong.
const SWEEPS_MAX: usize = 20;

/// Why a user is not erased, or not wholly: to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// SQL is away.
    #[error("the database can't be read or written")]
    Store(#[from] StoreError),
    /// The broker is away.
    #[error("the stream can't be read or written")]
    Broker(#[from] BrokerError),
    /// Others publish to the same channel all the time, or the outcome stays unknown.
    #[error("the stream did not take an event")]
    Unpublished,
    /// After many sweeps there is still something.
    #[error("the user's messages go on coming: does an older ingest run?")]
    Endless,
}

/// Erases a user. Repeatable: a second time it finds nothing.
///
/// # Errors
/// SQL or the broker is away. Run again, it goes on.
pub async fn erase(
    broker: &dyn Broker,
    store: &Store,
    user: UserId,
) -> Result<Receipt, EraseError> {
    let at_ms = now_ms();
    let since_ms = store.add_erased_user(user, at_ms).await?;
    let mut receipt = Receipt::new(user, at_ms);
    let obeyed_ms = i64::try_from(OBEYED.as_millis()).unwrap_or(i64::MAX);
    let mut is_obeyed = since_ms.saturating_add(obeyed_ms) <= at_ms;
    for _ in 0..SWEEPS_MAX {
        let found = sweep::sweep(broker, store, user).await?;
        receipt.counts += found;
        if found.is_nothing() && is_obeyed {
            return Ok(receipt);
        }
        is_obeyed = true;
        sleep(OBEYED).await;
    }
    Err(EraseError::Endless)
}
