//! Notices: core NATS, told to whoever is subscribed now and stored nowhere.

use async_nats::Subscriber;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::Nats;
use super::api::CALL_PATIENCE;
use crate::broker::{BrokerError, Notice, Notices};

/// Says something to whoever listens now.
pub(super) async fn say(nats: &Nats, subject: &str, payload: Bytes) -> Result<(), BrokerError> {
    let client = nats.connection.client();
    let saying = async {
        let said = client.publish(subject.to_owned(), payload).await;
        said.map_err(|error| BrokerError::Away(error.to_string()))
    };
    nats.bounded(CALL_PATIENCE, saying).await
}

/// Subscribes, and returns once the server has the subscription.
pub(super) async fn listen(nats: &Nats, subject: &str) -> Result<Listener, BrokerError> {
    let subscribing = async {
        let heard = nats.subscribe(subject).await?;
        nats.round_trip().await?;
        Ok(heard)
    };
    let heard = nats.bounded(CALL_PATIENCE, subscribing).await?;
    let stop = nats.stop.clone();
    Ok(Listener { heard, stop })
}

/// One listener. The client's own buffer bounds it: what comes beyond is left out.
#[derive(Debug)]
pub(super) struct Listener {
    heard: Subscriber,
    stop: CancellationToken,
}

#[async_trait]
impl Notices for Listener {
    async fn next(&mut self) -> Option<Notice> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            message = self.heard.next() => message.map(|message| Notice {
                subject: message.subject.to_string(),
                payload: message.payload,
            }),
        }
    }
}
