//! Probes and status: words for everybody, details for the bearer of `OPS_TOKEN`.

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use runtime::http::{checks, memory};
use runtime::time::{iso, now_iso};
use runtime::{Check, Health};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{VERSION, Web};

/// `/api/live`, answered by a loop that serves sockets: 503 when one of them stands still.
pub(super) async fn live(web: Data<Web>) -> HttpResponse {
    if web.instance.is_alive() {
        return runtime::http::live();
    }
    let message = "a socket loop stands still";
    runtime::http::problem(StatusCode::SERVICE_UNAVAILABLE, message, None)
}

/// `/api/ready`
pub(super) async fn ready(web: Data<Web>) -> HttpResponse {
    runtime::http::ready(&web.health, &json!({}))
}

/// `/api/health`: unhealthy is what a restart cures; a part that is away makes it degraded.
pub(super) async fn health(web: Data<Web>) -> HttpResponse {
    let is_alive = web.instance.is_alive();
    let status = match (is_alive, web.health.is_whole()) {
        (false, _) => "unhealthy",
        (true, true) => "healthy",
        (true, false) => "degraded",
    };
    let code = if is_alive {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    HttpResponse::build(code).json(json!({
        "status": status,
        "timestamp": now_iso(),
        "uptime": web.health.uptime().as_secs_f64(),
        "connections": connections(&web),
        "memory": memory(),
        "environment": web.environment,
        "checks": checks(&web.health),
    }))
}

/// `/api/metrics`
pub(super) async fn metrics(request: HttpRequest, web: Data<Web>) -> HttpResponse {
    let rooms = web.instance.rooms();
    let total = rooms.len();
    let active = if is_ops(&request, &web) {
        rooms
    } else {
        Vec::new()
    };
    let active: Vec<_> = active
        .into_iter()
        .map(|(channel, count)| json!({ "channelId": channel.to_string(), "userCount": count }))
        .collect();
    let (user, system) = cpu_microseconds();
    HttpResponse::Ok().json(json!({
        "connections": connections(&web),
        "rooms": { "total": total, "channels": total, "activeChannels": active },
        "performance": {
            "eventLoopDelay": u64::try_from(web.instance.loop_delay().as_nanos()).unwrap_or(u64::MAX),
            "cpuUsage": { "user": user, "system": system },
        },
    }))
}

/// `/api/status`
pub(super) async fn status(request: HttpRequest, web: Data<Web>) -> HttpResponse {
    let part = |name| json!({ "status": web.health.check(name).word() });
    let seen = web.feed.last_event_ms();
    let mut body = json!({
        "server": { "uptime": web.health.uptime().as_secs_f64(), "memory": memory() },
        "connections": connections(&web),
        "discord": {
            "connected": is_up(&web.health, "ingest"),
            "since": Value::Null,
            "lastEvent": seen.map(iso),
        },
        "database": part("database"),
        "redis": part("redis"),
        "nats": part("nats"),
        "version": VERSION,
        "environment": web.environment,
    });
    if is_ops(&request, &web) {
        let position = web.feed.position();
        let delivered = web
            .instance
            .delivered
            .load(std::sync::atomic::Ordering::Relaxed);
        let known = web
            .instance
            .known
            .load(std::sync::atomic::Ordering::Relaxed);
        if let Some(server) = body.get_mut("server").and_then(Value::as_object_mut) {
            server.insert("pid".into(), std::process::id().into());
            server.insert("position".into(), position.to_string().into());
            server.insert("delivered".into(), delivered.into());
            server.insert("known".into(), known.into());
        }
    }
    HttpResponse::Ok().json(body)
}

fn is_up(health: &Health, part: &str) -> bool {
    health.check(part) == Check::Up
}

fn connections(web: &Web) -> Value {
    let (total, discord) = web.instance.connections();
    json!({ "total": total, "discord": discord })
}

/// The bearer of the operators' token. Every byte is compared, so that the time tells nothing.
fn is_ops(request: &HttpRequest, web: &Web) -> bool {
    let Some(expected) = &web.ops_token else {
        return false;
    };
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Some(given) = header.and_then(|value| value.strip_prefix("Bearer ")) else {
        return false;
    };
    let expected = expected.expose_secret().as_bytes();
    let differences = expected
        .iter()
        .zip(given.as_bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    expected.len() == given.len() && differences == 0
}

/// Time that this process has had, in user and in system mode, from `/proc/self/stat` (clock ticks of 10 ms).
fn cpu_microseconds() -> (u64, u64) {
    const TICK_MICROSECONDS: u64 = 10_000;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces: fields are counted behind it (proc_pid_stat(5), 14 and 15).
    let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = behind
        .split_whitespace()
        .skip(11)
        .map(|field| field.parse().unwrap_or(0));
    let mut next = || fields.next().unwrap_or(0) * TICK_MICROSECONDS;
    (next(), next())
}
