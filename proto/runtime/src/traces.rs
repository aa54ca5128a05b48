//! Traces over OTLP (gRPC), exactly when `OTEL_EXPORTER_OTLP_ENDPOINT` or its `_TRACES_` form is set.
//!
//! What is recorded waits in a bounded queue (`OTEL_BSP_MAX_QUEUE_SIZE`; full: the span is dropped) and leaves
//! on a thread of its own: a receiver that is slow or away delays and fails nothing. Where nothing is exported
//! no span is made. OpenTelemetry is named here and nowhere else; of Discord nothing is known.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider};

use crate::settings::{Settings, SettingsError, malformed};
use export::Export;
use exporter::Exporter;

mod export;
mod exporter;
mod span;

pub use exporter::{Exported, exported};
pub use span::{Kind, Span};

/// How long the last spans may take to leave at the end of a service.
const FLUSH: Duration = Duration::from_secs(2);

/// What makes the spans of this process; unset where nothing is exported.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The export of a process, to be ended with it.
#[derive(Debug)]
#[must_use = "the last spans leave in `flush`"]
pub struct Traces {
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// Begins the export if the settings ask for it; a second call in one process changes nothing. Within the
    /// tokio runtime that outlives it.
    ///
    /// # Errors
    /// A setting of OpenTelemetry is malformed, or asks for what is not here (another protocol than `grpc`).
    pub fn init(settings: &Settings, service: &'static str) -> Result<Self, SettingsError> {
        let Some(export) = Export::read(settings, service)? else {
            return Ok(Self { provider: None });
        };
        let exporter = Exporter::new(connected(&export)?);
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(export.batch)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(export.sampler)
            .with_resource(export.resource)
            .build();
        if TRACER.set(provider.tracer("discord-stream")).is_err() {
            tracing::debug!("traces are exported already");
        }
        Ok(Self {
            provider: Some(provider),
        })
    }

    /// Sends what is recorded, for 2 s at the most. Nothing is recorded afterwards.
    pub async fn flush(self) {
        let Some(provider) = self.provider else {
            return;
        };
        let (done, ended) = tokio::sync::oneshot::channel();
        // A thread that the runtime does not wait for: the SDK's call blocks.
        std::thread::spawn(move || {
            let flushed = provider.shutdown_with_timeout(FLUSH);
            if done.send(flushed).is_err() {
                tracing::debug!("nobody waited for the last spans");
            }
        });
        let ended = tokio::time::timeout(FLUSH, ended).await;
        if !matches!(ended, Ok(Ok(Ok(())))) {
            tracing::warn!("the last spans could not be exported in time");
        }
    }
}

/// The exporter to the endpoint. It dials when there is something to send.
fn connected(export: &Export) -> Result<SpanExporter, SettingsError> {
    let mut builder = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&export.endpoint)
        .with_timeout(export.timeout)
        .with_metadata(MetadataMap::from_headers(export.headers.clone()));
    if export.is_secure() {
        let tls = ClientTlsConfig::new();
        builder = builder.with_tls_config(match &export.certificate {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls.with_enabled_roots(),
        });
    }
    let built = builder.build();
    built.map_err(|_| malformed(export.name, "the address of an OTLP receiver"))
}
