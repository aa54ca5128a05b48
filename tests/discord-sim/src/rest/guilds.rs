//! Guilds: themselves, their channels, roles, bans and active threads.

use actix_web::web::{self, Data, Json, Path, Query};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, created, no_content, ok};
use crate::channel::Channel;
use crate::object::set;
use crate::sim::Shared;
use crate::snowflake::Snowflake;
use crate::world::channels::ChannelDraft;
use crate::world::roles::RolePatch;

#[derive(Deserialize)]
struct GuildPatch {
    name: Option<String>,
    description: Option<String>,
}

#[derive(Default, Deserialize)]
struct Counted {
    #[serde(default)]
    with_counts: bool,
}

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/guilds/{guild}", web::get().to(guild))
        .route("/guilds/{guild}", web::patch().to(patch_guild))
        .route("/guilds/{guild}/channels", web::get().to(channels))
        .route("/guilds/{guild}/channels", web::post().to(create_channel))
        .route(
            "/guilds/{guild}/threads/active",
            web::get().to(active_threads),
        )
        .route("/guilds/{guild}/roles", web::get().to(roles))
        .route("/guilds/{guild}/roles", web::post().to(create_role))
        .route("/guilds/{guild}/roles/{role}", web::patch().to(patch_role))
        .route(
            "/guilds/{guild}/roles/{role}",
            web::delete().to(delete_role),
        );
}

async fn guild(sim: Data<Shared>, id: Path<Snowflake>, counted: Query<Counted>) -> Answer {
    let state = sim.state();
    let guild = state.world.guild(*id)?;
    let mut body = guild.to_json();
    if counted.with_counts {
        set(
            &mut body,
            "approximate_member_count",
            json!(guild.members.len()),
        );
        set(
            &mut body,
            "approximate_presence_count",
            json!(guild.members.len() / 3),
        );
    }
    Ok(ok(body))
}

async fn patch_guild(sim: Data<Shared>, id: Path<Snowflake>, patch: Json<GuildPatch>) -> Answer {
    let GuildPatch { name, description } = patch.into_inner();
    sim.change(|world| world.patch_guild(*id, name, description))
        .map(ok)
}

async fn channels(sim: Data<Shared>, id: Path<Snowflake>) -> Answer {
    let state = sim.state();
    state.world.guild(*id)?;
    let channels: Vec<Value> = state.world.channels_of(*id).map(Channel::to_json).collect();
    Ok(ok(channels))
}

async fn create_channel(
    sim: Data<Shared>,
    id: Path<Snowflake>,
    draft: Json<ChannelDraft>,
) -> Answer {
    sim.change(|world| world.create_channel(*id, draft.into_inner()))
        .map(created)
}

async fn active_threads(sim: Data<Shared>, id: Path<Snowflake>) -> Answer {
    sim.state().world.active_threads(*id).map(ok)
}

async fn roles(sim: Data<Shared>, id: Path<Snowflake>) -> Answer {
    let state = sim.state();
    Ok(ok(state
        .world
        .guild(*id)?
        .roles
        .values()
        .collect::<Vec<_>>()))
}

async fn create_role(sim: Data<Shared>, id: Path<Snowflake>, patch: Json<RolePatch>) -> Answer {
    sim.change(|world| world.create_role(*id, patch.into_inner()))
        .map(ok)
}

async fn patch_role(
    sim: Data<Shared>,
    ids: Path<(Snowflake, Snowflake)>,
    patch: Json<RolePatch>,
) -> Answer {
    let (guild, role) = ids.into_inner();
    sim.change(|world| world.patch_role(guild, role, patch.into_inner()))
        .map(ok)
}

async fn delete_role(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (guild, role) = ids.into_inner();
    sim.change(|world| world.delete_role(guild, role))
        .map(no_content)
}
