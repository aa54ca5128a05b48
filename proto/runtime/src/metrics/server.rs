//! `GET /metrics` on a port of its own (`METRICS_PORT`), which no visitor of the public one reaches.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::Context as _;
use tokio::task::JoinHandle;

use super::Metrics;
use crate::http::not_found;
use crate::settings::Settings;

/// How long the server may take to end: a scrape that hangs is not waited for.
const END: Duration = Duration::from_secs(1);

/// The running server.
#[derive(Debug)]
#[must_use = "it ends in `stop`"]
pub struct MetricsServer {
    /// Where it listens.
    pub address: Option<SocketAddr>,
    running: Option<(ServerHandle, JoinHandle<std::io::Result<()>>)>,
}

/// Listens on `METRICS_PORT`, or on the service's default; on nothing where both are unset.
///
/// # Errors
/// The setting is malformed, or the port is taken.
pub fn listen(
    settings: &Settings,
    default: Option<u16>,
    metrics: Metrics,
) -> anyhow::Result<MetricsServer> {
    let port = settings.parsed::<u16>("METRICS_PORT", "a whole number")?;
    let Some(port) = port.or(default) else {
        return Ok(MetricsServer {
            address: None,
            running: None,
        });
    };
    let app = move || {
        App::new()
            .app_data(Data::new(metrics.clone()))
            .route("/metrics", web::get().to(page))
            .default_service(web::to(not_found))
    };
    let server = HttpServer::new(app).workers(1).disable_signals();
    let bound = server.bind(("0.0.0.0", port));
    let bound = bound.with_context(|| format!("METRICS_PORT {port} can't be listened on"))?;
    let address = bound.addrs().first().copied();
    let server = bound.run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    if let Some(address) = address {
        tracing::info!(%address, "metrics are served");
    }
    Ok(MetricsServer {
        address,
        running: Some((handle, serving)),
    })
}

impl MetricsServer {
    /// Ends it, after everything that it tells of.
    pub async fn stop(self) {
        let Some((handle, serving)) = self.running else {
            return;
        };
        let ended = tokio::time::timeout(END, async {
            handle.stop(false).await;
            serving.await
        });
        match ended.await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the metrics' server ended with an error"),
            Ok(Err(_)) => tracing::warn!("the metrics' server crashed"),
            Err(_) => tracing::warn!("the metrics' server did not end in time"),
        }
    }
}

async fn page(metrics: Data<Metrics>) -> HttpResponse {
    match metrics.text() {
        Ok(page) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, super::CONTENT_TYPE))
            .body(page),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let address = (std::net::Ipv4Addr::LOCALHOST, address.port());
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn settings(port: u16) -> Settings {
        let mut settings = Settings::default();
        settings.set("METRICS_PORT", port.to_string());
        settings
    }

    #[tokio::test]
    async fn the_port_serves_the_page_and_nothing_else_and_a_taken_one_is_named() {
        let server = listen(&settings(0), None, Metrics::new()).unwrap();
        let address = server.address.unwrap();
        let page = get(address, "/metrics").await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert!(page.contains("openmetrics-text") && page.ends_with("# EOF\n"));
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404"));

        let port = address.port();
        let taken = listen(&settings(port), None, Metrics::new()).unwrap_err();
        let sentence = format!("{taken:#}");
        assert!(
            sentence.starts_with(&format!("METRICS_PORT {port} can't be listened on: ")),
            "{sentence}"
        );
        server.stop().await;
        let again = listen(&settings(port), None, Metrics::new()).unwrap();
        again.stop().await;
    }

    #[tokio::test]
    async fn without_a_port_nothing_listens() {
        let server = listen(&Settings::default(), None, Metrics::new()).unwrap();
        assert_eq!(server.address, None);
        server.stop().await;
    }
}
