//! A small OTLP receiver over gRPC: it keeps every span that it is sent, for a test to look at.
//!
//! It refuses to know what the spans should be.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A running receiver; it ends with the test's runtime.
#[derive(Debug)]
pub struct Receiver {
    /// Its address, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    kept: Kept,
}

/// A span that has ended, with what the test looks at.
#[derive(Debug, Clone)]
pub struct Span {
    /// What it is of.
    pub name: String,
    /// The trace's id, in hexadecimal.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// Its parent's id; empty for the first of its trace.
    pub parent: String,
    /// When it began and ended, in nanoseconds since 1970.
    pub times: (u64, u64),
    /// Its attributes and its resource's.
    pub attributes: Vec<(String, String)>,
}

impl Span {
    /// The text of an attribute, of the span or of its resource.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        let mut all = self.attributes.iter();
        all.find_map(|(own, value)| (own == key).then_some(value.as_str()))
    }
}

/// What has come, shared with the server's task.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Received>>);

#[derive(Debug, Default)]
struct Received {
    requests: Vec<ExportTraceServiceRequest>,
    metadata: Vec<String>,
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let mut received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        received.metadata.push(format!("{headers:?}"));
        received.requests.push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Receiver {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// There is none.
    pub fn start() -> anyhow::Result<Self> {
        let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let endpoint = format!("http://{}", incoming.local_addr()?);
        let kept = Kept::default();
        let service = TraceServiceServer::new(kept.clone());
        let server = Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(incoming));
        Ok(Self { endpoint, kept })
    }

    /// All spans that have come.
    pub fn spans(&self) -> Vec<Span> {
        let received = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = received
            .requests
            .iter()
            .flat_map(|request| &request.resource_spans);
        let mut spans = Vec::new();
        for group in groups {
            let resource = group.resource.as_ref();
            let shared = resource.map_or_else(Vec::new, |resource| texts(&resource.attributes));
            for span in group.scope_spans.iter().flat_map(|scope| &scope.spans) {
                let mut attributes = texts(&span.attributes);
                attributes.extend(shared.clone());
                spans.push(Span {
                    name: span.name.clone(),
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    times: (span.start_time_unix_nano, span.end_time_unix_nano),
                    attributes,
                });
            }
        }
        spans
    }

    /// Everything that has come, as text: whatever must not be in it can be searched for.
    pub fn everything(&self) -> String {
        let received = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{received:?}")
    }
}

fn texts(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |attribute: &KeyValue| match &attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    };
    let pairs = attributes.iter();
    pairs
        .filter_map(|attribute| Some((attribute.key.clone(), text(attribute)?)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}
