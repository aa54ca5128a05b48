//! The bucket `discord-ingest`: the lease, and small values.
//!
//! Reads ask the stream's leader, never a replica, so that a value just written is the value read. The client
//! library renews no key with a fresh lifetime, so the lease is written here, as ADR-8 and ADR-43 lay down:
//! compare-and-set by `Nats-Expected-Last-Subject-Sequence`, lifetime by `Nats-TTL`.

use async_nats::header::{
    NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MARKER_REASON, NATS_MESSAGE_TTL,
};
use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use proto::subject::INGEST_BUCKET;

use super::Nats;
use super::api::{self, CALL_PATIENCE};
use super::provision::bucket_stream;
use super::wire::{Ack, Reply};
use crate::broker::{BrokerError, LEASE_TTL, Lease};

/// The lease's key.
const LEASE: &str = "lease";

/// The header that says that a key was deleted.
pub(super) const KV_OPERATION: &str = "KV-Operation";

/// Takes the lease if its key is absent, only a marker of its end, or this owner's own.
pub(super) async fn acquire(nats: &Nats, owner: &str) -> Result<Option<Lease>, BrokerError> {
    let acquired = try_acquire(nats, owner).await;
    unless_missing(nats, acquired).await
}

async fn try_acquire(nats: &Nats, owner: &str) -> Result<Option<Lease>, BrokerError> {
    let revision = match last(nats, LEASE).await? {
        None => 0,
        Some(entry) if is_marker(&entry.headers) => entry.sequence,
        Some(entry) if entry.payload == owner.as_bytes() => entry.sequence,
        Some(_) => return Ok(None),
    };
    write_lease(nats, owner, revision).await
}

/// Writes the lease anew over exactly this revision. An ended lease has no revision, so it is refused too.
pub(super) async fn renew(
    nats: &Nats,
    owner: &str,
    lease: Lease,
) -> Result<Option<Lease>, BrokerError> {
    let renewed = write_lease(nats, owner, lease.revision).await;
    unless_missing(nats, renewed).await
}

/// Nobody answers for a bucket that is not there, as for one whose servers elect a leader: which of both it is, the
/// list of streams says.
async fn unless_missing<T>(nats: &Nats, done: Result<T, BrokerError>) -> Result<T, BrokerError> {
    if done.is_err()
        && let Err(BrokerError::Missing) = nats.info(&bucket_stream(INGEST_BUCKET)).await
    {
        return Err(BrokerError::Missing);
    }
    done
}

/// Deletes the lease of this revision; one that another has by now stays.
pub(super) async fn release(nats: &Nats, lease: Lease) -> Result<(), BrokerError> {
    let mut headers = lease_headers(lease.revision);
    headers.insert(KV_OPERATION, "DEL");
    put(nats, subject(LEASE), Some(headers), Bytes::new()).await?;
    Ok(())
}

/// A small value.
pub(super) async fn value(nats: &Nats, key: &str) -> Result<Option<Bytes>, BrokerError> {
    check(key)?;
    let entry = last(nats, key).await?;
    let entry = entry.filter(|entry| !is_marker(&entry.headers));
    Ok(entry.map(|entry| entry.payload))
}

/// Replaces a small value. It has no lifetime.
pub(super) async fn set_value(nats: &Nats, key: &str, value: Bytes) -> Result<(), BrokerError> {
    check(key)?;
    put(nats, subject(key), None, value).await?;
    Ok(())
}

async fn write_lease(
    nats: &Nats,
    owner: &str,
    revision: u64,
) -> Result<Option<Lease>, BrokerError> {
    let headers = lease_headers(revision);
    let written = put(
        nats,
        subject(LEASE),
        Some(headers),
        Bytes::copy_from_slice(owner.as_bytes()),
    )
    .await?;
    Ok(written.map(|revision| Lease { revision }))
}

fn lease_headers(revision: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
        HeaderValue::from(revision),
    );
    headers.insert(NATS_MESSAGE_TTL, HeaderValue::from(LEASE_TTL.as_secs()));
    headers
}

/// Writes the key of this subject; `None` if the expected revision is not its last.
pub(super) async fn put(
    nats: &Nats,
    subject: String,
    headers: Option<HeaderMap>,
    value: Bytes,
) -> Result<Option<u64>, BrokerError> {
    let answer = api::request(&nats.connection, subject, headers, value, CALL_PATIENCE).await?;
    match api::reply::<Ack>(&answer)? {
        Reply::Ok(ack) => Ok(Some(ack.seq)),
        Reply::Err { error } if error.is_expectation() => Ok(None),
        Reply::Err { error } => Err(error.away()),
    }
}

async fn last(nats: &Nats, key: &str) -> Result<Option<StreamMessage>, BrokerError> {
    let subject = subject(key);
    nats.bounded(CALL_PATIENCE, api::last_of(&nats.bucket, &subject))
        .await
}

fn subject(key: &str) -> String {
    format!("$KV.{INGEST_BUCKET}.{key}")
}

/// The server marks keys that ended with a reason, clients those that they delete with an operation.
pub(super) fn is_marker(headers: &HeaderMap) -> bool {
    let operation = headers.get(KV_OPERATION).map(HeaderValue::as_str);
    matches!(operation, Some("DEL" | "PURGE")) || headers.get(NATS_MARKER_REASON).is_some()
}

/// Keys are one token of a subject; ours are constants.
fn check(key: &str) -> Result<(), BrokerError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=' | b'/');
    let is_key = !key.is_empty() && key != LEASE && key.bytes().all(fits);
    let refused = || BrokerError::Malformed(format!("{key:?} is no key"));
    is_key.then_some(()).ok_or_else(refused)
}
