//! Retention in SQL: messages that are too old go, by batches, so that nobody waits long for the table.
//!
//! A message is as old as its id says. A tombstone is as old as its deletion: it has to outlive every event that
//! could bring its message back.

use crate::database::{Connection, query};
use crate::error::StoreError;

/// A batch's rows: some ten milliseconds of a lock.
const BATCH_ROWS_MAX: u64 = 1000;

/// The first moment of Discord's clock, in milliseconds since 1970, and the bits of an id below its time
/// (<https://docs.discord.com/developers/reference#snowflakes>).
const DISCORD_EPOCH_MS: i64 = 1_420_070_400_000;
const ID_BITS_BELOW_TIME: u32 = 22;

macro_rules! too_old {
    () => {
        "((deleted = 0 AND id < ?) OR (deleted = 1 AND timestamp_ms < ?))"
    };
}

const FIND: &str = concat!(
    "SELECT id FROM messages WHERE id > ? AND id < ? AND ",
    too_old!(),
    " ORDER BY id LIMIT ?"
);

const DELETE: &str = concat!(
    "DELETE FROM messages WHERE id >= ? AND id <= ? AND ",
    too_old!()
);

/// What is too old, and how far the search for it has come.
#[derive(Debug)]
pub(crate) struct Cut {
    after: i64,
    messages_below: i64,
    tombstones_before_ms: i64,
}

impl Cut {
    /// Messages of before `before_ms`, and tombstones of deletions before `tombstones_before_ms`.
    pub(crate) fn new(before_ms: i64, tombstones_before_ms: i64) -> Self {
        Self {
            after: 0,
            messages_below: lowest_id(before_ms),
            tombstones_before_ms,
        }
    }

    /// Removes the next batch of at most `most` rows: how many, or none where nothing too old is left.
    pub(crate) async fn prune(
        &mut self,
        connection: &mut Connection,
        most: u64,
    ) -> Result<Option<u64>, StoreError> {
        let most = most.min(BATCH_ROWS_MAX).cast_signed();
        // Nothing is deleted before it was posted.
        let below = self
            .messages_below
            .max(lowest_id(self.tombstones_before_ms));
        let ids: Vec<(i64,)> = query(FIND)
            .bind(self.after)
            .bind(below)
            .bind(self.messages_below)
            .bind(self.tombstones_before_ms)
            .bind(most)
            .fetch_all(connection)
            .await?;
        let (Some((first,)), Some((last,))) = (ids.first(), ids.last()) else {
            return Ok(None);
        };
        let removed = query(DELETE)
            .bind(*first)
            .bind(*last)
            .bind(self.messages_below)
            .bind(self.tombstones_before_ms)
            .execute(connection)
            .await?;
        self.after = *last;
        Ok(Some(removed))
    }
}

/// The lowest id that a message of this moment can have.
fn lowest_id(at_ms: i64) -> i64 {
    let since_epoch = at_ms.saturating_sub(DISCORD_EPOCH_MS).max(0);
    since_epoch.saturating_mul(1 << ID_BITS_BELOW_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::id::MessageId;

    #[test]
    fn the_lowest_id_of_a_moment_was_made_then_and_the_one_below_before() {
        let at_ms = 1_700_000_000_123;
        let id = |number: i64| MessageId::new(number.cast_unsigned()).unwrap();
        let lowest = lowest_id(at_ms);
        assert_eq!(id(lowest).created_ms(), at_ms.cast_unsigned());
        assert_eq!(id(lowest - 1).created_ms(), at_ms.cast_unsigned() - 1);
    }

    #[test]
    fn moments_beyond_the_clock_are_its_ends() {
        assert_eq!(lowest_id(i64::MIN), 0);
        assert_eq!(lowest_id(0), 0);
        assert_eq!(lowest_id(i64::MAX), i64::MAX);
    }
}
