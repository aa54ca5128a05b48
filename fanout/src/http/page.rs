//! The page, or what a program gets in its place.

use actix_web::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse};
use runtime::time::now_iso;
use serde_json::json;

use super::VERSION;

const HTML: &str = include_str!("../../viewer/index.html");
const SCRIPT: &str = include_str!("../../viewer/viewer.js");

/// `GET /`: the page for who asks for HTML, a JSON greeting for everybody else.
pub(super) async fn index(request: HttpRequest) -> HttpResponse {
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        return viewer().await;
    }
    HttpResponse::Ok().json(json!({
        "message": "Discord Stream",
        "version": VERSION,
        "status": "running",
        "timestamp": now_iso(),
    }))
}

/// The page.
pub(super) async fn viewer() -> HttpResponse {
    asset("text/html; charset=utf-8", HTML)
}

/// The page's script.
pub(super) async fn script() -> HttpResponse {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

fn asset(kind: &'static str, body: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .body(body)
}
