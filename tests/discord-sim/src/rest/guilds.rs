//! Guilds: themselves, their channels, roles, bans and active threads.

use actix_web::web::{self, Data, Json, Path, Query};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, created, no_content, ok};
use crate::channel::Channel;
use crate::guild::GuildEmoji;
use crate::object::{Patch, set};
use crate::refusal::Refusal;
use crate::sim::Shared;
use crate::snowflake::Snowflake;
use crate::world::channels::{ChannelDraft, ChannelPatch};
use crate::world::roles::RolePatch;

#[derive(Deserialize)]
struct GuildPatch {
    name: Option<String>,
    description: Option<String>,
    owner_id: Option<Snowflake>,
}

/// One line of a reordering.
#[derive(Deserialize)]
struct Place {
    id: Snowflake,
    position: Option<i64>,
    #[serde(default)]
    parent_id: Patch<Snowflake>,
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
        .route("/guilds/{guild}/channels", web::patch().to(order_channels))
        .route("/guilds/{guild}/emojis", web::get().to(emojis))
        .route("/guilds/{guild}/roles", web::post().to(create_role))
        .route("/guilds/{guild}/roles", web::patch().to(order_roles))
        .route("/guilds/{guild}/roles/{role}", web::get().to(role))
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
    let GuildPatch {
        name,
        description,
        owner_id,
    } = patch.into_inner();
    sim.change(|world| world.patch_guild(*id, name, description, owner_id))
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

async fn role(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (guild, role) = ids.into_inner();
    let state = sim.state();
    let role = state.world.guild(guild)?.roles.get(&role);
    Ok(ok(role.ok_or(Refusal::UnknownRole)?))
}

async fn order_roles(sim: Data<Shared>, id: Path<Snowflake>, places: Json<Vec<Place>>) -> Answer {
    let places: Vec<_> = places
        .into_inner()
        .into_iter()
        .filter_map(|place| Some((place.id, place.position?)))
        .collect();
    sim.change(|world| world.order_roles(*id, &places))?;
    roles(sim, id).await
}

async fn order_channels(
    sim: Data<Shared>,
    id: Path<Snowflake>,
    places: Json<Vec<Place>>,
) -> Answer {
    sim.change(|world| {
        for place in places.into_inner() {
            if world.channel(place.id)?.guild_id != *id {
                return Err(Refusal::UnknownChannel);
            }
            let patch = ChannelPatch::moved(place.position, place.parent_id);
            world.patch_channel(place.id, patch)?;
        }
        Ok(())
    })
    .map(no_content)
}

async fn emojis(sim: Data<Shared>, id: Path<Snowflake>) -> Answer {
    let state = sim.state();
    let emojis = state.world.guild(*id)?.emojis.iter();
    Ok(ok(emojis.map(GuildEmoji::to_json).collect::<Vec<_>>()))
}
