//! A guild's snapshot: it comes as a beginning, parts and an end, and takes effect at its end or not at all.
//!
//! What has come is kept in the database, for the parts may lie in several batches and an archive may
//! be restarted between two of them. Parts of another version are ignored, and a snapshot that lacks
//! something changes nothing: half a snapshot would remove the other half's channels.

use std::collections::HashSet;

use prost::Message as _;
use proto::event::{Channel, Guild, GuildSnapshotBegin, GuildSnapshotEnd, GuildSnapshotPart};
use proto::id::GuildId;

use super::{change, decode};
use crate::database::{Connection, Statement, query};
use crate::error::StoreError;
use crate::guard::Guard;
use crate::upsert::upsert;

const UPSERT_BEGIN: Statement = upsert!("snapshots"["guild_id"]["body"]);

/// Starts a snapshot; what an earlier one left unfinished goes.
pub(super) async fn begin(
    connection: &mut Connection,
    guild: GuildId,
    begin: &GuildSnapshotBegin,
    guard: Guard,
) -> Result<(), StoreError> {
    forget(connection, guild).await?;
    query(UPSERT_BEGIN)
        .bind(guild.sql())
        .bind(begin.encode_to_vec())
        .bind(guard.sql())
        .execute(connection)
        .await?;
    Ok(())
}

/// Keeps a part of the snapshot that has begun.
pub(super) async fn part(
    connection: &mut Connection,
    guild: GuildId,
    part: &GuildSnapshotPart,
    guard: Guard,
) -> Result<(), StoreError> {
    if begun(connection, guild, &part.version).await?.is_none() {
        return Ok(());
    }
    query("INSERT INTO snapshot_parts (guild_id, guard, body) VALUES (?, ?, ?)")
        .bind(guild.sql())
        .bind(guard.sql())
        .bind(part.encode_to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Replaces the guild, its roles and its channels, if all parts are there.
pub(super) async fn end(
    connection: &mut Connection,
    guild: GuildId,
    end: &GuildSnapshotEnd,
    guard: Guard,
) -> Result<(), StoreError> {
    let Some(begin) = begun(connection, guild, &end.version).await? else {
        return Ok(());
    };
    let whole = gather(connection, guild).await?;
    forget(connection, guild).await?;
    if !is_complete(&begin, &whole) {
        tracing::warn!(%guild, version = begin.version, "a guild's snapshot lacks parts and is ignored");
        return Ok(());
    }
    replace(
        connection,
        guild,
        &begin.guild.unwrap_or_default(),
        &whole,
        guard,
    )
    .await
}

/// Drops what has come of a guild's snapshot.
pub(super) async fn forget(connection: &mut Connection, guild: GuildId) -> Result<(), StoreError> {
    let statements = [
        "DELETE FROM snapshots WHERE guild_id = ?",
        "DELETE FROM snapshot_parts WHERE guild_id = ?",
    ];
    for statement in statements {
        query(statement)
            .bind(guild.sql())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The beginning of this version's snapshot, if that is the one on its way.
async fn begun(
    connection: &mut Connection,
    guild: GuildId,
    version: &str,
) -> Result<Option<GuildSnapshotBegin>, StoreError> {
    let body: Option<(Vec<u8>,)> = query("SELECT body FROM snapshots WHERE guild_id = ?")
        .bind(guild.sql())
        .fetch_optional(connection)
        .await?;
    let begin: Option<GuildSnapshotBegin> =
        body.map(|(body,)| decode("snapshots", body)).transpose()?;
    Ok(begin.filter(|begin| begin.version == version))
}

/// All parts in one; as large as the guild, which every reader holds whole.
async fn gather(
    connection: &mut Connection,
    guild: GuildId,
) -> Result<GuildSnapshotPart, StoreError> {
    let bodies: Vec<(Vec<u8>,)> =
        query("SELECT body FROM snapshot_parts WHERE guild_id = ? ORDER BY guard")
            .bind(guild.sql())
            .fetch_all(connection)
            .await?;
    let mut whole = GuildSnapshotPart::default();
    for (body,) in bodies {
        let part: GuildSnapshotPart = decode("snapshot_parts", body)?;
        whole.roles.extend(part.roles);
        whole.channels.extend(part.channels);
        whole.members.extend(part.members);
    }
    Ok(whole)
}

fn is_complete(begin: &GuildSnapshotBegin, whole: &GuildSnapshotPart) -> bool {
    let announced = [begin.roles, begin.channels, begin.members];
    let arrived = [whole.roles.len(), whole.channels.len(), whole.members.len()];
    begin.guild.is_some() && announced.map(u64::from) == arrived.map(|count| count as u64)
}

async fn replace(
    connection: &mut Connection,
    guild: GuildId,
    state: &Guild,
    whole: &GuildSnapshotPart,
    guard: Guard,
) -> Result<(), StoreError> {
    let kept = archived_threads(connection, guild, whole).await?;
    let statements = [
        "DELETE FROM roles WHERE guild_id = ?",
        "DELETE FROM channels WHERE guild_id = ?",
    ];
    for statement in statements {
        query(statement)
            .bind(guild.sql())
            .execute(&mut *connection)
            .await?;
    }
    change::upsert_guild(connection, guild, state, guard).await?;
    for role in &whole.roles {
        change::upsert_role(connection, guild, role, guard).await?;
    }
    for channel in whole.channels.iter().chain(&kept) {
        change::upsert_channel(connection, guild, channel, guard).await?;
    }
    for member in &whole.members {
        change::upsert_member(connection, guild, member, guard).await?;
    }
    Ok(())
}

/// Threads that are known and archived, which a snapshot does not list.
async fn archived_threads(
    connection: &mut Connection,
    guild: GuildId,
    whole: &GuildSnapshotPart,
) -> Result<Vec<Channel>, StoreError> {
    let threads = "SELECT body FROM channels WHERE guild_id = ? AND kind IN (10, 11, 12)";
    let bodies: Vec<(Vec<u8>,)> = query(threads)
        .bind(guild.sql())
        .fetch_all(connection)
        .await?;
    let listed: HashSet<u64> = whole.channels.iter().map(|channel| channel.id).collect();
    let threads = bodies.into_iter().map(|(body,)| decode("channels", body));
    let threads: Vec<Channel> = threads.collect::<Result<_, _>>()?;
    let lists = |id| listed.contains(&id);
    let kept = threads.into_iter();
    Ok(kept.filter_map(|one| one.after_snapshot(lists)).collect())
}
