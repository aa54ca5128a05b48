//! The history in SQL: folded messages in, pages out.
//!
//! Row by row, for a row in a transaction costs SQLite some 15 µs. A tombstone is a row without body and
//! author and with the highest guard, so that the one rule of the upsert makes it win over everything.

use std::collections::BTreeMap;

use prost::Message as _;
use proto::event::{Message, Reaction, ReactionMark, ReactionsChanged};
use proto::id::{ChannelId, MessageId};

use crate::batch::{Change, FoldedMessage, Reactions, Row};
use crate::database::{Connection, Statement, query};
use crate::error::StoreError;
use crate::guard::Guard;
use crate::position::Position;
use crate::upsert::upsert;

/// A page holds no more messages, whatever is asked: a message may have half a mebibyte.
pub const PAGE_MESSAGES_MAX: u32 = 200;

/// A run of a channel's messages, and the position that it was read at.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// There are older ones.
    pub has_more: bool,
    /// What the page is complete to.
    pub position: Position,
}

macro_rules! insert {
    () => {
        "INSERT INTO messages (id, channel_id, guild_id, author_id, timestamp_ms, edited_timestamp_ms, \
         deleted, body, reactions, reactions_guard, guard) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    };
}

/// An update leaves the reactions as they are, unless it makes the row.
const UPDATED: Statement = upsert!("messages" ["id"] [
    "channel_id", "guild_id", "author_id", "timestamp_ms", "edited_timestamp_ms", "deleted", "body"
] new ["reactions", "reactions_guard"]);

/// A deletion takes them along.
const DELETED: Statement = upsert!("messages" ["id"] [
    "channel_id", "guild_id", "author_id", "timestamp_ms", "edited_timestamp_ms", "deleted", "body",
    "reactions", "reactions_guard"
]);

const CREATED: Statement = Statement {
    sqlite: concat!(insert!(), " ON CONFLICT (id) DO NOTHING"),
    // Not INSERT IGNORE, which cuts what does not fit.
    mysql: concat!(insert!(), " ON DUPLICATE KEY UPDATE id = id"),
};

const REACTED: &str = "UPDATE messages SET reactions = ?, reactions_guard = ? \
     WHERE id = ? AND deleted = 0 AND reactions_guard < ?";

const PAGE: &str = "SELECT body, reactions FROM messages \
     WHERE channel_id = ? AND deleted = 0 AND id <= ? ORDER BY id DESC LIMIT ?";

const MESSAGE: &str =
    "SELECT body, reactions FROM messages WHERE channel_id = ? AND deleted = 0 AND id = ?";

/// A living row's columns: the body, and the total of its reactions if there was one.
type Living = (Vec<u8>, Option<Vec<u8>>);

/// Writes a batch's messages; `number` is their generation's.
pub(crate) async fn write(
    connection: &mut Connection,
    messages: &BTreeMap<MessageId, FoldedMessage>,
    number: i64,
) -> Result<(), StoreError> {
    for (id, message) in messages {
        if let Some(reactions) = message.early_reactions() {
            write_reactions(connection, *id, reactions, number).await?;
        }
        if let Some(row) = &message.row {
            write_row(connection, *id, row, number).await?;
        }
        if let Some(reactions) = message.late_reactions() {
            write_reactions(connection, *id, reactions, number).await?;
        }
    }
    Ok(())
}

async fn write_row(
    connection: &mut Connection,
    id: MessageId,
    row: &Row,
    number: i64,
) -> Result<(), StoreError> {
    let guard = Guard::new(number, row.sequence)?;
    let (statement, content, guard) = match &row.change {
        Change::Created(content) => (CREATED, Some(content), guard),
        Change::Updated(content) => (UPDATED, Some(content), guard),
        Change::Deleted => (DELETED, None, Guard::TOMBSTONE),
    };
    let base = row.base.as_deref().filter(|_| content.is_some());
    let reactions_guard = match (content, base) {
        (None, _) => Guard::TOMBSTONE,
        (Some(_), None) => Guard::NONE,
        (Some(_), Some(_)) => Guard::new(number, row.first_sequence)?,
    };
    query(statement)
        .bind(id.sql())
        .bind(row.channel.sql())
        .bind(row.guild.sql())
        .bind(content.map_or(0, |content| content.author_id.cast_signed()))
        .bind(row.timestamp_ms)
        .bind(content.and_then(|content| content.edited_timestamp_ms))
        .bind(i64::from(content.is_none()))
        .bind(content.map(|content| content.body.as_slice()))
        .bind(base)
        .bind(reactions_guard.sql())
        .bind(guard.sql())
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_reactions(
    connection: &mut Connection,
    id: MessageId,
    reactions: &Reactions,
    number: i64,
) -> Result<(), StoreError> {
    let guard = Guard::new(number, reactions.sequence)?;
    query(REACTED)
        .bind(reactions.total.as_slice())
        .bind(guard.sql())
        .bind(id.sql())
        .bind(guard.sql())
        .execute(connection)
        .await?;
    Ok(())
}

/// The newest messages below `before`, oldest first, and whether there are older ones.
pub(crate) async fn page(
    connection: &mut Connection,
    channel: ChannelId,
    before: Option<MessageId>,
    limit: u32,
) -> Result<(Vec<Message>, bool), StoreError> {
    let limit = limit.min(PAGE_MESSAGES_MAX);
    let newest = before.map_or(i64::MAX, |before| before.sql() - 1);
    // One more than asked tells whether there are more.
    let mut rows: Vec<Living> = query(PAGE)
        .bind(channel.sql())
        .bind(newest)
        .bind(i64::from(limit) + 1)
        .fetch_all(connection)
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let messages = rows
        .into_iter()
        .rev()
        .map(|row| decode(&row))
        .collect::<Result<_, _>>()?;
    Ok((messages, has_more))
}

/// One message; none where it is unknown, deleted or another channel's.
pub(crate) async fn message(
    connection: &mut Connection,
    channel: ChannelId,
    id: MessageId,
) -> Result<Option<Message>, StoreError> {
    let row = living(connection, channel, id).await?;
    row.as_ref().map(decode).transpose()
}

/// A message's reactions and what is counted in; none where [`message`] finds none.
pub(crate) async fn reactions(
    connection: &mut Connection,
    channel: ChannelId,
    id: MessageId,
) -> Result<Option<(Vec<Reaction>, Option<ReactionMark>)>, StoreError> {
    let Some((_, reactions)) = living(connection, channel, id).await? else {
        return Ok(None);
    };
    let total = match reactions {
        Some(reactions) => total(&reactions)?,
        None => ReactionsChanged::default(),
    };
    Ok(Some((total.reactions, total.mark)))
}

async fn living(
    connection: &mut Connection,
    channel: ChannelId,
    id: MessageId,
) -> Result<Option<Living>, StoreError> {
    query(MESSAGE)
        .bind(channel.sql())
        .bind(id.sql())
        .fetch_optional(connection)
        .await
}

fn decode((body, reactions): &Living) -> Result<Message, StoreError> {
    let mut message = Message::decode(body.as_slice()).map_err(corrupt)?;
    if let Some(reactions) = reactions {
        message.reactions = total(reactions)?.reactions;
    }
    Ok(message)
}

fn total(reactions: &[u8]) -> Result<ReactionsChanged, StoreError> {
    ReactionsChanged::decode(reactions).map_err(corrupt)
}

fn corrupt(source: prost::DecodeError) -> StoreError {
    StoreError::Corrupt {
        table: "messages",
        source,
    }
}
