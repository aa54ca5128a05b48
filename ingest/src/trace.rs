//! The trace of an event in ingest: `gateway.frame` → `publish` → `archive` (and `deliver` in each fanout).
//!
//! The first span decides whether the event is traced; its context travels in the envelope, then the publish
//! span's in the stream. Attributes are names, ids and counts, never what somebody wrote.

use std::time::SystemTime;

use broker::{Publication, Stored};
use proto::identity::Dispatch;
use proto::{Envelope, TraceParent};
use runtime::time::now_ms;
use runtime::traces::{Kind, Span};

/// Begins the trace of a dispatch that makes these envelopes.
pub(crate) fn on_frame(
    kind: &str,
    dispatch: Dispatch,
    received_ms: i64,
    envelopes: &mut [Envelope],
) {
    let Some(first) = envelopes.first() else {
        return;
    };
    let mut span = Span::root("gateway.frame", received_ms);
    span.set_text("discord.event", kind);
    span.set_number("discord.shard", u64::from(dispatch.shard));
    span.set_number("discord.sequence", dispatch.sequence);
    span.set_text("discord.guild_id", first.guild);
    if let Some(channel) = first.channel {
        span.set_text("discord.channel_id", channel);
    }
    span.set_number("discord_stream.events", envelopes.len() as u64);
    for envelope in envelopes {
        envelope.trace = span.context();
    }
}

/// The trace of what was found out beside the gateway.
pub(crate) fn aside(name: &'static str) -> Option<TraceParent> {
    Span::root(name, now_ms()).context()
}

/// A publication begins, and takes the trace along.
pub(crate) fn on_send(publication: &mut Publication) -> Span {
    let mut span = Span::child("publish", Kind::Producer, publication.trace);
    span.set_text("messaging.system", "nats");
    span.set_text("messaging.destination.name", publication.subject);
    publication.trace = span.context();
    span
}

/// A run of events is in SQL since now; the writing began then.
pub(crate) fn on_archived(run: &[Stored], begun: SystemTime) {
    for event in run {
        let mut span = Span::child_since("archive", Kind::Consumer, event.trace, begun);
        span.set_text("messaging.destination.name", event.subject);
        span.set_number("discord_stream.sequence", event.sequence);
        span.set_number("discord_stream.batch", run.len() as u64);
    }
}
