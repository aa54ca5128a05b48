//! The history in SQL: folded messages in, pages out.
//!
//! Row by row, for a row in a transaction costs SQLite some 15 µs. A tombstone is a row without body and
//! author and with the highest guard, so that the one rule of the upsert makes it win over everything.

use std::collections::BTreeMap;

use prost::Message as _;
use proto::event::Message;
use proto::id::{ChannelId, MessageId};

use crate::batch::{FoldedMessage, MessageChange};
use crate::error::StoreError;
use crate::guard::Guard;
use crate::position::Position;
use crate::sqlite::Connection;
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

const UPSERT: &str = upsert!("messages" ["id"] [
    "channel_id", "guild_id", "author_id", "timestamp_ms", "edited_timestamp_ms", "deleted", "body"
]);

const INSERT_IF_NEW: &str = "INSERT INTO messages (id, channel_id, guild_id, author_id, timestamp_ms, \
     edited_timestamp_ms, deleted, body, guard) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (id) DO NOTHING";

const PAGE: &str = "SELECT body FROM messages \
     WHERE channel_id = ? AND deleted = 0 AND id <= ? ORDER BY id DESC LIMIT ?";

const MESSAGE: &str = "SELECT body FROM messages WHERE channel_id = ? AND deleted = 0 AND id = ?";

/// Writes a batch's messages; `number` is their generation's.
pub(crate) async fn write(
    connection: &mut Connection,
    messages: &BTreeMap<MessageId, FoldedMessage>,
    number: i64,
) -> Result<(), StoreError> {
    for (id, message) in messages {
        let guard = Guard::new(number, message.sequence)?;
        write_one(connection, *id, message, guard).await?;
    }
    Ok(())
}

async fn write_one(
    connection: &mut Connection,
    id: MessageId,
    message: &FoldedMessage,
    guard: Guard,
) -> Result<(), StoreError> {
    let (statement, content, guard) = match &message.change {
        MessageChange::Created(content) => (INSERT_IF_NEW, Some(content), guard),
        MessageChange::Updated(content) => (UPSERT, Some(content), guard),
        MessageChange::Deleted => (UPSERT, None, Guard::TOMBSTONE),
    };
    sqlx::query(statement)
        .bind(id.sql())
        .bind(message.channel.sql())
        .bind(message.guild.sql())
        .bind(content.map_or(0, |content| content.author_id.cast_signed()))
        .bind(message.timestamp_ms)
        .bind(content.and_then(|content| content.edited_timestamp_ms))
        .bind(i64::from(content.is_none()))
        .bind(content.map(|content| content.body.as_slice()))
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
    let mut bodies: Vec<Vec<u8>> = sqlx::query_scalar(PAGE)
        .bind(channel.sql())
        .bind(newest)
        .bind(i64::from(limit) + 1)
        .fetch_all(connection)
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = bodies.len() > limit;
    bodies.truncate(limit);
    let messages = bodies
        .into_iter()
        .rev()
        .map(decode)
        .collect::<Result<_, _>>()?;
    Ok((messages, has_more))
}

/// One message; none where it is unknown, deleted or another channel's.
pub(crate) async fn message(
    connection: &mut Connection,
    channel: ChannelId,
    id: MessageId,
) -> Result<Option<Message>, StoreError> {
    let body: Option<Vec<u8>> = sqlx::query_scalar(MESSAGE)
        .bind(channel.sql())
        .bind(id.sql())
        .fetch_optional(connection)
        .await?;
    body.map(decode).transpose()
}

fn decode(body: Vec<u8>) -> Result<Message, StoreError> {
    Message::decode(bytes::Bytes::from(body)).map_err(|source| StoreError::Corrupt {
        table: "messages",
        source,
    })
}
