//! Messages that were posted before anybody listened: put below everything that the stream says of them.
//!
//! A row that is there stays, whatever it is, a tombstone above all; one that is made has the lowest guard, so that any
//! event of the stream replaces it. A channel is filled once, for ever.

use std::collections::BTreeMap;

use proto::event::Message;
use proto::id::{ChannelId, GuildId, MessageId};

use crate::batch::{Change, FoldedMessage, Row, split};
use crate::database::{Connection, Statement, query};
use crate::error::StoreError;

const IS_FILLED: &str = "SELECT channel_id FROM filled_channels WHERE channel_id = ?";

macro_rules! insert {
    () => {
        "INSERT INTO filled_channels (channel_id, guild_id, at_ms) VALUES (?, ?, ?)"
    };
}

const ON_CONFLICT: &str = concat!(insert!(), " ON CONFLICT (channel_id) DO NOTHING");

const FILLED: Statement = Statement {
    sqlite: ON_CONFLICT,
    mysql: concat!(
        insert!(),
        " ON DUPLICATE KEY UPDATE channel_id = channel_id"
    ),
    postgres: ON_CONFLICT,
};

/// What was posted before the stream began has no place in it.
const BEFORE: u64 = 0;
const NO_NUMBER: i64 = 0;

/// Whether this channel was filled.
pub(crate) async fn is_filled(
    connection: &mut Connection,
    channel: ChannelId,
) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = query(IS_FILLED)
        .bind(channel.sql())
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// Puts these messages into a channel, and says that it is filled.
pub(crate) async fn fill(
    connection: &mut Connection,
    guild: GuildId,
    channel: ChannelId,
    messages: &[Message],
    at_ms: i64,
) -> Result<(), StoreError> {
    let rows = messages.iter().filter_map(|message| {
        let (content, base) = split(message);
        let row = Row {
            first_sequence: BEFORE,
            sequence: BEFORE,
            guild,
            channel,
            timestamp_ms: message.timestamp_ms,
            base,
            change: Change::Created(content),
        };
        let folded = FoldedMessage {
            row: Some(row),
            reactions: None,
        };
        Some((MessageId::new(message.id)?, folded))
    });
    let rows: BTreeMap<_, _> = rows.collect();
    super::write(connection, &rows, NO_NUMBER).await?;
    query(FILLED)
        .bind(channel.sql())
        .bind(guild.sql())
        .bind(at_ms)
        .execute(connection)
        .await?;
    Ok(())
}
