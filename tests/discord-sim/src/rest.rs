//! The REST API under `/api/v10`: its routes, and how they answer.
//! Handlers read a request and call one method of the world; what they answer is Discord's JSON.

mod application;
mod channels;
pub(crate) mod guard;
mod guilds;
mod members;
mod messages;
mod uploads;
mod webhooks;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// What every handler answers.
type Answer = Result<HttpResponse, Refusal>;

/// Adds the routes below `/api/v10`.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    crate::oauth2::configure_api(config);
    application::configure(config);
    guilds::configure(config);
    members::configure(config);
    channels::configure(config);
    messages::configure(config);
    webhooks::configure(config);
}

/// Where the client that sent this request reaches our gateway.
pub(crate) fn gateway_url(request: &HttpRequest) -> String {
    let info = request.connection_info();
    let scheme = if info.scheme() == "https" {
        "wss"
    } else {
        "ws"
    };
    format!("{scheme}://{}/gateway", info.host())
}

/// Reads a body that may be left out.
fn read_or_default<T: Default + DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| Refusal::Form(error.to_string()))
}

fn ok(body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(body)
}

fn created(body: impl Serialize) -> HttpResponse {
    HttpResponse::Created().json(body)
}

fn no_content(_: ()) -> HttpResponse {
    HttpResponse::NoContent().finish()
}
