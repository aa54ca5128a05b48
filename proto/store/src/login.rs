//! The guilds that a user's last login listed: where to look for somebody who was never met.
//!
//! Each login overwrites the one before. How long a list is worth something is the reader's to say.

use proto::id::{GuildId, UserId};

use crate::database::{Connection, Statement, query};
use crate::error::StoreError;

const UPSERT: Statement = Statement {
    sqlite: "INSERT INTO login_guilds (user_id, guilds, at_ms) VALUES (?, ?, ?) \
         ON CONFLICT (user_id) DO UPDATE SET guilds = excluded.guilds, at_ms = excluded.at_ms",
    mysql: "INSERT INTO login_guilds (user_id, guilds, at_ms) VALUES (?, ?, ?) \
         ON DUPLICATE KEY UPDATE guilds = VALUES(guilds), at_ms = VALUES(at_ms)",
    postgres: "INSERT INTO login_guilds (user_id, guilds, at_ms) VALUES (?, ?, ?) \
         ON CONFLICT (user_id) DO UPDATE SET guilds = excluded.guilds, at_ms = excluded.at_ms",
};

const READ: &str = "SELECT guilds, at_ms FROM login_guilds WHERE user_id = ?";

pub(crate) async fn write(
    connection: &mut Connection,
    user: UserId,
    guilds: &[GuildId],
    at_ms: i64,
) -> Result<(), StoreError> {
    let guilds: Vec<String> = guilds.iter().map(GuildId::to_string).collect();
    query(UPSERT)
        .bind(user.sql())
        .bind(guilds.join(","))
        .bind(at_ms)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn read(
    connection: &mut Connection,
    user: UserId,
) -> Result<Option<(Vec<GuildId>, i64)>, StoreError> {
    let row: Option<(String, i64)> = query(READ)
        .bind(user.sql())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|(guilds, at_ms)| {
        // An empty list has one empty name, which is no id.
        let guilds = guilds.split(',').filter_map(|id| id.parse().ok()).collect();
        (guilds, at_ms)
    }))
}
