//! The stream and the buckets: made if they are missing, changed where our settings differ, and otherwise
//! left as an operator has them (placement, compression, metadata).
//!
//! Only ingest calls this, and only it has the right to: also the fanouts' own bucket is made here, so that a fanout
//! needs no right to make anything.

use std::time::Duration;

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Republish, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use proto::subject::{ALL, FANOUT_BUCKET, INGEST_BUCKET, LIVE, STREAM};

use crate::broker::{BrokerError, StreamSettings};

/// The bound of the whole call: creating a stream on a cluster takes elections.
pub(super) const PROVISION_PATIENCE: Duration = Duration::from_secs(10);

/// The stream that a key-value bucket is.
pub(super) fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// Makes all, or brings all to these settings.
pub(super) async fn provision(
    jetstream: &Context,
    settings: &StreamSettings,
) -> Result<(), BrokerError> {
    ensure(jetstream, STREAM, |config| set_stream(config, settings)).await?;
    for bucket in [INGEST_BUCKET, FANOUT_BUCKET] {
        let name = bucket_stream(bucket);
        let set = |config: &mut Config| set_bucket(config, bucket, settings);
        ensure(jetstream, &name, set).await?;
    }
    Ok(())
}

async fn ensure(
    jetstream: &Context,
    name: &str,
    set: impl Fn(&mut Config),
) -> Result<(), BrokerError> {
    let existing = match jetstream.get_stream(name).await {
        Ok(stream) => stream.cached_info().config.clone(),
        Err(error) if is_missing(&error) => return create(jetstream, name, set).await,
        Err(error) => return Err(BrokerError::Away(error.to_string())),
    };
    let mut wanted = existing.clone();
    set(&mut wanted);
    if wanted != existing {
        let updated = jetstream.update_stream(wanted).await;
        updated.map_err(|error| BrokerError::Away(error.to_string()))?;
    }
    Ok(())
}

fn is_missing(error: &async_nats::jetstream::context::GetStreamError) -> bool {
    match error.kind() {
        GetStreamErrorKind::JetStream(error) => error.error_code() == ErrorCode::STREAM_NOT_FOUND,
        _ => false,
    }
}

async fn create(
    jetstream: &Context,
    name: &str,
    set: impl Fn(&mut Config),
) -> Result<(), BrokerError> {
    let mut config = Config {
        name: name.to_owned(),
        storage: StorageType::File,
        ..Config::default()
    };
    set(&mut config);
    let created = jetstream.create_stream(config).await;
    created.map_err(|error| BrokerError::Away(error.to_string()))?;
    Ok(())
}

fn set_stream(config: &mut Config, settings: &StreamSettings) {
    config.subjects = vec![ALL.to_owned()];
    config.discard = DiscardPolicy::Old;
    // For ever is 0 to the server, which counts nanoseconds in 63 bits.
    let is_bounded = i64::try_from(settings.age_max.as_nanos()).is_ok();
    config.max_age = if is_bounded {
        settings.age_max
    } else {
        Duration::ZERO
    };
    config.max_bytes = i64::try_from(settings.bytes_max).unwrap_or(i64::MAX);
    // The server refuses a window longer than the events' own age.
    config.duplicate_window = settings.duplicate_window.min(settings.age_max);
    // An operator who gave it more keeps them.
    config.num_replicas = config.num_replicas.max(settings.replicas);
    config.allow_direct = true;
    config.republish = Some(Republish {
        source: ALL.to_owned(),
        destination: LIVE.to_owned(),
        headers_only: false,
    });
}

/// What makes a stream a key-value bucket (ADR-8), with lifetimes per key: a key that ends leaves no marker, so
/// that the lease is free when nothing is there, and an instance that died leaves nothing.
fn set_bucket(config: &mut Config, bucket: &str, settings: &StreamSettings) {
    config.subjects = vec![format!("$KV.{bucket}.>")];
    config.discard = DiscardPolicy::New;
    config.max_messages_per_subject = 1;
    config.num_replicas = config.num_replicas.max(settings.replicas);
    config.allow_rollup = true;
    config.deny_delete = true;
    config.allow_direct = true;
    config.allow_message_ttl = true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_raised_to_what_is_set_and_never_lowered() {
        let settings = StreamSettings {
            age_max: Duration::from_hours(24),
            bytes_max: 1 << 30,
            duplicate_window: Duration::from_mins(15),
            replicas: 1,
        };
        let bucket =
            |config: &mut Config, settings: &_| set_bucket(config, FANOUT_BUCKET, settings);
        for set in [set_stream, bucket as fn(&mut Config, &StreamSettings)] {
            for (had, has) in [(0, 1), (1, 1), (3, 3)] {
                let mut config = Config {
                    num_replicas: had,
                    ..Config::default()
                };
                set(&mut config, &settings);
                assert_eq!(config.num_replicas, has);
            }
        }
    }
}
