//! Serving requests: a plain subscription, because only the leader serves.
//!
//! Each answer is sent by a small task of its own, so that whoever serves may take its time and the next
//! request meanwhile.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::Nats;
use super::api::CALL_PATIENCE;
use crate::broker::{Answer, BrokerError, Requests};

/// Requests that are being answered at the same time; more are left unanswered, and the asker's time limit
/// tells it.
const ANSWERING_MAX: usize = 256;

/// Nobody waits longer for an answer: the askers' own limit is 2 s (decisions.md, members).
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Subscribes, and returns once the server has the subscription.
pub(super) async fn serve(nats: &Nats, subject: &str) -> Result<Server, BrokerError> {
    let subscribing = async {
        let requests = nats.subscribe(subject).await?;
        nats.round_trip().await?;
        Ok(requests)
    };
    let requests = nats.bounded(CALL_PATIENCE, subscribing).await?;
    Ok(Server {
        client: nats.connection.client().clone(),
        requests,
        answering: JoinSet::new(),
    })
}

/// The requests of one subject. Dropping it leaves what is not yet answered unanswered.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    requests: Subscriber,
    answering: JoinSet<()>,
}

#[async_trait]
impl Requests for Server {
    async fn next(&mut self) -> Option<Answer> {
        loop {
            let request = self.requests.next().await?;
            if let Some(answer) = self.take(request) {
                return Some(answer);
            }
        }
    }
}

impl Server {
    fn take(&mut self, request: Message) -> Option<Answer> {
        while self.answering.try_join_next().is_some() {}
        let inbox = request.reply?;
        if self.answering.len() >= ANSWERING_MAX {
            tracing::warn!("too many requests are being answered; one is left out");
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let client = self.client.clone();
        self.answering.spawn(async move {
            let answer = tokio::time::timeout(ANSWER_PATIENCE, answer).await;
            let Ok(Ok(payload)) = answer else {
                return;
            };
            if let Err(error) = client.publish(inbox, payload).await {
                tracing::debug!(%error, "an answer could not be sent");
            }
        });
        Some(Answer {
            payload: request.payload,
            reply,
        })
    }
}
