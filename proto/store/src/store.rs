//! The store itself: one handle, cheap to clone, over a pool of connections.
//!
//! Each call is one statement or one transaction; a reader's answer is one snapshot and says which position
//! it was taken at. Cancelling a call rolls it back; only a commit that was under way may have happened.

mod erasing;
mod filling;

use std::time::Duration;

use crate::batch::Batch;
use crate::database::{self, Database, query, within};
use crate::directory::{self, DirectorySnapshot};
use crate::error::StoreError;
use crate::history::{self, Page};
use crate::login;
use crate::position::{self, Position};
use crate::removal;
use crate::retention::Cut;
use crate::revocation::{self, Revocation};
use proto::event::{Channel, Member, Message, Reaction, ReactionMark};
use proto::id::{ChannelId, GuildId, MessageId, UserId};

/// How long a call may take, the wait for a connection included: several times what a busy database needs.
const CALL_MAX: Duration = Duration::from_secs(10);

/// How long a batch may take: thousands of statements, each a way to another machine and back.
const BATCH_MAX: Duration = Duration::from_secs(30);

/// How long the whole directory may take: some hundred megabytes where the bot is in thousands of guilds.
const DIRECTORY_MAX: Duration = Duration::from_secs(30);

/// How long a migration may take, which may have to rewrite every message.
const MIGRATION_MAX: Duration = Duration::from_hours(1);

/// History and directory in SQL.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
}

impl Store {
    /// Opens the database at this address: `sqlite:///path/to/file.db`, which is made if it is missing and may be
    /// open in several processes, `mysql://user:password@host:port/database` (`mariadb://` is the same) or
    /// `postgres://user:password@host:port/database` (`postgresql://` is the same), which exist. A server may be away
    /// now: a warning says so, and each call finds out anew. Makes no tables: see [`Store::migrate`].
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for another scheme, [`StoreError::Refused`] for an address that can't be read or
    /// names no database, [`StoreError::Away`] where a file can't be opened now.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let database = within(CALL_MAX, Database::open(url)).await?;
        Ok(Self { database })
    }

    /// Brings the schema up to date, forward only. Safe to call from several processes at once.
    ///
    /// # Errors
    /// [`StoreError::Migration`] where it can't, or where the schema is newer than this version.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        within(MIGRATION_MAX, self.database.migrate()).await
    }

    /// Whether the schema is as new as this version needs it: what a reader waits for.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn is_migrated(&self) -> Result<bool, StoreError> {
        let newest = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";
        let applied: Result<(Option<i64>,), _> = within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            query(newest).fetch_one(&mut connection).await
        })
        .await;
        match applied {
            Ok((applied,)) => Ok(applied >= self.database.newest_migration()),
            Err(error) if database::is_table_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The position in the newest generation; 0, 0 when new.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn position(&self) -> Result<Position, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            position::read(&mut connection).await
        })
        .await
    }

    /// Starts a generation of the stream at sequence 0, unless it is the present one. A generation that comes
    /// back after another is a new one: its events are applied again, which changes nothing for the worse.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn begin_generation(&self, generation: u64) -> Result<(), StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            position::begin_generation(&mut connection, generation).await
        })
        .await
    }

    /// Says that a generation's stream ends before the position: it has lost a tail that was not on disk, and
    /// gives those sequences again. The position goes back to `to`; what was archived stays.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn rewind(&self, generation: u64, to: u64) -> Result<(), StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            position::rewind(&mut connection, generation, to).await
        })
        .await
    }

    /// Writes a batch and moves the position, both or neither.
    ///
    /// # Errors
    /// [`StoreError::AnotherArchive`] where the position is not `batch.from`. After [`StoreError::Away`] nobody
    /// knows: if the position is at `batch.to` by now, it was written. [`StoreError::Refused`] and
    /// [`StoreError::Corrupt`] stay: find the culprit in two halves of the same events.
    pub async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        within(BATCH_MAX, async {
            let mut write = self.database.begin_write().await?;
            let number = position::advance(&mut write, batch.from, batch.to).await?;
            history::write(&mut write, &batch.messages, number).await?;
            for change in &batch.directory {
                directory::change::apply(&mut write, change, number).await?;
            }
            write.commit().await
        })
        .await
    }

    /// A channel's newest messages, or those before a message (exclusive), at most `limit` of them and at most
    /// [`crate::PAGE_MESSAGES_MAX`]. An unknown channel has none. A reply to a message that was deleted says
    /// whom it answers, and no longer what they had said.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer, [`StoreError::Corrupt`] for a row that can't be read.
    pub async fn page(
        &self,
        channel: ChannelId,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<Page, StoreError> {
        within(CALL_MAX, async {
            let mut read = self.database.begin_read().await?;
            let position = position::read(&mut read).await?;
            let (messages, has_more) = history::page(&mut read, channel, before, limit).await?;
            read.commit().await?;
            Ok(Page {
                messages,
                has_more,
                position,
            })
        })
        .await
    }

    /// One message, as [`Store::page`] shows it; none where it is unknown, deleted or another channel's.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer, [`StoreError::Corrupt`] for a row that can't be read.
    pub async fn message(
        &self,
        channel: ChannelId,
        id: MessageId,
    ) -> Result<Option<Message>, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            history::message(&mut connection, channel, id).await
        })
        .await
    }

    /// Whether a message is known to be deleted, in whichever channel.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn is_deleted(&self, id: MessageId) -> Result<bool, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            history::is_deleted(&mut connection, id).await
        })
        .await
    }

    /// The newest message of all channels, deleted ones included; none where there is none.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn newest_message(&self) -> Result<Option<MessageId>, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            history::newest(&mut connection).await
        })
        .await
    }

    /// A message's reactions, and the last dispatch that is counted in, if they were counted one by one; none
    /// where [`Store::message`] finds none.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer, [`StoreError::Corrupt`] for a row that can't be read.
    pub async fn reactions(
        &self,
        channel: ChannelId,
        id: MessageId,
    ) -> Result<Option<(Vec<Reaction>, Option<ReactionMark>)>, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            history::reactions(&mut connection, channel, id).await
        })
        .await
    }

    /// One channel or thread of the directory; none where it is unknown.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer, [`StoreError::Corrupt`] for a row that can't be read.
    pub async fn channel(
        &self,
        guild: GuildId,
        channel: ChannelId,
    ) -> Result<Option<Channel>, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            directory::change::channel(&mut connection, guild, channel.get()).await
        })
        .await
    }

    /// The whole directory.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer, [`StoreError::Corrupt`] for a row that can't be read.
    pub async fn directory(&self) -> Result<DirectorySnapshot, StoreError> {
        within(DIRECTORY_MAX, async {
            let mut read = self.database.begin_read().await?;
            let position = position::read(&mut read).await?;
            let guilds = directory::read(&mut read).await?;
            let unfinished = directory::unfinished(&mut read).await?;
            read.commit().await?;
            Ok(DirectorySnapshot {
                position,
                guilds,
                unfinished,
            })
        })
        .await
    }

    /// One member; none where it was never met or has left.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer, [`StoreError::Corrupt`] for a row that can't be read.
    pub async fn member(&self, guild: GuildId, user: UserId) -> Result<Option<Member>, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            directory::member(&mut connection, guild, user).await
        })
        .await
    }

    /// Revokes what `key` names: a token, or with `not_before_ms` (milliseconds since 1970) a user's tokens that
    /// were issued before. It is remembered until `until_ms`. A second time widens the first.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer, [`StoreError::KeyTooLong`] for a key of more than
    /// [`crate::REVOCATION_KEY_BYTES_MAX`] bytes.
    pub async fn revoke(
        &self,
        key: &str,
        until_ms: i64,
        not_before_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            revocation::write(&mut connection, key, until_ms, not_before_ms).await
        })
        .await
    }

    /// What is revoked at `now_ms` (milliseconds since 1970), ascending by key. What has expired is removed.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn revocations(&self, now_ms: i64) -> Result<Vec<Revocation>, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            revocation::read(&mut connection, now_ms).await
        })
        .await
    }

    /// Keeps the guilds that a user's login listed at `at_ms` (milliseconds since 1970), instead of those before.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn set_login_guilds(
        &self,
        user: UserId,
        guilds: &[GuildId],
        at_ms: i64,
    ) -> Result<(), StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            login::write(&mut connection, user, guilds, at_ms).await
        })
        .await
    }

    /// The guilds that a user's last login listed, and when that was (milliseconds since 1970).
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer.
    pub async fn login_guilds(
        &self,
        user: UserId,
    ) -> Result<Option<(Vec<GuildId>, i64)>, StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            login::read(&mut connection, user).await
        })
        .await
    }

    /// Removes messages that were posted before `before_ms` and tombstones of deletions before
    /// `tombstones_before_ms` (milliseconds since 1970), oldest first, at most `most` rows; tells how many went. Each
    /// batch of 1,000 is a call of its own, between which others write.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer; what went before is gone.
    pub async fn prune(
        &self,
        before_ms: i64,
        tombstones_before_ms: i64,
        most: u64,
    ) -> Result<u64, StoreError> {
        let mut cut = Cut::new(before_ms, tombstones_before_ms);
        let mut removed = 0;
        while removed < most {
            let batch = within(CALL_MAX, async {
                let mut connection = self.database.acquire().await?;
                cut.prune(&mut connection, most - removed).await
            });
            let Some(rows) = batch.await? else {
                break;
            };
            removed += rows;
            // Whoever waits for a connection goes first.
            tokio::task::yield_now().await;
        }
        Ok(removed)
    }

    /// Removes messages of channels that were deleted and of guilds that were left, at most `most`; tells how many
    /// went. Each batch of 1,000 is a call of its own, between which others write.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the database does not answer; what went before is gone.
    pub async fn sweep_removed(&self, most: u64) -> Result<u64, StoreError> {
        let mut removed = 0;
        while removed < most {
            let batch = within(CALL_MAX, async {
                let mut connection = self.database.acquire().await?;
                removal::sweep(&mut connection, most - removed).await
            });
            let Some(rows) = batch.await? else {
                break;
            };
            removed += rows;
            // Whoever waits for a connection goes first.
            tokio::task::yield_now().await;
        }
        Ok(removed)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Away`] where it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        within(CALL_MAX, async {
            let mut connection = self.database.acquire().await?;
            query("SELECT 1").execute(&mut connection).await?;
            Ok(())
        })
        .await
    }

    /// Closes all connections, of every clone, once their calls have ended. Later calls fail.
    pub async fn close(&self) {
        self.database.close().await;
    }
}
