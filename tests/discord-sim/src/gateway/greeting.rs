//! What the gateway says of itself: HELLO, READY, and chunks of members on request.

use serde_json::{Value, json};

use super::inbound::MemberRequest;
use super::session::Subscription;
use crate::event::Intents;
use crate::object::set;
use crate::refusal::Refusal;
use crate::rest::application;
use crate::snowflake::Snowflake;
use crate::world::{BOT_ID, World};

/// Milliseconds between heartbeats; what Discord says in production.
pub(super) const HEARTBEAT_MS: u64 = 41_250;
/// How many members a chunk holds, and the most that may be asked by id.
const CHUNK: usize = 1_000;
const USER_IDS_MAX: usize = 100;

pub(super) fn hello() -> String {
    format!(
        r#"{{"t":null,"s":null,"op":10,"d":{{"heartbeat_interval":{HEARTBEAT_MS},"_trace":[]}}}}"#
    )
}

pub(super) const HEARTBEAT_ACK: &str = r#"{"t":null,"s":null,"op":11,"d":null}"#;
pub(super) const RECONNECT: &str = r#"{"t":null,"s":null,"op":7,"d":null}"#;

pub(super) fn invalid_session(is_resumable: bool) -> String {
    format!(r#"{{"t":null,"s":null,"op":9,"d":{is_resumable}}}"#)
}

/// READY's body; the guilds follow as `GUILD_CREATE`.
pub(super) fn ready(
    world: &World,
    session_id: &str,
    resume_url: &str,
    subscription: Subscription,
) -> Result<Value, Refusal> {
    let guilds: Vec<_> = guilds_of(world, subscription)
        .map(|id| json!({ "id": id, "unavailable": true }))
        .collect();
    let mut user = json!(world.user(BOT_ID)?);
    set(&mut user, "mfa_enabled", json!(true));
    set(&mut user, "verified", json!(true));
    set(&mut user, "email", Value::Null);
    set(&mut user, "flags", json!(0));
    Ok(json!({
        "v": 10,
        "user": user,
        "user_settings": {},
        "session_type": "normal",
        "session_id": session_id,
        "resume_gateway_url": resume_url,
        "relationships": [],
        "private_channels": [],
        "presences": [],
        "guilds": guilds,
        "guild_join_requests": [],
        "geo_ordered_rtc_regions": [],
        "shard": [subscription.shard, subscription.shards],
        "application": { "id": BOT_ID, "flags": application::FLAGS },
        "_trace": [],
    }))
}

/// The guilds that a session hears of.
pub(super) fn guilds_of(
    world: &World,
    subscription: Subscription,
) -> impl Iterator<Item = Snowflake> {
    let Subscription { shard, shards, .. } = subscription;
    world
        .guild_ids()
        .into_iter()
        .filter(move |id| id.shard(shards) == shard)
}

/// The chunks that answer op 8. All members may be asked for only with the members intent.
pub(super) fn member_chunks(
    world: &World,
    request: MemberRequest,
    intents: Intents,
) -> Result<Vec<Value>, Refusal> {
    let MemberRequest {
        guild_id,
        query,
        limit,
        user_ids,
        nonce,
    } = request;
    let mut not_found = Vec::new();
    let mut found = Vec::new();
    if let Some(ids) = user_ids {
        for id in ids.into_iter().take(USER_IDS_MAX) {
            match world.member_json(guild_id, id) {
                Ok(member) => found.push(member),
                Err(_) => not_found.push(id),
            }
        }
    } else {
        let query = query.unwrap_or_default();
        let wants_all = query.is_empty() && limit == 0;
        if wants_all && !intents.contains(Intents::MEMBERS) {
            return Err(Refusal::MissingPermissions);
        }
        let limit = if wants_all {
            usize::MAX
        } else {
            limit.clamp(1, 100)
        };
        found = world.search_members(guild_id, &query, limit)?;
    }
    let chunk_count = found.len().div_ceil(CHUNK).max(1);
    let chunks = (0..chunk_count).map(|index| {
        let members: Vec<_> = found.iter().skip(index * CHUNK).take(CHUNK).collect();
        let mut chunk = json!({
            "guild_id": guild_id,
            "members": members,
            "chunk_index": index,
            "chunk_count": chunk_count,
            "not_found": not_found,
        });
        if let Some(nonce) = &nonce {
            set(&mut chunk, "nonce", json!(nonce));
        }
        chunk
    });
    Ok(chunks.collect())
}
