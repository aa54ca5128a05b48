//! The routes of contract.md §3 that this instance answers by itself: probes, status, the page, 404.

mod channels;
mod headers;
mod login;
mod page;
pub(crate) mod refusal;
mod session;
mod status;

use std::rc::Rc;
use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use runtime::Health;
use runtime::http::not_found;
use secrecy::SecretString;

use crate::auth::CALLBACK;
use crate::feed::FeedHandle;
use crate::instance::Instance;
use crate::transport::Door;
use crate::transport::websocket::Bounds;

/// What the routes look at.
#[derive(Debug, Clone)]
pub struct Web {
    /// The parts and readiness.
    pub health: Health,
    /// Connections, rooms, heartbeats.
    pub instance: Arc<Instance>,
    /// Where the feed stands.
    pub feed: FeedHandle,
    /// What opens the details.
    pub ops_token: Option<SecretString>,
    /// The name of the environment.
    pub environment: String,
}

pub use headers::SecurityHeaders;
pub(crate) use headers::{cors, of_our_pages, secured};
pub use login::Landing;
pub use session::Accounts;

/// The version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Puts the routes of tokens and logins into a worker's app.
pub fn accounts(accounts: Accounts) -> impl FnOnce(&mut ServiceConfig) {
    move |app| {
        app.app_data(web::Data::new(accounts))
            .route(CALLBACK, web::get().to(login::callback))
            .route("/api/auth/discord/login", web::get().to(login::login))
            .route("/api/auth/logout", web::post().to(session::logout))
            .route("/api/auth/refresh", web::post().to(session::refresh))
            .route("/api/auth/ticket", web::post().to(session::ticket));
    }
}

/// Puts the routes into a worker's app.
pub fn routes(web: Web, door: Rc<Door>, bounds: Bounds) -> impl FnOnce(&mut ServiceConfig) {
    move |app| {
        app.app_data(web::Data::new(web))
            .app_data(web::Data::new(door))
            .app_data(web::Data::new(bounds))
            .route("/api/channels", web::get().to(channels::list))
            .route(
                "/api/channels/{channel}/messages",
                web::get().to(channels::messages),
            )
            .route(
                "/api/channels/{channel}/stream",
                web::get().to(channels::stream),
            )
            .route("/", web::get().to(page::index))
            .route("/login", web::get().to(page::viewer))
            .route("/assets/{name}", web::get().to(page::asset))
            .route("/embed/{channel}", web::get().to(page::embed))
            // The page names its files relative to itself.
            .route("/embed/assets/{name}", web::get().to(page::asset))
            .route("/api/live", web::get().to(status::live))
            .route("/api/live", web::head().to(status::live))
            .route("/api/ready", web::get().to(status::ready))
            .route("/api/ready", web::head().to(status::ready))
            .route("/api/health", web::get().to(status::health))
            .route("/api/health", web::head().to(status::health))
            .route("/api/metrics", web::get().to(status::metrics))
            .route("/api/status", web::get().to(status::status))
            .default_service(web::route().to(not_found));
    }
}
