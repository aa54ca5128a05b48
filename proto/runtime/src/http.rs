//! The HTTP answers that every service gives alike: errors, and the bodies of the probes (contract.md §3).

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use crate::health::Health;
use crate::time::now_iso;

/// The JSON error of contract.md §3; `code` where the table has one.
pub fn problem(status: StatusCode, message: &str, code: Option<&str>) -> HttpResponse {
    let error = status.canonical_reason().unwrap_or("Error");
    let mut body = json!({ "error": error, "message": message, "timestamp": now_iso() });
    if let (Some(code), Some(object)) = (code, body.as_object_mut()) {
        object.insert("code".into(), code.into());
    }
    HttpResponse::build(status).json(body)
}

/// The answer to a route that does not exist.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    let message = format!("Route {} {} not found", request.method(), request.path());
    HttpResponse::NotFound().json(json!({
        "error": "Not found",
        "message": message,
        "timestamp": now_iso(),
    }))
}

/// `/api/live`: whoever sends this runs.
pub fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "alive", "timestamp": now_iso() }))
}

/// `/api/ready`, with `more` beside its fields: 200, or 503 with what speaks against it.
pub fn ready(health: &Health, more: &Value) -> HttpResponse {
    let unready = health.unready();
    if unready.is_empty() {
        let body = json!({ "status": "ready", "timestamp": now_iso() });
        return HttpResponse::Ok().json(merged(body, more));
    }
    let body = json!({ "status": "not ready", "timestamp": now_iso(), "checks": unready });
    HttpResponse::ServiceUnavailable().json(merged(body, more))
}

/// The checks as `/api/health` shows them: `{ name: "up" | "down" | "off" }`.
pub fn checks(health: &Health) -> Value {
    let words = health.checks().into_iter();
    words
        .map(|(part, check)| (part.to_owned(), Value::from(check.word())))
        .collect()
}

/// The fields of `more` beside those of `body`; where both have one, `more` wins.
pub fn merged(mut body: Value, more: &Value) -> Value {
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    body
}

/// The memory of this process as `{ used, total }` in whole megabytes: resident and virtual.
pub fn memory() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let megabytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        format!("{}MB", kib.unwrap_or(0) / 1024)
    };
    json!({ "used": megabytes("VmRSS:"), "total": megabytes("VmSize:") })
}
