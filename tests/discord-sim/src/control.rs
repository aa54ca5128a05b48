//! What a test asks of the simulator that no client asks of Discord: the world at a glance, load, faults, statistics.
//! Under `/sim`, without a token; the simulator binds loopback unless told otherwise.

use actix_web::web::{self, Data, Json, Path};
use actix_web::{HttpResponse, Responder};
use serde::Deserialize;

use crate::application::ApplicationPatch;
use crate::faults::FaultRequest;
use crate::gateway::entrance::EntrancePatch;
use crate::guild::Standing;
use crate::limits::LimitsPatch;
use crate::load::{self, LoadRequest};
use crate::refusal::Refusal;
use crate::sim::Shared;
use crate::snowflake::Snowflake;

/// The body of `POST /sim/guilds/{id}`.
#[derive(Deserialize)]
struct StandingPatch {
    state: Standing,
}

/// Adds the routes below `/sim`.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/world", web::get().to(world))
        .route("/stats", web::get().to(stats))
        .route("/application", web::post().to(patch_application))
        .route("/gateway", web::post().to(patch_entrance))
        .route("/guilds/{guild}", web::post().to(set_standing))
        .route("/limits", web::post().to(patch_limits))
        .route("/load", web::post().to(start_load))
        .route("/faults", web::post().to(inject));
}

async fn world(sim: Data<Shared>) -> impl Responder {
    Json(sim.state().world.overview())
}

async fn stats(sim: Data<Shared>) -> impl Responder {
    Json(sim.stats())
}

async fn start_load(
    sim: Data<Shared>,
    request: Json<LoadRequest>,
) -> Result<HttpResponse, Refusal> {
    load::start(&sim.into_inner(), request.into_inner())?;
    Ok(HttpResponse::Accepted().finish())
}

async fn inject(sim: Data<Shared>, request: Json<FaultRequest>) -> Result<HttpResponse, Refusal> {
    let state = &mut *sim.state();
    state.faults.inject(&state.lines, &request)?;
    Ok(HttpResponse::NoContent().finish())
}

async fn patch_application(sim: Data<Shared>, patch: Json<ApplicationPatch>) -> HttpResponse {
    sim.state().application.patch(patch.into_inner());
    HttpResponse::NoContent().finish()
}

async fn patch_entrance(
    sim: Data<Shared>,
    patch: Json<EntrancePatch>,
) -> Result<HttpResponse, Refusal> {
    sim.state().entrance.patch(&patch)?;
    Ok(HttpResponse::NoContent().finish())
}

async fn patch_limits(
    sim: Data<Shared>,
    patch: Json<LimitsPatch>,
) -> Result<HttpResponse, Refusal> {
    sim.state().limits.patch(&patch)?;
    Ok(HttpResponse::NoContent().finish())
}

/// An outage of a guild and its end, or the bot's removal from it.
async fn set_standing(
    sim: Data<Shared>,
    guild: Path<Snowflake>,
    patch: Json<StandingPatch>,
) -> Result<HttpResponse, Refusal> {
    sim.change(|world| world.set_standing(*guild, patch.state))?;
    Ok(HttpResponse::NoContent().finish())
}
