//! What a test asks of the simulator that no client asks of Discord: the world at a glance, load, faults, statistics.
//! Under `/sim`, without a token; the simulator binds loopback unless told otherwise.

use actix_web::web::{self, Data, Json};
use actix_web::{HttpResponse, Responder};

use crate::faults::FaultRequest;
use crate::load::{self, LoadRequest};
use crate::refusal::Refusal;
use crate::sim::Shared;

/// Adds the routes below `/sim`.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/world", web::get().to(world))
        .route("/stats", web::get().to(stats))
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
