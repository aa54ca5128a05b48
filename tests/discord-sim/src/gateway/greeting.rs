//! What the gateway says of itself: HELLO and READY.
//! Texts alone: who gets them, and when, its connection knows.

use std::time::Duration;

use serde_json::{Value, json};

use super::session::Subscription;
use crate::application::Application;
use crate::object::set;
use crate::refusal::Refusal;
use crate::snowflake::Snowflake;
use crate::world::{BOT_ID, World};

pub(super) fn hello(heartbeat: Duration) -> String {
    let interval = heartbeat.as_millis();
    format!(r#"{{"t":null,"s":null,"op":10,"d":{{"heartbeat_interval":{interval},"_trace":[]}}}}"#)
}

pub(super) const HEARTBEAT_ACK: &str = r#"{"t":null,"s":null,"op":11,"d":null}"#;
pub(super) const RECONNECT: &str = r#"{"t":null,"s":null,"op":7,"d":null}"#;

pub(super) fn invalid_session(is_resumable: bool) -> String {
    format!(r#"{{"t":null,"s":null,"op":9,"d":{is_resumable}}}"#)
}

/// READY's body; the guilds follow as `GUILD_CREATE`.
pub(super) fn ready(
    world: &World,
    application: &Application,
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
        "application": { "id": BOT_ID, "flags": application.flags() },
        "_trace": [],
    }))
}

/// The guilds that a session hears of.
pub(super) fn guilds_of(
    world: &World,
    subscription: Subscription,
) -> impl Iterator<Item = Snowflake> {
    let all = world.guild_ids().into_iter();
    all.filter(move |id| subscription.has(*id))
}
