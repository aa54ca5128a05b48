//! The store's calls for erasing a user on request.

use proto::id::{MessageId, UserId};

use super::{BATCH_MAX, CALL_MAX, Store};
use crate::database::within;
use crate::erasure::{self, Found, Place, Step, Trail};
use crate::error::StoreError;

impl Store {
    /// Writes a user down as erased, from `at_ms` on (milliseconds since 1970): nothing that they write is to be
    /// mirrored. Tells since when they are, which a second time does not change.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn add_erased_user(&self, user: UserId, at_ms: i64) -> Result<i64, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            erasure::add(&mut connection, user, at_ms).await
        })
        .await
    }

    /// Everybody who was erased, ascending.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn erased_users(&self) -> Result<Vec<UserId>, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            erasure::all(&mut connection).await
        })
        .await
    }

    /// The living messages of the trail's user among the next 1,000 rows, of which the trail learns. Begin after 0.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer, [`StoreError::Corrupt`] for a row that can't be read.
    pub async fn own_messages(
        &self,
        trail: &mut Trail,
        after: i64,
    ) -> Result<Step<Place>, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            erasure::own(&mut connection, trail, after).await
        })
        .await
    }

    /// Takes what others' messages tell of the trail's user out of the next 1,000 rows. A row that an event changes
    /// meanwhile stays as that has it. Begin after 0.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer, [`StoreError::Corrupt`] for a row that can't be read.
    pub async fn forget_quotes(
        &self,
        trail: &mut Trail,
        after: i64,
    ) -> Result<Step<(Place, Found)>, StoreError> {
        within(BATCH_MAX, async {
            let mut connection = self.database.acquire().await?;
            erasure::forget(&mut connection, trail, after).await
        })
        .await
    }

    /// Makes these messages tombstones, as deletions that were heard of at `at_ms` would; tells how many were living.
    /// Give it a few thousand at a time.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn bury(&self, messages: &[MessageId], at_ms: i64) -> Result<u64, StoreError> {
        within(BATCH_MAX, async {
            let mut connection = self.database.acquire().await?;
            erasure::bury(&mut connection, messages, at_ms).await
        })
        .await
    }

    /// Forgets what a user is a member of, and what their last login listed; tells how many of each there were.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn forget_user(&self, user: UserId) -> Result<(u64, u64), StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            erasure::forget_user(&mut connection, user).await
        })
        .await
    }
}
