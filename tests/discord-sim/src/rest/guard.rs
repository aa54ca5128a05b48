//! What stands before every REST request: faults, limits, and who asks.
//! It names the caller to the handlers and writes the rate-limit headers; it knows no route but those open to strangers.

use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpResponse, ResponseError, web};
use serde_json::json;

use crate::TOKEN;
use crate::faults::{RateScope, RestFault};
use crate::limits::{Budget, Call, Limited};
use crate::oauth2::logins::Grant;
use crate::refusal::Refusal;
use crate::sim::Shared;

/// Routes that need no token; a webhook's own token is in its path, a login's secret in its form.
const OPEN: [&str; 5] = [
    "/gateway",
    "/oauth2/token",
    "/oauth2/token/revoke",
    "/webhooks/{}/{}",
    "/webhooks/{}/{}/messages/{}",
];
/// Routes that a person's own token opens.
const PERSONAL: [&str; 4] = [
    "/users/@me",
    "/users/@me/guilds",
    "/users/@me/guilds/{}/member",
    "/oauth2/@me",
];
/// The bucket that a fault's 429 names as its limit.
const FAULT_LIMIT: u32 = 5;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    Bot,
    /// Somebody who has logged in, with what they agreed to.
    Person(Grant),
    /// Nobody, on a route that asks nobody.
    Stranger,
}

/// What comes of a request before its handler sees it.
enum Admission {
    Pass(Budget, Duration),
    Limited(Limited),
    Unavailable,
}

/// Lets a request through: first the faults and the limits, then the token.
pub(crate) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(sim) = request.app_data::<web::Data<Shared>>().cloned() else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()));
    };
    let call = call_of(&request);
    let budget = match admit(&sim, &call) {
        Admission::Pass(budget, delay) => {
            tokio::time::sleep(delay).await;
            budget
        }
        Admission::Limited(limited) => {
            if limited.scope != RateScope::Shared {
                sim.state().limits.note_invalid();
            }
            return Ok(request.into_response(too_many(&limited)));
        }
        Admission::Unavailable => {
            let body = json!({ "message": "503: Service Unavailable", "code": 0 });
            return Ok(request.into_response(HttpResponse::ServiceUnavailable().json(body)));
        }
    };
    let mut response = match caller(&sim, &request, &call) {
        Some(_) if sim.state().world.has_left(&call.resource) => {
            request.into_response(Refusal::MissingAccess.error_response())
        }
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.call(request).await?.map_into_boxed_body()
        }
        None => request.into_response(Refusal::Unauthorized.error_response()),
    };
    if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&response.status()) {
        sim.state().limits.note_invalid();
    }
    if response.status() != StatusCode::UNAUTHORIZED {
        write_budget(response.headers_mut(), &budget);
    }
    Ok(response)
}

fn admit(sim: &Shared, call: &Call) -> Admission {
    let state = &mut *sim.state();
    let now = Instant::now();
    state.limits.count(call, now);
    let fault = state.faults.rest(call, now);
    let admitted = match fault {
        Some(RestFault::Unavailable) => return Admission::Unavailable,
        Some(RestFault::RateLimited { scope, retry_after }) => {
            let mut budget = state.limits.budget(call, now);
            budget.limit = FAULT_LIMIT;
            budget.remaining = 0;
            budget.reset_after = retry_after;
            Err(Limited {
                scope,
                retry_after,
                budget,
            })
        }
        Some(RestFault::Slow(_)) | None => state.limits.admit(call, now),
    };
    match (admitted, fault) {
        (Err(limited), _) => {
            let until = now + limited.retry_after;
            state.limits.told_to_wait(call, limited.scope, until);
            Admission::Limited(limited)
        }
        (Ok(budget), Some(RestFault::Slow(delay))) => Admission::Pass(budget, delay),
        (Ok(budget), _) => Admission::Pass(budget, Duration::ZERO),
    }
}

fn call_of(request: &ServiceRequest) -> Call {
    let pattern = request.match_pattern().unwrap_or_default();
    let path = pattern.strip_prefix("/api/v10").unwrap_or(&pattern);
    let template: Vec<_> = path
        .split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part })
        .collect();
    let template = template.join("/");
    let real = request.path().trim_start_matches("/api/v10/");
    let mut parts = real.split('/');
    let resource = match parts.next() {
        Some("channels" | "guilds" | "webhooks") => parts.next().unwrap_or_default(),
        _ => "",
    };
    let is_read = request.method() == Method::GET || template == "/attachments/refresh-urls";
    Call {
        route: format!("{} {template}", request.method()),
        resource: resource.to_owned(),
        is_read,
    }
}

fn caller(sim: &Shared, request: &ServiceRequest, call: &Call) -> Option<Caller> {
    let header = request.headers().get(header::AUTHORIZATION);
    let header = header.and_then(|value| value.to_str().ok());
    let path = call.route.split_once(' ').map_or("", |(_, path)| path);
    if header.and_then(|value| value.strip_prefix("Bot ")) == Some(TOKEN) {
        return Some(Caller::Bot);
    }
    if let Some(token) = header.and_then(|value| value.strip_prefix("Bearer "))
        && PERSONAL.contains(&path)
    {
        let state = sim.state();
        return state
            .logins
            .grant(token, Instant::now())
            .map(Caller::Person);
    }
    OPEN.contains(&path).then_some(Caller::Stranger)
}

fn write_budget(headers: &mut HeaderMap, budget: &Budget) {
    let reset_ms = crate::snowflake::unix_ms()
        + u64::try_from(budget.reset_after.as_millis()).unwrap_or(u64::MAX);
    let values = [
        ("x-ratelimit-limit", budget.limit.to_string()),
        ("x-ratelimit-remaining", budget.remaining.to_string()),
        (
            "x-ratelimit-reset",
            format!("{}.{:03}", reset_ms / 1_000, reset_ms % 1_000),
        ),
        ("x-ratelimit-reset-after", seconds(budget.reset_after)),
        ("x-ratelimit-bucket", budget.bucket.clone()),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// A 429 with the headers of its scope: <https://discord.com/developers/docs/topics/rate-limits>.
fn too_many(limited: &Limited) -> HttpResponse {
    // Rounded up to what is written, so that whoever waits that long does not come too early.
    let millis = limited.retry_after.as_micros().div_ceil(1_000);
    let retry_after = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    let mut answer = HttpResponse::TooManyRequests();
    let whole_seconds = retry_after.as_millis().div_ceil(1_000);
    answer.insert_header((header::RETRY_AFTER, whole_seconds.to_string()));
    let scope = match limited.scope {
        RateScope::Html => {
            answer.insert_header((header::CONTENT_TYPE, "text/html"));
            return answer.body("<html><head><title>429 Too Many Requests</title></head></html>");
        }
        RateScope::Cloudflare => {
            answer.insert_header((header::CONTENT_TYPE, "text/html; charset=UTF-8"));
            answer.insert_header((header::SERVER, "cloudflare"));
            return answer.body(
                "<!DOCTYPE html><html><head><title>Access denied | discord.com used Cloudflare to restrict access\
                 </title></head><body>error code: 1015</body></html>",
            );
        }
        RateScope::Global => "global",
        RateScope::Shared => "shared",
        RateScope::User => "user",
    };
    answer.insert_header(("X-RateLimit-Scope", scope));
    let is_global = limited.scope == RateScope::Global;
    if is_global {
        answer.insert_header(("X-RateLimit-Global", "true"));
    }
    let mut answer = answer.json(json!({
        "message": "You are being rate limited.",
        "retry_after": retry_after.as_secs_f64(),
        "global": is_global,
    }));
    if !is_global {
        let budget = Budget {
            remaining: 0,
            reset_after: retry_after,
            ..limited.budget.clone()
        };
        write_budget(answer.headers_mut(), &budget);
    }
    answer
}

fn seconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64())
}
