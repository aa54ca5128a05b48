//! One span: what is recorded of a step of an event's path, if its trace is sampled.
//!
//! Who begins a trace decides whether it is recorded, and everybody after obeys the flag that travels with the
//! event: a span of an unsampled trace is a branch and nothing else. A span ends when it is dropped.

use std::fmt::Display;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use proto::TraceParent;

use super::TRACER;

/// On which side of a message a span stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It hands the message on.
    Producer,
    /// It takes the message.
    Consumer,
}

/// A step of an event's path.
#[derive(Debug, Default)]
pub struct Span {
    /// Boxed: most spans are none, and they travel in queues.
    recording: Option<Box<SdkSpan>>,
    context: Option<TraceParent>,
}

impl Span {
    /// The first span of a new trace, begun at this time (milliseconds since 1970). Here it is decided whether
    /// the trace is recorded; it has its ids in any case.
    pub fn root(name: &'static str, since_ms: i64) -> Self {
        Self::root_of(TRACER.get(), name, since_ms)
    }

    /// A step after `parent`, begun now. Records nothing in a trace that is not recorded.
    pub fn child(name: &'static str, kind: Kind, parent: Option<TraceParent>) -> Self {
        Self::child_of(TRACER.get(), (name, kind), parent, None)
    }

    /// A step after `parent` that began earlier.
    pub fn child_since(
        name: &'static str,
        kind: Kind,
        parent: Option<TraceParent>,
        since: SystemTime,
    ) -> Self {
        Self::child_of(TRACER.get(), (name, kind), parent, Some(since))
    }

    fn root_of(tracer: Option<&SdkTracer>, name: &'static str, since_ms: i64) -> Self {
        let Some(tracer) = tracer else {
            return Self {
                recording: None,
                context: TraceParent::new(rand::random(), rand::random(), false),
            };
        };
        let since = Duration::from_millis(u64::try_from(since_ms).unwrap_or(0));
        let builder = tracer
            .span_builder(name)
            .with_kind(SpanKind::Consumer)
            .with_start_time(UNIX_EPOCH + since);
        Self::begun(tracer.build_with_context(builder, &Context::new()))
    }

    fn child_of(
        tracer: Option<&SdkTracer>,
        (name, kind): (&'static str, Kind),
        parent: Option<TraceParent>,
        since: Option<SystemTime>,
    ) -> Self {
        let (Some(tracer), Some(context)) = (tracer, parent.filter(|it| it.is_sampled())) else {
            return Self {
                recording: None,
                context: parent,
            };
        };
        let mut builder = tracer.span_builder(name).with_kind(match kind {
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
        });
        builder.start_time = since;
        let remote = SpanContext::new(
            TraceId::from_bytes(context.trace_id().to_be_bytes()),
            SpanId::from_bytes(context.span_id().to_be_bytes()),
            TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        );
        let parent = Context::new().with_remote_span_context(remote);
        Self::begun(tracer.build_with_context(builder, &parent))
    }

    fn begun(span: SdkSpan) -> Self {
        let ids = span.span_context();
        let context = TraceParent::new(
            u128::from_be_bytes(ids.trace_id().to_bytes()),
            u64::from_be_bytes(ids.span_id().to_bytes()),
            ids.is_sampled(),
        );
        Self {
            recording: span.is_recording().then(|| Box::new(span)),
            context,
        }
    }

    /// Something is recorded.
    pub fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// What a child has as its parent, here or beyond the broker.
    pub fn context(&self) -> Option<TraceParent> {
        self.context
    }

    /// Adds a name or an id. Never what somebody wrote, and never a secret.
    pub fn set_text(&mut self, key: &'static str, text: impl Display) {
        if let Some(span) = &mut self.recording {
            span.set_attribute(KeyValue::new(key, text.to_string()));
        }
    }

    /// Adds a count or a place in a row.
    pub fn set_number(&mut self, key: &'static str, number: u64) {
        if let Some(span) = &mut self.recording {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            span.set_attribute(KeyValue::new(key, number));
        }
    }

    /// The step did not succeed.
    pub fn fail(&mut self, why: &'static str) {
        if let Some(span) = &mut self.recording {
            span.set_status(Status::error(why));
        }
    }

    /// A span for log lines, which then carry the trace's id; none where nothing is recorded.
    pub fn for_logs(&self) -> tracing::Span {
        let (true, Some(context)) = (self.is_recording(), self.context) else {
            return tracing::Span::none();
        };
        let trace_id = format_args!("{:032x}", context.trace_id());
        tracing::error_span!("traced", %trace_id)
    }
}

#[cfg(test)]
mod tests;
