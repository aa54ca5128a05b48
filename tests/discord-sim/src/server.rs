//! The HTTP server around it all, on a thread and a runtime of its own.
//! It ends when the simulator stops: connections first, which get their close frames, then the listener.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpRequest, HttpServer, ResponseError, web};
use tokio::sync::oneshot;

use crate::gateway::connection;
use crate::gateway::line::remember_socket;
use crate::refusal::Refusal;
use crate::sim::Shared;
use crate::{cdn, control, demo, oauth2, rest};

/// Everything goes through one lock; a second worker keeps HTTP answering while the first writes to the gateway.
const WORKERS: usize = 2;
/// The largest request body: a message with its embeds stays far below.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long connections and loads may take to end.
const PARTING: Duration = Duration::from_secs(2);

/// Serves until the simulator stops. `started` is told once requests are answered.
pub(crate) fn run(
    shared: &Arc<Shared>,
    listener: TcpListener,
    demo_seed: Option<u64>,
    started: oneshot::Sender<()>,
) -> io::Result<()> {
    actix_web::rt::System::new().block_on(serve(Arc::clone(shared), listener, demo_seed, started))
}

async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    demo_seed: Option<u64>,
    started: oneshot::Sender<()>,
) -> io::Result<()> {
    let data = web::Data::from(Arc::clone(&shared));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .configure(configure)
            .default_service(web::to(no_route))
    })
    .workers(WORKERS)
    .disable_signals()
    .shutdown_timeout(1)
    .on_connect(remember_socket)
    .listen(listener)?
    .run();
    if let Some(seed) = demo_seed {
        shared.tasks().spawn(demo::run(Arc::clone(&shared), seed));
    }
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        shared.stopping().cancelled().await;
        shared.tasks().close();
        if tokio::time::timeout(PARTING, shared.tasks().wait())
            .await
            .is_err()
        {
            tracing::warn!("a task of the simulator did not end in time");
        }
        handle.stop(false).await;
    });
    if started.send(()).is_err() {
        tracing::debug!("nobody waits for the simulator any more");
    }
    server.await
}

fn configure(config: &mut web::ServiceConfig) {
    config
        .app_data(
            web::JsonConfig::default()
                .limit(BODY_BYTES_MAX)
                .content_type_required(false)
                .error_handler(form_error),
        )
        .app_data(web::QueryConfig::default().error_handler(form_error))
        .app_data(web::PathConfig::default().error_handler(form_error))
        .route("/gateway", web::get().to(connection::open))
        .route("/gateway/", web::get().to(connection::open))
        .service(
            web::scope("/api/v10")
                .wrap(from_fn(rest::guard::guard))
                .configure(rest::configure)
                .default_service(web::to(no_route)),
        )
        .service(web::scope("/sim").configure(control::configure))
        .configure(oauth2::configure)
        .configure(cdn::configure);
}

async fn no_route() -> impl actix_web::Responder {
    Refusal::NoRoute.error_response()
}

/// A body, query or path that can't be read is a form error, as Discord calls it.
fn form_error<E: std::fmt::Display>(error: E, _: &HttpRequest) -> actix_web::Error {
    Refusal::Form(error.to_string()).into()
}
