//! What one event of a guild's directory does to the rows.
//!
//! An event carries the new state of what it names, which replaces the old as it is. A removed row leaves
//! nothing behind: an older event can't bring it back, because the position, moved by compare-and-set in the
//! same transaction, lets no event in twice or out of order. After a new generation of the stream the
//! first event of a guild is its snapshot, which says anew what exists.

use prost::Message as _;
use proto::event::{Channel, Event, Guild, Member, Role, ThreadMembersChanged};
use proto::id::GuildId;

use super::{decode, snapshot};
use crate::batch::DirectoryChange;
use crate::database::{Connection, Statement, query};
use crate::error::StoreError;
use crate::guard::Guard;
use crate::removal;
use crate::upsert::upsert;

const UPSERT_GUILD: Statement = upsert!("guilds"["id"]["body"]);
const UPSERT_ROLE: Statement = upsert!("roles" ["guild_id", "id"] ["body"]);
const UPSERT_MEMBER: Statement = upsert!("members" ["guild_id", "user_id"] ["body"]);
const UPSERT_CHANNEL: Statement =
    upsert!("channels" ["guild_id", "id"] ["parent_id", "kind", "body"]);

/// A channel (bound twice) of a guild, and its threads, which go with it (kinds 10 to 12); a category's channels stay.
macro_rules! with_threads {
    () => {
        "guild_id = ? AND (id = ? OR (parent_id = ? AND kind IN (10, 11, 12)))"
    };
}

pub(crate) use with_threads;

const DELETE_CHANNEL: &str = concat!("DELETE FROM channels WHERE ", with_threads!());

/// Applies one event; `number` is its generation's.
pub(crate) async fn apply(
    connection: &mut Connection,
    change: &DirectoryChange,
    number: i64,
) -> Result<(), StoreError> {
    let guard = Guard::new(number, change.sequence)?;
    let guild = change.guild;
    match &change.event {
        Event::GuildSnapshotBegin(begin) => snapshot::begin(connection, guild, begin, guard).await,
        Event::GuildSnapshotPart(part) => snapshot::part(connection, guild, part, guard).await,
        Event::GuildSnapshotEnd(end) => snapshot::end(connection, guild, end, guard).await,
        Event::GuildUpdated(state) => upsert_guild(connection, guild, state, guard).await,
        Event::GuildRemoved(_) => remove_guild(connection, guild, guard).await,
        Event::ChannelUpserted(channel) => change_channel(connection, guild, channel, guard).await,
        Event::ChannelDeleted(gone) => {
            delete_channel(connection, guild, gone.channel_id, guard).await
        }
        Event::RoleUpserted(role) => upsert_role(connection, guild, role, guard).await,
        Event::RoleDeleted(gone) => {
            let statement = "DELETE FROM roles WHERE guild_id = ? AND id = ?";
            delete_one(connection, statement, guild, gone.role_id).await
        }
        Event::MemberUpserted(member) => upsert_member(connection, guild, member, guard).await,
        Event::MemberRemoved(gone) => {
            let statement = "DELETE FROM members WHERE guild_id = ? AND user_id = ?";
            delete_one(connection, statement, guild, gone.user_id).await
        }
        Event::ThreadMembersChanged(changed) => {
            change_thread_members(connection, guild, changed, guard).await
        }
        // The batch folds these into the history.
        Event::MessageCreated(_)
        | Event::MessageUpdated(_)
        | Event::MessageDeleted(_)
        | Event::ReactionsChanged(_) => Ok(()),
    }
}

pub(super) async fn upsert_guild(
    connection: &mut Connection,
    guild: GuildId,
    state: &Guild,
    guard: Guard,
) -> Result<(), StoreError> {
    query(UPSERT_GUILD)
        .bind(guild.sql())
        .bind(state.encode_to_vec())
        .bind(guard.sql())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn upsert_role(
    connection: &mut Connection,
    guild: GuildId,
    role: &Role,
    guard: Guard,
) -> Result<(), StoreError> {
    query(UPSERT_ROLE)
        .bind(guild.sql())
        .bind(role.id.cast_signed())
        .bind(role.encode_to_vec())
        .bind(guard.sql())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn upsert_channel(
    connection: &mut Connection,
    guild: GuildId,
    channel: &Channel,
    guard: Guard,
) -> Result<(), StoreError> {
    query(UPSERT_CHANNEL)
        .bind(guild.sql())
        .bind(channel.id.cast_signed())
        .bind(channel.parent_id.unwrap_or(0).cast_signed())
        .bind(i64::from(channel.kind))
        .bind(channel.encode_to_vec())
        .bind(guard.sql())
        .execute(connection)
        .await?;
    Ok(())
}

/// A member without a user has no key and is no row.
pub(super) async fn upsert_member(
    connection: &mut Connection,
    guild: GuildId,
    member: &Member,
    guard: Guard,
) -> Result<(), StoreError> {
    let Some(user) = &member.user else {
        return Ok(());
    };
    query(UPSERT_MEMBER)
        .bind(guild.sql())
        .bind(user.id.cast_signed())
        .bind(member.encode_to_vec())
        .bind(guard.sql())
        .execute(connection)
        .await?;
    Ok(())
}

/// The guild's directory goes; its messages are out of reach, and follow.
async fn remove_guild(
    connection: &mut Connection,
    guild: GuildId,
    guard: Guard,
) -> Result<(), StoreError> {
    removal::add_guild(connection, guild, guard).await?;
    let statements = [
        "DELETE FROM guilds WHERE id = ?",
        "DELETE FROM roles WHERE guild_id = ?",
        "DELETE FROM channels WHERE guild_id = ?",
        "DELETE FROM members WHERE guild_id = ?",
        // Should the bot come back, its channels may be filled again.
        "DELETE FROM filled_channels WHERE guild_id = ?",
    ];
    for statement in statements {
        query(statement)
            .bind(guild.sql())
            .execute(&mut *connection)
            .await?;
    }
    snapshot::forget(connection, guild).await
}

async fn delete_channel(
    connection: &mut Connection,
    guild: GuildId,
    channel_id: u64,
    guard: Guard,
) -> Result<(), StoreError> {
    removal::add_channel(connection, guild, channel_id, guard).await?;
    query(DELETE_CHANNEL)
        .bind(guild.sql())
        .bind(channel_id.cast_signed())
        .bind(channel_id.cast_signed())
        .execute(connection)
        .await?;
    Ok(())
}

async fn delete_one(
    connection: &mut Connection,
    statement: &'static str,
    guild: GuildId,
    id: u64,
) -> Result<(), StoreError> {
    query(statement)
        .bind(guild.sql())
        .bind(id.cast_signed())
        .execute(connection)
        .await?;
    Ok(())
}

/// Of a thread that is unknown nothing is kept: its own event brings its members.
async fn change_thread_members(
    connection: &mut Connection,
    guild: GuildId,
    changed: &ThreadMembersChanged,
    guard: Guard,
) -> Result<(), StoreError> {
    let Some(mut thread) = channel(connection, guild, changed.thread_id).await? else {
        return Ok(());
    };
    thread.thread_members.extend(&changed.added);
    thread
        .thread_members
        .retain(|id| !changed.removed.contains(id));
    thread.thread_members.sort_unstable();
    thread.thread_members.dedup();
    upsert_channel(connection, guild, &thread, guard).await
}

/// Discord's update of a thread names no members: those that are known stay.
async fn change_channel(
    connection: &mut Connection,
    guild: GuildId,
    changed: &Channel,
    guard: Guard,
) -> Result<(), StoreError> {
    let mut changed = changed.clone();
    if changed.thread_members.is_empty()
        && let Some(known) = channel(connection, guild, changed.id).await?
    {
        changed.thread_members = known.thread_members;
    }
    upsert_channel(connection, guild, &changed, guard).await
}

/// A channel as it is known.
pub(crate) async fn channel(
    connection: &mut Connection,
    guild: GuildId,
    id: u64,
) -> Result<Option<Channel>, StoreError> {
    let body: Option<(Vec<u8>,)> = query("SELECT body FROM channels WHERE guild_id = ? AND id = ?")
        .bind(guild.sql())
        .bind(id.cast_signed())
        .fetch_optional(connection)
        .await?;
    body.map(|(body,)| decode("channels", body)).transpose()
}
