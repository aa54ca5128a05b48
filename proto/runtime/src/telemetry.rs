//! Logs, as text or as JSON, on standard error.
//!
//! Standard output belongs to what a command prints for its user.

use tracing_subscriber::EnvFilter;

use crate::settings::{Settings, SettingsError, malformed};

/// What is logged if nothing is said: of libraries only what a human should look at. actix calls each cut
/// connection an error; the peers' faults are counted, not logged.
const FILTER: &str = "info,sqlx=warn,twilight_gateway=warn,async_nats=warn,actix_http=off,\
    opentelemetry_sdk=warn";

/// Begins logging; a second call in one process changes nothing.
///
/// # Errors
/// `LOG_FORMAT` or `RUST_LOG` is malformed.
pub fn init(settings: &Settings) -> Result<(), SettingsError> {
    let filter = settings.text("RUST_LOG").unwrap_or(FILTER);
    let filter = EnvFilter::try_new(filter).map_err(|_| malformed("RUST_LOG", "log directives"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match settings.text("LOG_FORMAT") {
        None | Some("text") => builder.with_ansi(false).try_init(),
        Some("json") => builder.json().flatten_event(true).try_init(),
        Some(_) => return Err(malformed("LOG_FORMAT", "text or json")),
    };
    if started.is_err() {
        tracing::debug!("logging had begun already");
    }
    Ok(())
}
