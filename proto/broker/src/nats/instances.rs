//! The bucket `discord-fanout`: at which address each fanout is, for the others.
//!
//! Everything in it ends by itself, also the mark that a key was deleted: instances come and go under new names,
//! and nothing of the old ones may stay behind. Reads ask the stream's leader, so that an instance is found as
//! soon as it has enrolled.

use std::net::SocketAddr;
use std::time::Duration;

use async_nats::header::NATS_MESSAGE_TTL;
use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use proto::InstanceId;
use proto::subject::FANOUT_BUCKET;

use super::Nats;
use super::api::{self, CALL_PATIENCE};
use super::bucket::{KV_OPERATION, is_marker, put};
use crate::broker::BrokerError;

/// How long the mark of a deletion stays: long enough for a replica that is behind.
const MARKER_TERM: Duration = Duration::from_secs(10);

/// Writes where an instance is.
pub(super) async fn enroll(
    nats: &Nats,
    instance: &InstanceId,
    address: SocketAddr,
    term: Duration,
) -> Result<(), BrokerError> {
    let value = Bytes::from(address.to_string());
    put(nats, subject(instance), Some(lasting(term)), value).await?;
    Ok(())
}

/// Deletes where an instance is.
pub(super) async fn withdraw(nats: &Nats, instance: &InstanceId) -> Result<(), BrokerError> {
    let mut headers = lasting(MARKER_TERM);
    headers.insert(KV_OPERATION, "DEL");
    put(nats, subject(instance), Some(headers), Bytes::new()).await?;
    Ok(())
}

/// Reads where an instance is.
pub(super) async fn address_of(
    nats: &Nats,
    instance: &InstanceId,
) -> Result<Option<SocketAddr>, BrokerError> {
    let subject = subject(instance);
    let asking = api::last_of(&nats.instances, &subject);
    let entry = nats.bounded(CALL_PATIENCE, asking).await?;
    let Some(entry) = entry.filter(|entry| !is_marker(&entry.headers)) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&entry.payload).ok();
    let address = text.and_then(|text| text.parse().ok());
    let malformed = || BrokerError::Malformed("an instance's address".to_owned());
    address.map(Some).ok_or_else(malformed)
}

fn subject(instance: &InstanceId) -> String {
    format!("$KV.{FANOUT_BUCKET}.{instance}")
}

/// ADR-43: the server takes whole seconds and refuses less than one.
fn lasting(term: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let seconds = term.as_secs().max(1);
    headers.insert(NATS_MESSAGE_TTL, HeaderValue::from(seconds));
    headers
}
