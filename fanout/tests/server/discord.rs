//! As much of Discord as a login and an issuer's keys need.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{self, Data, Form};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use serde_json::{Value, json};

/// A running server.
pub(crate) struct Discord {
    pub(crate) address: SocketAddr,
    pub(crate) key_fetches: Arc<AtomicU64>,
    handle: actix_web::dev::ServerHandle,
}

#[derive(Clone)]
struct State {
    key_fetches: Arc<AtomicU64>,
    keys: Value,
}

impl Discord {
    /// A server that publishes these keys.
    pub(crate) fn start(keys: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let key_fetches = Arc::new(AtomicU64::new(0));
        let state = State {
            key_fetches: key_fetches.clone(),
            keys,
        };
        let server = HttpServer::new(move || {
            App::new()
                .app_data(Data::new(state.clone()))
                .route("/keys", web::get().to(serve_keys))
                .route("/api/oauth2/token", web::post().to(exchange))
                .route("/api/users/@me", web::get().to(me))
                .route("/api/users/@me/guilds", web::get().to(guilds))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            address,
            key_fetches,
            handle,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Discord {
    fn drop(&mut self) {
        tokio::spawn(self.handle.stop(false));
    }
}

async fn serve_keys(state: Data<State>) -> HttpResponse {
    state.key_fetches.fetch_add(1, Relaxed);
    HttpResponse::Ok().json(&state.keys)
}

/// The code is good with the right secret and any verifier.
async fn exchange(request: HttpRequest, form: Form<HashMap<String, String>>) -> HttpResponse {
    // "client:secret" in base64.
    let is_client = request
        .headers()
        .get(AUTHORIZATION)
        .is_some_and(|value| value == "Basic Y2xpZW50OnNlY3JldA==");
    let is_good = form.get("code").is_some_and(|code| code == "good")
        && form
            .get("code_verifier")
            .is_some_and(|verifier| verifier.len() >= 43);
    if !is_client || !is_good {
        return HttpResponse::BadRequest().json(json!({ "error": "invalid_grant" }));
    }
    HttpResponse::Ok().json(json!({
        "access_token": "access",
        "token_type": "Bearer",
        "expires_in": 604_800,
        "scope": "identify guilds",
    }))
}

fn is_bearer(request: &HttpRequest) -> bool {
    let header = request.headers().get(AUTHORIZATION);
    header.is_some_and(|value| value == "Bearer access")
}

async fn me(request: HttpRequest) -> HttpResponse {
    if !is_bearer(&request) {
        return HttpResponse::Unauthorized().finish();
    }
    HttpResponse::Ok().json(json!({ "id": "2", "username": "user2", "email": "a@b.example" }))
}

async fn guilds(request: HttpRequest) -> HttpResponse {
    if !is_bearer(&request) {
        return HttpResponse::Unauthorized().finish();
    }
    HttpResponse::Ok().json(json!([{ "id": "100", "name": "guild" }, { "id": "7" }]))
}
