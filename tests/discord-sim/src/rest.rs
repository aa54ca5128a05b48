//! The REST API under `/api/v10`: routes, authorisation, and the faults that can befall any request.
//! Handlers read a request and call one method of the world; what they answer is Discord's JSON.

pub(crate) mod application;
mod channels;
mod guilds;
mod members;
mod messages;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::TOKEN;
use crate::faults::{RateScope, RestFault};
use crate::refusal::Refusal;
use crate::sim::Shared;

/// What every handler answers.
type Answer = Result<HttpResponse, Refusal>;

/// Adds the routes below `/api/v10`.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    application::configure(config);
    guilds::configure(config);
    members::configure(config);
    channels::configure(config);
    messages::configure(config);
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

/// Lets a request through: first the faults, then the token. Only `/gateway` asks for none.
pub(crate) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse, actix_web::Error> {
    let fault = request
        .app_data::<web::Data<Shared>>()
        .and_then(|sim| sim.state().faults.rest());
    match fault {
        Some(RestFault::Slow(delay)) => tokio::time::sleep(delay).await,
        Some(RestFault::Unavailable) => {
            let answer = HttpResponse::ServiceUnavailable()
                .json(json!({ "message": "503: Service Unavailable", "code": 0 }));
            return Ok(request.into_response(answer));
        }
        Some(RestFault::RateLimited { scope, retry_after }) => {
            return Ok(request.into_response(rate_limited(scope, retry_after)));
        }
        None => {}
    }
    if !request.path().ends_with("/v10/gateway") && !is_authorised(&request) {
        return Ok(request.into_response(Refusal::Unauthorized.error_response()));
    }
    next.call(request)
        .await
        .map(ServiceResponse::map_into_boxed_body)
}

fn is_authorised(request: &ServiceRequest) -> bool {
    let header = request.headers().get(header::AUTHORIZATION);
    let token = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bot "));
    token == Some(TOKEN)
}

/// A 429 with the headers of its scope: <https://discord.com/developers/docs/topics/rate-limits>.
fn rate_limited(scope: RateScope, retry_after: std::time::Duration) -> HttpResponse {
    let seconds = retry_after.as_secs_f64();
    let mut answer = HttpResponse::TooManyRequests();
    answer.insert_header((header::RETRY_AFTER, format!("{:.0}", seconds.ceil())));
    let name = match scope {
        RateScope::Html => {
            answer.insert_header((header::CONTENT_TYPE, "text/html"));
            return answer.body("<html><head><title>429 Too Many Requests</title></head></html>");
        }
        RateScope::Global => "global",
        RateScope::Shared => "shared",
        RateScope::User => "user",
    };
    answer.insert_header(("X-RateLimit-Scope", name));
    if scope == RateScope::Global {
        answer.insert_header(("X-RateLimit-Global", "true"));
    } else {
        let reset = crate::snowflake::unix_ms()
            + u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        answer.insert_header(("X-RateLimit-Limit", "5"));
        answer.insert_header(("X-RateLimit-Remaining", "0"));
        answer.insert_header((
            "X-RateLimit-Reset",
            format!("{}.{:03}", reset / 1_000, reset % 1_000),
        ));
        answer.insert_header(("X-RateLimit-Reset-After", format!("{seconds:.3}")));
        answer.insert_header(("X-RateLimit-Bucket", "5f2a1c0d9e8b7a6f"));
    }
    answer.json(json!({
        "message": "You are being rate limited.",
        "retry_after": seconds,
        "global": scope == RateScope::Global,
    }))
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
