//! The store's calls for messages that were posted before anybody listened.

use proto::event::Message;
use proto::id::{ChannelId, GuildId};

use super::{CALL_MAX, Store};
use crate::database::within;
use crate::error::StoreError;
use crate::history;

impl Store {
    /// Whether a channel's messages of before anybody listened were put here, as far as they are wanted.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn is_filled(&self, channel: ChannelId) -> Result<bool, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            history::fill::is_filled(&mut connection, channel).await
        })
        .await
    }

    /// Puts messages into a channel that were posted before anybody listened, below everything that the stream says:
    /// a row that is there stays, and any event outranks one that is made. The channel counts as filled from then on
    /// (`at_ms`, milliseconds since 1970).
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer: nothing was written, or all.
    pub async fn fill(
        &self,
        guild: GuildId,
        channel: ChannelId,
        messages: &[Message],
        at_ms: i64,
    ) -> Result<(), StoreError> {
        within(CALL_MAX, async {
            let mut write = self.database.begin_write().await?;
            history::fill::fill(&mut write, guild, channel, messages, at_ms).await?;
            write.commit().await
        })
        .await
    }
}
