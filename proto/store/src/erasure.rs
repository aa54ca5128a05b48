//! Erasing a user on request, in SQL: who was erased, and what rows tell of them.
//!
//! Rows are walked by their ids, a thousand at a time: what others quote is in their bodies, where no index looks. What
//! a message tells of somebody, and without them, is in `trail.rs`.

mod trail;

use prost::Message as _;
use proto::id::{ChannelId, GuildId, MessageId, UserId};

use crate::database::{Connection, LIST_MAX, Statement, list_marks, query};
use crate::error::StoreError;
use crate::guard::Guard;
use crate::history::read_body;
pub use trail::{Found, Trail};

/// A step's rows: some megabytes.
const STEP_ROWS: i64 = 1000;

const ADD: Statement = Statement {
    sqlite: "INSERT INTO erased_users (user_id, at_ms) VALUES (?, ?) ON CONFLICT (user_id) DO NOTHING",
    mysql: "INSERT INTO erased_users (user_id, at_ms) VALUES (?, ?) ON DUPLICATE KEY UPDATE user_id = user_id",
    postgres: "INSERT INTO erased_users (user_id, at_ms) VALUES (?, ?) ON CONFLICT (user_id) DO NOTHING",
};

const SINCE: &str = "SELECT at_ms FROM erased_users WHERE user_id = ?";

const ALL: &str = "SELECT user_id FROM erased_users ORDER BY user_id";

/// The last row of a step, if there are so many.
const STEP_END: &str = "SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?";

const OWN: &str = "SELECT id, guild_id, channel_id, body FROM messages \
     WHERE id > ? AND id <= ? AND author_id = ? AND deleted = 0 ORDER BY id";

const LIVING: &str = "SELECT id, guild_id, channel_id, body, guard FROM messages \
     WHERE id > ? AND id <= ? AND deleted = 0 ORDER BY id";

/// Not over what an event has written meanwhile.
const REWRITE: &str = "UPDATE messages SET body = ? WHERE id = ? AND guard = ? AND deleted = 0";

const MEMBERSHIPS: &str = "SELECT guild_id FROM members WHERE user_id = ?";

/// By the whole key: another condition would lock every member.
const FORGET_MEMBER: &str = "DELETE FROM members WHERE guild_id = ? AND user_id = ?";

const FORGET_LOGIN: &str = "DELETE FROM login_guilds WHERE user_id = ?";

static BURY: std::sync::LazyLock<Statement> = std::sync::LazyLock::new(|| {
    let marks = list_marks();
    let text = format!(
        "UPDATE messages SET author_id = 0, timestamp_ms = ?, edited_timestamp_ms = NULL, deleted = 1, body = NULL, \
         reactions = NULL, reactions_guard = ?, guard = ? WHERE deleted = 0 AND id IN {marks}"
    );
    Statement::from(&*text.leak())
});

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The message.
    pub message: MessageId,
    /// Its channel.
    pub channel: ChannelId,
    /// Its guild.
    pub guild: GuildId,
}

/// What one step of a walk over the rows has met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<T> {
    /// What was met, ascending by id.
    pub met: Vec<T>,
    /// Where the next step begins; none at the end.
    pub next: Option<i64>,
}

/// Writes a user down as erased; tells since when they are (milliseconds since 1970).
pub(crate) async fn add(
    connection: &mut Connection,
    user: UserId,
    at_ms: i64,
) -> Result<i64, StoreError> {
    query(ADD)
        .bind(user.sql())
        .bind(at_ms)
        .execute(connection)
        .await?;
    let (since,) = query(SINCE).bind(user.sql()).fetch_one(connection).await?;
    Ok(since)
}

/// Everybody who was erased.
pub(crate) async fn all(connection: &mut Connection) -> Result<Vec<UserId>, StoreError> {
    let ids: Vec<(i64,)> = query(ALL).fetch_all(connection).await?;
    let ids = ids.into_iter();
    Ok(ids
        .filter_map(|(id,)| UserId::new(id.cast_unsigned()))
        .collect())
}

/// The user's own messages among the next rows; the trail learns them.
pub(crate) async fn own(
    connection: &mut Connection,
    trail: &mut Trail,
    after: i64,
) -> Result<Step<Place>, StoreError> {
    let next = step_end(connection, after).await?;
    let rows: Vec<(i64, i64, i64, Vec<u8>)> = query(OWN)
        .bind(after)
        .bind(next.unwrap_or(i64::MAX))
        .bind(trail.user().sql())
        .fetch_all(connection)
        .await?;
    let mut met = Vec::new();
    for (id, guild, channel, body) in rows {
        let message = read_body(&body)?;
        if let Some(place) = place(id, guild, channel)
            && trail.is_theirs(&message)
        {
            trail.add(place.message);
            met.push(place);
        }
    }
    Ok(Step { met, next })
}

/// Takes what the next rows tell of the user out of them, their own messages aside.
pub(crate) async fn forget(
    connection: &mut Connection,
    trail: &mut Trail,
    after: i64,
) -> Result<Step<(Place, Found)>, StoreError> {
    let next = step_end(connection, after).await?;
    let rows: Vec<(i64, i64, i64, Vec<u8>, i64)> = query(LIVING)
        .bind(after)
        .bind(next.unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let mut met = Vec::new();
    for (id, guild, channel, body, guard) in rows {
        let mut message = read_body(&body)?;
        if trail.is_theirs(&message) {
            continue;
        }
        let found = trail.forget(&mut message);
        let Some(place) = place(id, guild, channel).filter(|_| found.is_something()) else {
            continue;
        };
        query(REWRITE)
            .bind(message.encode_to_vec())
            .bind(id)
            .bind(guard)
            .execute(connection)
            .await?;
        met.push((place, found));
    }
    Ok(Step { met, next })
}

/// Turns messages into tombstones; tells how many were none.
pub(crate) async fn bury(
    connection: &mut Connection,
    messages: &[MessageId],
    at_ms: i64,
) -> Result<u64, StoreError> {
    let mut buried = 0;
    let ids: Vec<i64> = messages.iter().copied().map(MessageId::sql).collect();
    for some in ids.chunks(LIST_MAX) {
        let statement = query(*BURY)
            .bind(at_ms)
            .bind(Guard::TOMBSTONE.sql())
            .bind(Guard::TOMBSTONE.sql())
            .bind_list(some);
        buried += statement.execute(connection).await?;
    }
    Ok(buried)
}

/// Removes the user's memberships and their last login's list; tells how many there were of each.
pub(crate) async fn forget_user(
    connection: &mut Connection,
    user: UserId,
) -> Result<(u64, u64), StoreError> {
    let guilds: Vec<(i64,)> = query(MEMBERSHIPS)
        .bind(user.sql())
        .fetch_all(connection)
        .await?;
    let mut members = 0;
    for (guild,) in guilds {
        members += query(FORGET_MEMBER)
            .bind(guild)
            .bind(user.sql())
            .execute(connection)
            .await?;
    }
    let logins = query(FORGET_LOGIN).bind(user.sql());
    Ok((members, logins.execute(connection).await?))
}

async fn step_end(connection: &mut Connection, after: i64) -> Result<Option<i64>, StoreError> {
    let end: Option<(i64,)> = query(STEP_END)
        .bind(after)
        .bind(STEP_ROWS - 1)
        .fetch_optional(connection)
        .await?;
    Ok(end.map(|(id,)| id))
}

fn place(id: i64, guild: i64, channel: i64) -> Option<Place> {
    Some(Place {
        message: MessageId::new(id.cast_unsigned())?,
        channel: ChannelId::new(channel.cast_unsigned())?,
        guild: GuildId::new(guild.cast_unsigned())?,
    })
}
