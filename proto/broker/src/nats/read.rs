//! Reading the stream: pages from any replica, or events one by one from the leader.
//!
//! A page of a direct get ends with "EOB" and the last sequence that it sent, not with the last one that the
//! answerer has, and a replica may be behind. So when a read has come to its end, the leader is asked for its
//! last sequence and *then* for its last event of the filter: if that is not newer than what was read,
//! everything up to that last sequence is complete. Otherwise it is complete to the last event read.

use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, Message};
use futures_util::StreamExt as _;
use proto::Subject;
use proto::subject::{ALL, STREAM};
use serde_json::json;
use tokio::time::Instant;

use super::api::CALL_PATIENCE;
use super::wire::{self, NATS_LAST_SEQUENCE, NATS_NUM_PENDING};
use super::{Nats, api};
use crate::broker::{BrokerError, Catchup, Freshness, Stored};

/// The bound of a page. With the next one it makes the bound of a read, 2 s ([`crate::Broker::read`]).
const PAGE_PATIENCE: Duration = Duration::from_millis(1500);

/// How long the leader may take to say where the end is; without an answer the end is where reading stopped.
const END_PATIENCE: Duration = Duration::from_millis(500);

/// How long a read from the leader goes on before it returns what it has.
const LEADER_PATIENCE: Duration = Duration::from_secs(1);

/// About how many payload bytes one read returns.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The end of a batch.
const STATUS_EOB: u16 = 204;
/// Nothing from there on.
const STATUS_NOT_FOUND: u16 = 404;
/// Nobody serves the stream.
const STATUS_NO_RESPONDERS: u16 = 503;

/// What was read so far.
#[derive(Debug)]
struct Page {
    events: Vec<Stored>,
    bytes: usize,
    /// The last sequence that was read, or the one before the first asked for.
    to: u64,
    /// Whether the answerer had no more.
    is_finished: bool,
}

/// Events of a filter from a sequence on.
pub(super) async fn read(
    nats: &Nats,
    from: u64,
    subject: Option<Subject>,
    events_max: usize,
    freshness: Freshness,
) -> Result<Catchup, BrokerError> {
    let filter = subject.map_or_else(|| ALL.to_owned(), |subject| subject.to_string());
    let page = Page {
        events: Vec::new(),
        bytes: 0,
        to: from.saturating_sub(1),
        is_finished: false,
    };
    let events_max = events_max.max(1);
    match freshness {
        Freshness::Any => {
            let reading = batch(nats, page, &filter, events_max);
            let page = nats.bounded(PAGE_PATIENCE, reading).await?;
            let end = end(nats, &filter, &page).await;
            Ok(page.catchup(end))
        }
        Freshness::Leader => {
            let reading = one_by_one(nats, page, &filter, events_max);
            nats.bounded(CALL_PATIENCE, reading).await
        }
    }
}

impl Page {
    fn catchup(self, end: Option<u64>) -> Catchup {
        Catchup {
            complete_to: end.unwrap_or(self.to).max(self.to),
            events: self.events,
        }
    }

    /// Takes an event, or passes over one that is not ours.
    fn take(&mut self, sequence: u64, event: Option<Stored>) {
        self.to = sequence;
        if let Some(event) = event {
            self.bytes += event.payload.len();
            self.events.push(event);
        }
    }
}

/// Where the stream ends for this filter, if the leader says that nothing of it is missing in the page.
async fn end(nats: &Nats, filter: &str, page: &Page) -> Option<u64> {
    if !page.is_finished {
        return None;
    }
    let asking = async {
        let last = nats.leader_state().await?.last;
        let newest = api::last_of(&nats.stream, filter).await?;
        Ok((last, newest.map_or(0, |event| event.sequence)))
    };
    let (last, newest) = nats.bounded(END_PATIENCE, asking).await.ok()?;
    (newest <= page.to).then_some(last)
}

/// One batched direct get (ADR-31).
async fn batch(
    nats: &Nats,
    mut page: Page,
    filter: &str,
    events_max: usize,
) -> Result<Page, BrokerError> {
    let client = nats.connection.client();
    let away = |error: &dyn std::error::Error| BrokerError::Away(error.to_string());
    let inbox = client.new_inbox();
    let answers = client.subscribe(inbox.clone()).await;
    let mut answers = answers.map_err(|error| away(&error))?;
    let asked = json!({
        "seq": page.to.saturating_add(1),
        "next_by_subj": filter,
        "batch": events_max,
        "max_bytes": READ_BYTES_MAX,
    });
    let subject = format!("$JS.API.DIRECT.GET.{STREAM}");
    let sent = client.publish_with_reply(subject, inbox, asked.to_string().into());
    sent.await.map_err(|error| away(&error))?;
    let mut previous = 0;
    while let Some(message) = answers.next().await {
        if let Some(status) = message.status {
            page.is_finished = is_finished(status.as_u16(), &message)?;
            return Ok(page);
        }
        previous = take(&mut page, message, previous)?;
    }
    Err(BrokerError::Away("the connection was closed".to_owned()))
}

/// Takes one message of a batch. Each names the one before it, so that a lost one is not taken for a
/// deleted one.
fn take(page: &mut Page, message: Message, previous: u64) -> Result<u64, BrokerError> {
    let numbers = message.headers.as_ref().and_then(|headers| {
        let sequence = wire::number(headers, async_nats::header::NATS_SEQUENCE)?;
        Some((sequence, wire::number(headers, NATS_LAST_SEQUENCE)?))
    });
    let malformed = || BrokerError::Malformed("a direct get without numbers".to_owned());
    let (sequence, before) = numbers.ok_or_else(malformed)?;
    if before != previous {
        return Err(BrokerError::Away("a part of a batch was lost".to_owned()));
    }
    page.take(sequence, wire::stored(message));
    Ok(sequence)
}

/// Whether nothing follows what was sent.
fn is_finished(status: u16, message: &Message) -> Result<bool, BrokerError> {
    match status {
        STATUS_NOT_FOUND => Ok(true),
        STATUS_EOB => Ok(pending(message.headers.as_ref()) == Some(0)),
        STATUS_NO_RESPONDERS => Err(BrokerError::Away("nobody serves the stream".to_owned())),
        other => {
            let text = message.description.as_deref().unwrap_or_default();
            Err(BrokerError::Malformed(format!("status {other} {text}")))
        }
    }
}

fn pending(headers: Option<&HeaderMap>) -> Option<u64> {
    wire::number(headers?, NATS_NUM_PENDING)
}

/// Reads from the leader, which has no batches: up to its last sequence at the beginning.
async fn one_by_one(
    nats: &Nats,
    mut page: Page,
    filter: &str,
    events_max: usize,
) -> Result<Catchup, BrokerError> {
    let until = Instant::now() + LEADER_PATIENCE;
    let last = nats.leader_state().await?.last;
    while page.to < last {
        let is_full = page.events.len() >= events_max || page.bytes >= READ_BYTES_MAX;
        if is_full || Instant::now() >= until {
            return Ok(page.catchup(None));
        }
        let next = api::next_of(&nats.stream, filter, page.to.saturating_add(1)).await?;
        let Some(message) = next else {
            break;
        };
        page.take(message.sequence, ours(message));
    }
    Ok(page.catchup(Some(last)))
}

/// A raw message as a stored event.
pub(super) fn ours(message: StreamMessage) -> Option<Stored> {
    wire::stored_as(
        &message.subject,
        message.sequence,
        &message.headers,
        message.payload,
    )
}

#[cfg(test)]
mod tests {
    use async_nats::StatusCode;
    use bytes::Bytes;

    use super::*;

    fn message(status: Option<u16>, texts: &[(&str, &str)]) -> Message {
        let mut headers = HeaderMap::new();
        for (name, value) in texts {
            headers.insert(*name, *value);
        }
        Message {
            subject: "_INBOX.x".into(),
            reply: None,
            payload: Bytes::new(),
            headers: Some(headers),
            status: status.map(|status| StatusCode::try_from(status).unwrap()),
            description: None,
            length: 0,
        }
    }

    fn event(sequence: &str, before: &str) -> Message {
        let headers = [
            ("Nats-Subject", "discord.v1.channel.1"),
            ("Nats-Sequence", sequence),
            ("Nats-Last-Sequence", before),
        ];
        message(None, &headers)
    }

    fn page() -> Page {
        Page {
            events: Vec::new(),
            bytes: 0,
            to: 4,
            is_finished: false,
        }
    }

    #[test]
    fn deleted_sequences_are_passed_over_and_lost_messages_are_not() {
        let mut page = page();
        let previous = take(&mut page, event("5", "0"), 0).unwrap();
        let previous = take(&mut page, event("9", "5"), previous).unwrap();
        assert_eq!((page.to, page.events.len(), previous), (9, 2, 9));
        let lost = take(&mut page, event("12", "11"), previous);
        assert!(matches!(lost, Err(BrokerError::Away(_))), "{lost:?}");
    }

    #[test]
    fn an_event_of_a_foreign_subject_is_passed_over() {
        let headers = [
            ("Nats-Subject", "discord.v1.other"),
            ("Nats-Sequence", "5"),
            ("Nats-Last-Sequence", "0"),
        ];
        let mut page = page();
        take(&mut page, message(None, &headers), 0).unwrap();
        assert_eq!((page.to, page.events.len()), (5, 0));
    }

    #[test]
    fn the_end_of_a_batch_tells_whether_more_follows() {
        let ends = |status, pending| {
            let headers = [("Nats-Num-Pending", pending)];
            is_finished(status, &message(Some(status), &headers))
        };
        assert!(ends(204, "0").unwrap());
        assert!(!ends(204, "3").unwrap());
        assert!(ends(404, "").unwrap());
        assert!(matches!(ends(503, ""), Err(BrokerError::Away(_))));
        for status in [408, 413] {
            assert!(matches!(ends(status, ""), Err(BrokerError::Malformed(_))));
        }
    }
}
