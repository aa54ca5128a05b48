//! The application, its bot, and where the gateway is.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::{Answer, gateway_url, no_content, ok};
use crate::guild::Standing;
use crate::sim::Shared;
use crate::snowflake::Snowflake;
use crate::world::BOT_ID;

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/gateway", web::get().to(gateway))
        .route("/gateway/bot", web::get().to(gateway_bot))
        .route("/applications/@me", web::get().to(application))
        .route("/oauth2/applications/@me", web::get().to(application))
        .route("/users/@me/guilds/{guild}", web::delete().to(leave))
        .route("/users/{user}", web::get().to(user));
}

async fn gateway(request: HttpRequest) -> HttpResponse {
    ok(json!({ "url": gateway_url(&request) }))
}

async fn gateway_bot(request: HttpRequest, sim: web::Data<Shared>) -> HttpResponse {
    let entrance = &mut sim.state().entrance;
    ok(entrance.advice(&gateway_url(&request), Instant::now()))
}

async fn application(sim: web::Data<Shared>) -> Answer {
    let state = sim.state();
    let bot = state.world.user(BOT_ID)?;
    Ok(ok(json!({
        "id": BOT_ID,
        "name": bot.username,
        "icon": null,
        "description": "Shows the conversation in a web page",
        "summary": "",
        "type": null,
        "flags": state.application.flags(),
        "flags_new": state.application.flags().to_string(),
        "bot": bot,
        "bot_public": true,
        "bot_require_code_grant": false,
        "hook": true,
        "verify_key": format!("{:0>64x}", 0x5EED),
        "redirect_uris": state.application.redirect_uris,
        "rpc_origins": [],
        "tags": [],
        "team": null,
        "owner": null,
        "terms_of_service_url": null,
        "privacy_policy_url": null,
        "approximate_guild_count": state.world.guild_ids().len(),
    })))
}

/// The bot leaves a guild.
async fn leave(sim: web::Data<Shared>, guild: web::Path<Snowflake>) -> Answer {
    sim.change(|world| world.set_standing(*guild, Standing::Left))
        .map(no_content)
}

async fn user(sim: web::Data<Shared>, id: web::Path<Snowflake>) -> Answer {
    Ok(ok(sim.state().world.user(*id)?))
}
