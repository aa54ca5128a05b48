//! Channels that are gone, and their messages with them: the archive writes down which, a sweep follows by batches.
//!
//! A channel may hold a million messages, for which no transaction of the archive could wait. Tombstones stay, for
//! retention to take: they say nothing, and outrank what comes late.

use proto::id::GuildId;

use crate::database::{Connection, Statement, query};
use crate::directory::change::with_threads;
use crate::error::StoreError;
use crate::guard::Guard;
use crate::upsert::upsert;

/// A batch's rows: some ten milliseconds of a lock.
const BATCH_ROWS_MAX: u64 = 1000;

const UPSERT: Statement = upsert!("removals"["channel_id"][]);

/// A channel, and its threads as far as the directory knows them.
const WITH_THREADS: &str = concat!("SELECT id FROM channels WHERE ", with_threads!());

const OF_GUILD: &str = "SELECT id FROM channels WHERE guild_id = ?";

const FIRST: &str = "SELECT channel_id, guard FROM removals ORDER BY channel_id LIMIT 1";

macro_rules! going {
    () => {
        "channel_id = ? AND deleted = 0 AND guard < ?"
    };
}

/// The order names all columns of the index, or MySQL may read all channels along the primary key.
const FIND: &str = concat!(
    "SELECT id FROM messages WHERE ",
    going!(),
    " ORDER BY channel_id, deleted, id LIMIT ?"
);

const DELETE: &str = concat!(
    "DELETE FROM messages WHERE ",
    going!(),
    " AND id >= ? AND id <= ?"
);

/// Not one that the archive has renewed meanwhile.
const FORGET: &str = "DELETE FROM removals WHERE channel_id = ? AND guard = ?";

/// The messages of a channel and its threads are to go, those that are older than this event. Called while the
/// directory still knows them.
pub(crate) async fn add_channel(
    connection: &mut Connection,
    guild: GuildId,
    channel_id: u64,
    guard: Guard,
) -> Result<(), StoreError> {
    let threads: Vec<(i64,)> = query(WITH_THREADS)
        .bind(guild.sql())
        .bind(channel_id.cast_signed())
        .bind(channel_id.cast_signed())
        .fetch_all(connection)
        .await?;
    // A channel that the directory never knew may have messages all the same.
    add(connection, channel_id.cast_signed(), guard).await?;
    for (id,) in threads {
        add(connection, id, guard).await?;
    }
    Ok(())
}

/// The same for all channels of a guild.
pub(crate) async fn add_guild(
    connection: &mut Connection,
    guild: GuildId,
    guard: Guard,
) -> Result<(), StoreError> {
    let channels: Vec<(i64,)> = query(OF_GUILD)
        .bind(guild.sql())
        .fetch_all(connection)
        .await?;
    for (id,) in channels {
        add(connection, id, guard).await?;
    }
    Ok(())
}

async fn add(connection: &mut Connection, id: i64, guard: Guard) -> Result<(), StoreError> {
    query(UPSERT)
        .bind(id)
        .bind(guard.sql())
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes the next batch of at most `most` messages of some channel that is gone: how many, or none where no such
/// channel is left.
pub(crate) async fn sweep(
    connection: &mut Connection,
    most: u64,
) -> Result<Option<u64>, StoreError> {
    let removal: Option<(i64, i64)> = query(FIRST).fetch_optional(connection).await?;
    let Some((channel, guard)) = removal else {
        return Ok(None);
    };
    let ids: Vec<(i64,)> = query(FIND)
        .bind(channel)
        .bind(guard)
        .bind(most.min(BATCH_ROWS_MAX).cast_signed())
        .fetch_all(connection)
        .await?;
    let (Some((first,)), Some((last,))) = (ids.first(), ids.last()) else {
        query(FORGET)
            .bind(channel)
            .bind(guard)
            .execute(connection)
            .await?;
        return Ok(Some(0));
    };
    let removed = query(DELETE)
        .bind(channel)
        .bind(guard)
        .bind(*first)
        .bind(*last)
        .execute(connection)
        .await?;
    Ok(Some(removed))
}
