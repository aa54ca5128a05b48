//! Questions to the leading ingest, which alone asks Discord (`rpc.ingest.>`).

use std::time::Duration;

use broker::Broker;
use bytes::Bytes;
use prost::Message;

/// Asks, and waits for so long; none where nobody answers in time, or what comes is no answer.
pub async fn ask<A: Message + Default>(
    broker: &dyn Broker,
    subject: &str,
    question: &impl Message,
    patience: Duration,
) -> Option<A> {
    let payload = Bytes::from(question.encode_to_vec());
    let answer = broker.request(subject, payload, patience).await;
    let answer =
        answer.inspect_err(|error| tracing::debug!(%error, subject, "ingest does not say"));
    A::decode(answer.ok()?).ok()
}
