//! The directory in SQL, as readers get it: guilds with their roles, channels and known members.
//!
//! What an event does to the rows is in `change.rs`; a guild's snapshot, which comes in parts, in `snapshot.rs`.

pub(crate) mod change;
mod snapshot;

use std::collections::BTreeMap;

use proto::event::{Channel, Event, Guild, GuildSnapshotBegin, GuildSnapshotPart, Member, Role};
use proto::id::{GuildId, UserId};

use crate::database::{Connection, query};
use crate::error::StoreError;
use crate::position::Position;

/// The whole directory, and the position that it was read at.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectorySnapshot {
    /// What it is complete to.
    pub position: Position,
    /// Ascending by id.
    pub guilds: Vec<GuildDirectory>,
    /// Snapshots that have begun and not ended at this position, as events: what follows builds on them.
    pub unfinished: Vec<(GuildId, Vec<Event>)>,
}

/// A guild and all that is known of it, each list ascending by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GuildDirectory {
    /// The guild itself.
    pub guild: Guild,
    /// All its roles.
    pub roles: Vec<Role>,
    /// All its channels, active threads too.
    pub channels: Vec<Channel>,
    /// The members that were met, never all.
    pub members: Vec<Member>,
}

/// Reads every guild whose own row is known; rows of others wait for it unseen.
pub(crate) async fn read(connection: &mut Connection) -> Result<Vec<GuildDirectory>, StoreError> {
    let mut guilds: BTreeMap<i64, GuildDirectory> = BTreeMap::new();
    for (id, guild) in rows(connection, "guilds", "SELECT id, body FROM guilds").await? {
        guilds.entry(id).or_default().guild = guild;
    }
    let roles = "SELECT guild_id, body FROM roles ORDER BY guild_id, id";
    for (guild, role) in rows(connection, "roles", roles).await? {
        if let Some(directory) = guilds.get_mut(&guild) {
            directory.roles.push(role);
        }
    }
    let channels = "SELECT guild_id, body FROM channels ORDER BY guild_id, id";
    for (guild, channel) in rows(connection, "channels", channels).await? {
        if let Some(directory) = guilds.get_mut(&guild) {
            directory.channels.push(channel);
        }
    }
    let members = "SELECT guild_id, body FROM members ORDER BY guild_id, user_id";
    for (guild, member) in rows(connection, "members", members).await? {
        if let Some(directory) = guilds.get_mut(&guild) {
            directory.members.push(member);
        }
    }
    Ok(guilds.into_values().collect())
}

/// Snapshots on their way.
pub(crate) async fn unfinished(
    connection: &mut Connection,
) -> Result<Vec<(GuildId, Vec<Event>)>, StoreError> {
    let begun: Vec<(i64, GuildSnapshotBegin)> = rows(
        connection,
        "snapshots",
        "SELECT guild_id, body FROM snapshots ORDER BY guild_id",
    )
    .await?;
    let parts = "SELECT guild_id, body FROM snapshot_parts ORDER BY guild_id, guard";
    let parts: Vec<(i64, GuildSnapshotPart)> = rows(connection, "snapshot_parts", parts).await?;
    let events_of = |(id, begin): (i64, GuildSnapshotBegin)| {
        let of_guild = parts.iter().filter(|(guild, _)| *guild == id);
        let mut events = vec![Event::GuildSnapshotBegin(begin)];
        events.extend(of_guild.map(|(_, part)| Event::GuildSnapshotPart(part.clone())));
        Some((GuildId::new(id.cast_unsigned())?, events))
    };
    Ok(begun.into_iter().filter_map(events_of).collect())
}

/// One member; none where it was never met or has left.
pub(crate) async fn member(
    connection: &mut Connection,
    guild: GuildId,
    user: UserId,
) -> Result<Option<Member>, StoreError> {
    let body: Option<(Vec<u8>,)> =
        query("SELECT body FROM members WHERE guild_id = ? AND user_id = ?")
            .bind(guild.sql())
            .bind(user.sql())
            .fetch_optional(connection)
            .await?;
    body.map(|(body,)| decode("members", body)).transpose()
}

async fn rows<T: prost::Message + Default>(
    connection: &mut Connection,
    table: &'static str,
    statement: &'static str,
) -> Result<Vec<(i64, T)>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> = query(statement).fetch_all(connection).await?;
    rows.into_iter()
        .map(|(guild, body)| Ok((guild, decode(table, body)?)))
        .collect()
}

fn decode<T: prost::Message + Default>(
    table: &'static str,
    body: Vec<u8>,
) -> Result<T, StoreError> {
    T::decode(bytes::Bytes::from(body)).map_err(|source| StoreError::Corrupt { table, source })
}
