//! The probes of ingest: `/api/live`, `/api/ready`, `/api/health`, `/api/status` (contract.md §3).
//!
//! They say what is known without asking anybody; no address, no id, no error text leaves through them.

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use runtime::http as answers;
use runtime::time::now_iso;
use runtime::{Check, Health};
use serde_json::{Value, json};

use crate::status::Status;

/// What the probes tell of.
#[derive(Debug, Clone)]
pub struct Probes {
    /// The state of ingest.
    pub status: Status,
    /// The state of its parts.
    pub health: Health,
    /// `APP_ENV`.
    pub environment: String,
}

impl Probes {
    /// Adds the routes, and the JSON 404 for all others.
    pub fn configure(self, config: &mut ServiceConfig) {
        config
            .app_data(Data::new(self))
            .route("/api/live", web::get().to(live))
            .route("/api/ready", web::get().to(ready))
            .route("/api/health", web::get().to(health))
            .route("/api/status", web::get().to(status))
            .default_service(web::to(answers::not_found));
    }

    fn health_json(&self) -> Value {
        let word = if self.health.is_whole() {
            "healthy"
        } else {
            "degraded"
        };
        let connections = u8::from(self.status.is_connected());
        json!({
            "status": word,
            "timestamp": now_iso(),
            "uptime": self.health.uptime().as_secs(),
            "connections": { "total": connections, "discord": connections },
            "memory": answers::memory(),
            "environment": self.environment,
            "checks": answers::checks(&self.health),
        })
    }

    fn status_json(&self) -> Value {
        let part = |name| self.health.check(name).word();
        let body = json!({
            "timestamp": now_iso(),
            "server": { "uptime": self.health.uptime().as_secs(), "memory": answers::memory() },
            "nats": part("nats"),
            "database": part("database"),
            "redis": Check::Off.word(),
            "version": env!("CARGO_PKG_VERSION"),
            "environment": self.environment,
        });
        answers::merged(body, &self.status.json())
    }
}

async fn live() -> impl Responder {
    answers::live()
}

async fn ready(probes: Data<Probes>) -> impl Responder {
    answers::ready(&probes.health, &json!({ "role": probes.status.role() }))
}

async fn health(probes: Data<Probes>) -> impl Responder {
    HttpResponse::Ok().json(probes.health_json())
}

async fn status(probes: Data<Probes>) -> impl Responder {
    HttpResponse::Ok().json(probes.status_json())
}

#[cfg(test)]
mod tests {
    use actix_web::{App, test};

    use super::*;

    async fn get(probes: Probes, path: &str) -> (u16, Value) {
        let app = App::new().configure(|config| probes.configure(config));
        let app = test::init_service(app).await;
        let request = test::TestRequest::get().uri(path).to_request();
        let response = test::call_service(&app, request).await;
        let status = response.status().as_u16();
        (status, test::read_body_json(response).await)
    }

    #[actix_web::test]
    async fn the_probes_say_what_is_held_against_readiness_and_which_role_this_is() {
        let probes = Probes {
            status: Status::default(),
            health: Health::new(),
            environment: "test".into(),
        };
        probes.health.hold("lease", "not settled yet");
        let (code, body) = get(probes.clone(), "/api/ready").await;
        assert_eq!((code, &body["role"]), (503, &json!("standby")));
        probes.health.release("lease");
        probes.status.on_role(true);
        let (code, body) = get(probes.clone(), "/api/ready").await;
        assert_eq!((code, &body["role"]), (200, &json!("leader")));
        probes.health.set("nats", Check::Down);
        let (code, body) = get(probes.clone(), "/api/health").await;
        assert_eq!((code, &body["status"]), (200, &json!("degraded")));
        assert_eq!(body["checks"]["nats"], "down");
        let (code, body) = get(probes.clone(), "/api/status").await;
        assert_eq!((code, &body["outcomes"]["received"]), (200, &json!(0)));
        assert_eq!(get(probes.clone(), "/api/live").await.0, 200);
        let (code, body) = get(probes, "/nowhere").await;
        assert_eq!((code, &body["error"]), (404, &json!("Not found")));
    }
}
