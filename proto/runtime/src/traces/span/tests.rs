use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use parking_lot::Mutex;

use super::*;

/// Keeps what ends.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().extend(batch);
        Ok(())
    }
}

fn tracer(sampler: Sampler) -> (SdkTracer, Kept, SdkTracerProvider) {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_simple_exporter(kept.clone())
        .build();
    (provider.tracer("test"), kept, provider)
}

const PUBLISH: (&str, Kind) = ("publish", Kind::Producer);

#[test]
fn a_child_over_the_header_is_in_the_trace_of_its_root() {
    let (tracer, kept, _provider) = tracer(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)));
    let mut root = Span::root_of(Some(&tracer), "gateway.frame", 1_700_000_000_123);
    root.set_text("discord.event", "MESSAGE_CREATE");
    root.set_number("discord.shard", 0);
    let header = root.context().unwrap().to_string();
    drop(root);
    let parent: TraceParent = header.parse().unwrap();
    assert!(parent.is_sampled());
    let mut child = Span::child_of(Some(&tracer), PUBLISH, Some(parent), None);
    child.fail("refused");
    assert_eq!(child.context().unwrap().trace_id(), parent.trace_id());
    drop(child);
    let spans = kept.0.lock();
    let [root, child] = spans.as_slice() else {
        panic!("two spans ended: {}", spans.len())
    };
    assert_eq!((&*root.name, &*child.name), ("gateway.frame", "publish"));
    assert_eq!(
        root.start_time,
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)
    );
    assert_eq!(root.attributes.len(), 2);
    assert_eq!(child.parent_span_id, root.span_context.span_id());
    assert_eq!(child.span_context.trace_id(), root.span_context.trace_id());
    assert_eq!(child.status, Status::error("refused"));
}

#[test]
fn what_the_root_does_not_sample_is_recorded_nowhere_and_keeps_its_ids() {
    let (first, kept, _provider) = tracer(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)));
    let root = Span::root_of(Some(&first), "gateway.frame", 0);
    let parent = root.context().unwrap();
    assert!(!root.is_recording() && !parent.is_sampled());
    // Another process that records everything it may.
    let (second, others, _provider) = tracer(Sampler::AlwaysOn);
    let child = Span::child_of(Some(&second), PUBLISH, Some(parent), None);
    assert_eq!(child.context(), Some(parent));
    drop((root, child));
    assert!(kept.0.lock().is_empty() && others.0.lock().is_empty());
}

#[test]
fn without_an_export_there_are_ids_and_no_spans() {
    let root = Span::root("gateway.frame", 0);
    let parent = root.context().unwrap();
    assert!(!root.is_recording() && !parent.is_sampled());
    let sampled = TraceParent::new(1, 2, true);
    let child = Span::child("deliver", Kind::Consumer, sampled);
    assert!(!child.is_recording());
    assert_eq!(child.context(), sampled);
    assert!(child.for_logs().is_none());
}

#[test]
fn a_step_that_is_not_recorded_costs_next_to_nothing() {
    const STEPS: u32 = 100_000;
    let parent = black_box(TraceParent::new(1, 2, false));
    let begun = Instant::now();
    for number in 0..STEPS {
        let mut span = Span::child("publish", Kind::Producer, parent);
        span.set_number("sequence", u64::from(black_box(number)));
        span.set_text("subject", number);
        black_box(&span);
    }
    let each = begun.elapsed() / STEPS;
    println!("a step that is not recorded: {each:?}");
    // A recorded one allocates, formats and queues: microseconds. The bound leaves room for a busy machine.
    assert!(each < Duration::from_micros(1), "{each:?}");
}
