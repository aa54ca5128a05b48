//! The history in SQL: folded messages in, pages out.
//!
//! Rows of a kind go several to a statement: each statement is a way to another machine and back. A tombstone is a row without body and
//! author and with the highest guard, so that the one rule of the upsert makes it win over everything.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost::Message as _;
use proto::event::{Message, Reaction, ReactionMark, ReactionsChanged};
use proto::id::{ChannelId, MessageId};

use crate::batch::{Change, FoldedMessage, Reactions, Row};
use crate::database::{Connection, Query, Statement, query};
use crate::error::StoreError;
use crate::guard::Guard;
use crate::position::Position;
use crate::upsert::upsert;

pub(crate) mod fill;
mod preview;

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
    postgres: concat!(insert!(), " ON CONFLICT (id) DO NOTHING"),
};

const REACTED: &str = "UPDATE messages SET reactions = ?, reactions_guard = ? \
     WHERE id = ? AND deleted = 0 AND reactions_guard < ?";

/// The channel is bound twice. MySQL weighs an equality by the average channel, and may then read a large one from
/// its end down to the cursor; a range of one value it always reads from the cursor, and the order that names
/// all columns of the index needs no sort. PostgreSQL may otherwise read all channels down from the cursor, by the
/// primary key; that has not this order.
const PAGE: Statement = Statement {
    sqlite: "SELECT body, reactions FROM messages \
         WHERE channel_id = ?1 AND deleted = 0 AND id <= ?3 \
         ORDER BY id DESC LIMIT ?4",
    mysql: "SELECT body, reactions FROM messages FORCE INDEX (messages_page) \
         WHERE channel_id >= ? AND channel_id <= ? AND deleted >= 0 AND deleted <= 0 AND id <= ? \
         ORDER BY channel_id DESC, deleted DESC, id DESC LIMIT ?",
    postgres: "SELECT body, reactions FROM messages \
         WHERE channel_id >= ? AND channel_id <= ? AND deleted >= 0 AND deleted <= 0 AND id <= ? \
         ORDER BY channel_id DESC, deleted DESC, id DESC LIMIT ?",
};

const MESSAGE: &str =
    "SELECT body, reactions FROM messages WHERE channel_id = ? AND deleted = 0 AND id = ?";

/// A living row's columns: the body, and the total of its reactions if there was one.
type Living = (Vec<u8>, Option<Vec<u8>>);

/// How many rows go into one statement: beyond that the way back and forth is no longer what takes the time.
const ROWS: usize = 16;

/// A larger row goes alone, so that no statement is too large that could be written in two.
const ROW_BYTES_MAX: usize = 16 * 1024;

/// How rows of a kind are written: one, or [`ROWS`] at once.
struct Kind {
    one: Statement,
    many: Statement,
    has: fn(&Change) -> bool,
}

static KINDS: LazyLock<[Kind; 3]> = LazyLock::new(|| {
    let kind = |one: Statement, has| Kind {
        one,
        many: one.of_rows(ROWS),
        has,
    };
    [
        kind(CREATED, |change| matches!(change, Change::Created(_))),
        kind(UPDATED, |change| matches!(change, Change::Updated(_))),
        kind(DELETED, |change| matches!(change, Change::Deleted)),
    ]
});

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
    }
    for kind in &*KINDS {
        let rows = messages.iter().filter_map(|(id, message)| {
            let row = message.row.as_ref()?;
            (kind.has)(&row.change).then_some((*id, row))
        });
        write_rows(connection, kind, rows, number).await?;
    }
    for (id, message) in messages {
        if let Some(reactions) = message.late_reactions() {
            write_reactions(connection, *id, reactions, number).await?;
        }
    }
    Ok(())
}

async fn write_rows(
    connection: &mut Connection,
    kind: &Kind,
    rows: impl Iterator<Item = (MessageId, &Row)>,
    number: i64,
) -> Result<(), StoreError> {
    let (small, large): (Vec<_>, Vec<_>) = rows.partition(|(_, row)| row.bytes() <= ROW_BYTES_MAX);
    let (many, rest) = small.as_chunks::<ROWS>();
    for rows in many {
        let mut statement = query(kind.many);
        for (id, row) in rows {
            statement = bind_row(statement, *id, row, number)?;
        }
        statement.execute(connection).await?;
    }
    for (id, row) in rest.iter().chain(&large) {
        let statement = bind_row(query(kind.one), *id, row, number)?;
        statement.execute(connection).await?;
    }
    Ok(())
}

fn bind_row<'r>(
    statement: Query<'r>,
    id: MessageId,
    row: &'r Row,
    number: i64,
) -> Result<Query<'r>, StoreError> {
    let guard = Guard::new(number, row.sequence)?;
    let (content, guard) = match &row.change {
        Change::Created(content) | Change::Updated(content) => (Some(content), guard),
        Change::Deleted => (None, Guard::TOMBSTONE),
    };
    let base = row.base.as_deref().filter(|_| content.is_some());
    let reactions_guard = match (content, base) {
        (None, _) => Guard::TOMBSTONE,
        (Some(_), None) => Guard::NONE,
        (Some(_), Some(_)) => Guard::new(number, row.first_sequence)?,
    };
    Ok(statement
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
        .bind(guard.sql()))
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
        .bind(channel.sql())
        .bind(newest)
        .bind(i64::from(limit) + 1)
        .fetch_all(connection)
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let messages = rows.into_iter().rev().map(|row| decode(&row));
    let mut messages: Vec<_> = messages.collect::<Result<_, _>>()?;
    preview::blank(connection, &mut messages).await?;
    Ok((messages, has_more))
}

/// One message; none where it is unknown, deleted or another channel's.
pub(crate) async fn message(
    connection: &mut Connection,
    channel: ChannelId,
    id: MessageId,
) -> Result<Option<Message>, StoreError> {
    let Some(row) = living(connection, channel, id).await? else {
        return Ok(None);
    };
    // Asked after the row, what is deleted can only be more: that needs no transaction.
    let mut message = [decode(&row)?];
    preview::blank(connection, &mut message).await?;
    let [message] = message;
    Ok(Some(message))
}

/// Whether a message is known to be deleted.
pub(crate) async fn is_deleted(
    connection: &mut Connection,
    id: MessageId,
) -> Result<bool, StoreError> {
    let tombstone: Option<(i64,)> = query("SELECT id FROM messages WHERE id = ? AND deleted = 1")
        .bind(id.sql())
        .fetch_optional(connection)
        .await?;
    Ok(tombstone.is_some())
}

/// The newest message of all channels, deleted ones included.
pub(crate) async fn newest(connection: &mut Connection) -> Result<Option<MessageId>, StoreError> {
    let newest: (Option<i64>,) = query("SELECT MAX(id) FROM messages")
        .fetch_one(connection)
        .await?;
    Ok(newest.0.and_then(|id| MessageId::new(id.cast_unsigned())))
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
    let mut message = read_body(body)?;
    if let Some(reactions) = reactions {
        message.reactions = total(reactions)?.reactions;
    }
    Ok(message)
}

/// The message of a row's body.
pub(crate) fn read_body(body: &[u8]) -> Result<Message, StoreError> {
    Message::decode(body).map_err(corrupt)
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

#[cfg(test)]
mod tests {
    /// `tests/contract/plan.rs` asks for the plan of this one.
    #[test]
    fn the_statement_of_a_page_is_the_one_whose_plan_is_tested() {
        let tested = "SELECT body, reactions FROM messages \
             WHERE channel_id = ?1 AND deleted = 0 AND id <= ?3 \
             ORDER BY id DESC LIMIT ?4";
        assert_eq!(super::PAGE.sqlite, tested);
    }
}
