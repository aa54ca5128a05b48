//! What a token may read of its owner: a person's own token, or the bot's.
//! A token without the scope gets 401, as from Discord.

use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, ReqData};
use serde_json::{Value, json};

use super::logins::Grant;
use crate::guild::User;
use crate::object::set;
use crate::refusal::Refusal;
use crate::rest::guard::Caller;
use crate::sim::{Shared, State};
use crate::snowflake::{Snowflake, iso8601, unix_ms};
use crate::world::BOT_ID;

type Answer = Result<HttpResponse, Refusal>;

pub(super) async fn me(caller: ReqData<Caller>, sim: Data<Shared>) -> Answer {
    let state = sim.state();
    let (user, sees_email) = match &*caller {
        Caller::Bot => (state.world.user(BOT_ID)?, false),
        Caller::Person(grant) => (person(&state, grant, "identify")?, grant.allows("email")),
        Caller::Stranger => return Err(Refusal::Unauthorized),
    };
    let mut body = json!(user);
    set(&mut body, "mfa_enabled", json!(user.bot));
    set(&mut body, "locale", json!("en-US"));
    set(&mut body, "flags", json!(0));
    if user.bot || sees_email {
        set(&mut body, "verified", json!(true));
    }
    if sees_email {
        // A name reserved for what does not exist: RFC 2606.
        let email = format!("{}@members.example", user.username);
        set(&mut body, "email", json!(email));
    }
    Ok(HttpResponse::Ok().json(body))
}

pub(super) async fn guilds(caller: ReqData<Caller>, sim: Data<Shared>) -> Answer {
    let state = sim.state();
    let user_id = match &*caller {
        Caller::Bot => BOT_ID,
        Caller::Person(grant) => person(&state, grant, "guilds")?.id,
        Caller::Stranger => return Err(Refusal::Unauthorized),
    };
    let ids = state.world.guilds_of(user_id);
    let guilds = ids.into_iter().map(|id| {
        let guild = state.world.guild(id)?;
        Ok(json!({
            "id": id,
            "name": guild.name,
            "icon": guild.icon,
            "banner": null,
            "owner": guild.owner_id == user_id,
            "permissions": state.world.guild_permissions(id, user_id),
            "features": ["COMMUNITY", "NEWS"],
        }))
    });
    let guilds = guilds.collect::<Result<Vec<Value>, Refusal>>()?;
    Ok(HttpResponse::Ok().json(guilds))
}

pub(super) async fn member(
    caller: ReqData<Caller>,
    sim: Data<Shared>,
    guild: Path<Snowflake>,
) -> Answer {
    let Caller::Person(grant) = &*caller else {
        return Err(Refusal::Unauthorized);
    };
    let state = sim.state();
    let user_id = person(&state, grant, "guilds.members.read")?.id;
    let member = state.world.member_json(*guild, user_id)?;
    Ok(HttpResponse::Ok().json(member))
}

pub(super) async fn authorization(caller: ReqData<Caller>, sim: Data<Shared>) -> Answer {
    let Caller::Person(grant) = &*caller else {
        return Err(Refusal::Unauthorized);
    };
    let state = sim.state();
    let bot = state.world.user(BOT_ID)?;
    let left = grant.until.saturating_duration_since(Instant::now());
    let expires_ms = unix_ms() + u64::try_from(left.as_millis()).unwrap_or(0);
    let mut body = json!({
        "application": {
            "id": BOT_ID,
            "name": bot.username,
            "icon": null,
            "description": "Shows the conversation in a web page",
            "hook": true,
            "bot_public": true,
            "bot_require_code_grant": false,
            "verify_key": format!("{:0>64x}", 0x5EED),
        },
        "scopes": grant.scopes,
        "expires": iso8601(expires_ms),
    });
    if grant.allows("identify") {
        set(&mut body, "user", json!(state.world.user(grant.user_id)?));
    }
    Ok(HttpResponse::Ok().json(body))
}

fn person<'a>(state: &'a State, grant: &Grant, scope: &str) -> Result<&'a User, Refusal> {
    if !grant.allows(scope) {
        return Err(Refusal::Unauthorized);
    }
    state.world.user(grant.user_id)
}
