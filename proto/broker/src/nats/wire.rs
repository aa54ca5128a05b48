//! What the server says and how it is read: headers, statuses and answers of JetStream.
//!
//! Pure; the names and forms are those of nats-server 2.11 and later
//! (<https://docs.nats.io/reference/reference-protocols/nats_api_reference>, ADR-31 for batched direct gets).

use async_nats::header::{
    NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID, NATS_SEQUENCE, NATS_SUBJECT,
};
use async_nats::{HeaderMap, HeaderValue, Message};
use bytes::Bytes;
use proto::hash::fnv1a;
use proto::trace::TRACEPARENT;
use proto::{Subject, TraceParent};
use serde::Deserialize;

use crate::broker::{BrokerError, Publication, PublishError, Stored, StreamState};

/// How many events of the filter follow what a direct get has sent.
pub(super) const NATS_NUM_PENDING: &str = "Nats-Num-Pending";

/// The sequence that a direct get sent before this one.
pub(super) const NATS_LAST_SEQUENCE: &str = "Nats-Last-Sequence";

/// The subject's last sequence is not the expected one.
const WRONG_LAST_SEQUENCE: u64 = 10_071;
/// The same, as the server says it while another publication of the subject is on its way.
const WRONG_LAST_SEQUENCE_CONSTANT: u64 = 10_164;
/// There is no such stream.
const STREAM_NOT_FOUND: u64 = 10_059;
/// The message is larger than the stream takes.
const MESSAGE_EXCEEDS_MAXIMUM: u64 = 10_054;

/// A message can't be deleted: none of this sequence is there (any more).
const MESSAGE_DELETE_FAILED: u64 = 10_057;

/// An answer of JetStream: the error or the rest.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Reply<T> {
    /// Refused.
    Err {
        /// Why.
        error: ReplyError,
    },
    /// Done.
    Ok(T),
}

/// Why JetStream refused.
#[derive(Debug, Deserialize)]
pub(super) struct ReplyError {
    /// One of the server's list of errors.
    #[serde(default)]
    pub(super) err_code: u64,
    /// The same in words.
    #[serde(default)]
    description: String,
}

impl ReplyError {
    /// As a failed call.
    pub(super) fn away(self) -> BrokerError {
        if self.err_code == STREAM_NOT_FOUND {
            return BrokerError::Missing;
        }
        BrokerError::Away(format!("{} (error {})", self.description, self.err_code))
    }

    /// As a failed publication.
    pub(super) fn not_published(self) -> PublishError {
        match self.err_code {
            WRONG_LAST_SEQUENCE | WRONG_LAST_SEQUENCE_CONSTANT => PublishError::Expectation,
            MESSAGE_EXCEEDS_MAXIMUM => PublishError::Refused(self.description),
            code => PublishError::Unknown(format!("{} (error {code})", self.description)),
        }
    }

    /// Whether a removal met nothing to be removed.
    pub(super) fn is_nothing_there(&self) -> bool {
        self.err_code == MESSAGE_DELETE_FAILED
    }

    /// Whether a compare-and-set met another revision.
    pub(super) fn is_expectation(&self) -> bool {
        let code = self.err_code;
        code == WRONG_LAST_SEQUENCE || code == WRONG_LAST_SEQUENCE_CONSTANT
    }
}

/// A publication's acknowledgement; a duplicate's names the sequence that it has.
#[derive(Debug, Deserialize)]
pub(super) struct Ack {
    /// The number in the stream.
    pub(super) seq: u64,
}

/// The answer to a removal.
#[derive(Debug, Deserialize)]
pub(super) struct Removed {
    /// Whether the message was there.
    pub(super) success: bool,
}

/// What we read of `STREAM.INFO`.
#[derive(Debug, Deserialize)]
pub(super) struct Info {
    created: String,
    state: InfoState,
}

#[derive(Debug, Deserialize)]
struct InfoState {
    messages: u64,
    first_seq: u64,
    last_seq: u64,
}

impl Info {
    /// The stream's numbers.
    pub(super) fn state(&self) -> StreamState {
        let InfoState {
            messages,
            first_seq,
            last_seq,
        } = self.state;
        StreamState {
            generation: generation(&self.created),
            first: if messages == 0 {
                last_seq + 1
            } else {
                first_seq
            },
            last: last_seq,
        }
    }
}

/// The stream's generation: a hash of the time of its creation as the server writes it, in 63 bits, because
/// databases keep it as a signed number.
fn generation(created: &str) -> u64 {
    fnv1a(created.as_bytes()) >> 1
}

/// The headers of a publication.
pub(super) fn headers(publication: &Publication, expected: u64) -> Result<HeaderMap, PublishError> {
    let identity: HeaderValue = publication
        .identity
        .parse()
        .map_err(|_| PublishError::Refused("the identity does not fit into a header".to_owned()))?;
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, identity);
    headers.insert(
        NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
        HeaderValue::from(expected),
    );
    headers.insert("Content-Type", proto::envelope::CONTENT_TYPE);
    if let Some(trace) = publication.trace {
        headers.insert(TRACEPARENT, trace.to_string());
    }
    Ok(headers)
}

/// A stored event as a direct get or the republication brings it: subject and sequence are headers.
/// `None` if it is not one of ours; whoever numbers events passes over it.
pub(super) fn stored(message: Message) -> Option<Stored> {
    let headers = message.headers?;
    let sequence = number(&headers, NATS_SEQUENCE)?;
    let subject = headers.get(NATS_SUBJECT)?.as_str().to_owned();
    stored_as(&subject, sequence, &headers, message.payload)
}

/// A stored event of this subject and sequence.
pub(super) fn stored_as(
    subject: &str,
    sequence: u64,
    headers: &HeaderMap,
    payload: Bytes,
) -> Option<Stored> {
    let Ok(subject) = subject.parse::<Subject>() else {
        tracing::warn!(sequence, "the stream holds an event of a foreign subject");
        return None;
    };
    let text = |name: &str| headers.get(name).map(HeaderValue::as_str);
    Some(Stored {
        sequence,
        subject,
        identity: text(NATS_MESSAGE_ID.as_ref())
            .unwrap_or_default()
            .to_owned(),
        trace: text(TRACEPARENT).and_then(|text| text.parse::<TraceParent>().ok()),
        payload,
    })
}

/// A header that is a number.
pub(super) fn number(
    headers: &HeaderMap,
    name: impl async_nats::header::IntoHeaderName,
) -> Option<u64> {
    headers.get(name)?.as_str().parse().ok()
}

/// The text of a head: generation and sequence, both decimal.
pub(super) fn head(generation: u64, sequence: u64) -> String {
    format!("{generation}.{sequence}")
}

/// Reads a head.
pub(super) fn parse_head(payload: &[u8]) -> Option<(u64, u64)> {
    let (generation, sequence) = std::str::from_utf8(payload).ok()?.split_once('.')?;
    Some((generation.parse().ok()?, sequence.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(messages: u64, first_seq: u64, last_seq: u64) -> StreamState {
        Info {
            created: "2026-01-02T03:04:05.123456789Z".to_owned(),
            state: InfoState {
                messages,
                first_seq,
                last_seq,
            },
        }
        .state()
    }

    #[test]
    fn an_empty_stream_begins_after_its_last_sequence() {
        assert_eq!((info(0, 0, 0).first, info(0, 0, 0).last), (1, 0));
        assert_eq!((info(0, 8, 7).first, info(0, 8, 7).last), (8, 7));
        assert_eq!((info(3, 5, 7).first, info(3, 5, 7).last), (5, 7));
    }

    #[test]
    fn a_generation_is_a_fixed_function_of_the_time_of_creation() {
        // FNV-1a of the empty text is its offset basis, of "a" 0xaf63dc4c8601ec8c.
        assert_eq!(generation(""), 0xcbf2_9ce4_8422_2325 >> 1);
        assert_eq!(generation("a"), 0xaf63_dc4c_8601_ec8c >> 1);
    }

    #[test]
    fn a_head_reads_back_and_other_text_is_refused() {
        assert_eq!(parse_head(head(7, 9).as_bytes()), Some((7, 9)));
        for text in ["", "7", "7.", ".9", "7.9.1", "-1.2", "a.b"] {
            assert_eq!(parse_head(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_servers_refusals_are_told_apart() {
        let refusal = |json: &str| match serde_json::from_str::<Reply<Ack>>(json).unwrap() {
            Reply::Err { error } => error.not_published(),
            Reply::Ok(ack) => panic!("{ack:?}"),
        };
        let stale = r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 6"},"stream":"DISCORD","seq":0}"#;
        assert!(matches!(refusal(stale), PublishError::Expectation));
        let busy = r#"{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}"#;
        assert!(matches!(refusal(busy), PublishError::Expectation));
        let large = r#"{"error":{"code":400,"err_code":10054,"description":"too large"}}"#;
        assert!(matches!(refusal(large), PublishError::Refused(_)));
        let away = r#"{"error":{"code":503,"err_code":10008,"description":"unavailable"}}"#;
        assert!(matches!(refusal(away), PublishError::Unknown(_)));
    }
}
