//! Calls of JetStream: one request, one answer, one time limit.
//!
//! Every call waits for the connection within its own limit, because the client library would keep a request
//! while the server is away and send it much later. It knows the server's API, not what the stream means.

use std::time::Duration;

use async_nats::client::{RequestError, RequestErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_nats::{HeaderMap, Request};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::connection::Connection;
use super::wire::Reply;
use crate::broker::BrokerError;

/// The bound of a call, unless the trait says otherwise.
pub(super) const CALL_PATIENCE: Duration = Duration::from_secs(2);

/// Why a request had no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestFailure {
    /// Nobody serves the subject.
    #[error("nobody answers")]
    Nobody,
    /// The message is larger than the server takes.
    #[error("the message is too large")]
    TooLarge,
    /// No answer in time, or no connection.
    #[error("{0}")]
    Away(String),
}

impl From<RequestError> for RequestFailure {
    fn from(error: RequestError) -> Self {
        match error.kind() {
            RequestErrorKind::NoResponders => Self::Nobody,
            RequestErrorKind::MaxPayloadExceeded => Self::TooLarge,
            _ => Self::Away(error.to_string()),
        }
    }
}

impl From<RequestFailure> for BrokerError {
    fn from(failure: RequestFailure) -> Self {
        Self::Away(failure.to_string())
    }
}

/// Sends a request and waits for its answer, all within `patience`.
pub(super) async fn request(
    connection: &Connection,
    subject: String,
    headers: Option<HeaderMap>,
    payload: Bytes,
    patience: Duration,
) -> Result<Bytes, RequestFailure> {
    let exchange = async {
        let client = connection.ready().await;
        let client = client.map_err(|error| RequestFailure::Away(error.to_string()))?;
        // The outer limit covers the wait for the connection as well.
        let mut request = Request::new().payload(payload).timeout(None);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        // The client library would wait for an answer that can't come any more.
        tokio::select! {
            answer = client.send_request(subject, request) => Ok(answer?.payload),
            () = connection.lost() => Err(RequestFailure::Away("the connection was lost".to_owned())),
        }
    };
    let answer = tokio::time::timeout(patience, exchange).await;
    answer.unwrap_or_else(|_| Err(RequestFailure::Away("no answer in time".to_owned())))
}

/// Reads an answer of JetStream.
pub(super) fn reply<T: DeserializeOwned>(answer: &[u8]) -> Result<Reply<T>, BrokerError> {
    serde_json::from_slice(answer).map_err(|error| BrokerError::Malformed(error.to_string()))
}

/// The last message of a subject, from the stream's leader.
pub(super) async fn last_of(
    stream: &Stream<()>,
    subject: &str,
) -> Result<Option<StreamMessage>, BrokerError> {
    let request = stream.raw_message_builder().last_by_subject(subject);
    found(request.send().await)
}

/// The next message of a filter from a sequence on, from the stream's leader.
pub(super) async fn next_of(
    stream: &Stream<()>,
    filter: &str,
    from: u64,
) -> Result<Option<StreamMessage>, BrokerError> {
    let request = stream
        .raw_message_builder()
        .sequence(from)
        .next_by_subject(filter);
    found(request.send().await)
}

fn found(
    answer: Result<StreamMessage, async_nats::jetstream::stream::RawMessageError>,
) -> Result<Option<StreamMessage>, BrokerError> {
    match answer {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(BrokerError::Away(error.to_string())),
    }
}
