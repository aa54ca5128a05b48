//! Serves a subject of requests: each is answered in a task of its own, so many at once at most.
//!
//! Serves for as long as it is run, through outages of the broker. Knows nothing of what is asked.

use std::sync::Arc;
use std::time::Duration;

use broker::{Answer, Broker, Requests};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::leader::bounded;

/// The first wait before the subject is served again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long the broker may take to serve.
const CALL: Duration = Duration::from_secs(5);

/// Where requests of one subject are answered.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) subject: &'static str,
    /// Requests answered at once; one more goes unanswered, and is asked again.
    pub(crate) requests_max: usize,
}

impl Desk {
    /// Answers until told to stop; who waits for an answer then gets none.
    pub(crate) async fn run<F>(
        self,
        stop: CancellationToken,
        on_request: impl Fn(Answer) -> F + Send + Sync,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        let mut tasks = JoinSet::new();
        loop {
            let wait = tokio::select! {
                () = stop.cancelled() => break,
                served = bounded(CALL, self.broker.serve(self.subject)) => match served {
                    Ok(requests) => {
                        retry.reset();
                        self.serve(requests, &mut tasks, &stop, &on_request).await;
                        retry.next()
                    }
                    Err(error) => {
                        tracing::debug!(%error, subject = self.subject, "requests can't be served");
                        retry.next()
                    }
                },
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(wait) => {}
            }
        }
        tasks.shutdown().await;
    }

    async fn serve<F>(
        &self,
        mut requests: Box<dyn Requests>,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
        on_request: &(impl Fn(Answer) -> F + Send + Sync),
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                request = requests.next() => match request {
                    Some(request) if tasks.len() < self.requests_max => {
                        tasks.spawn(on_request(request));
                    }
                    Some(_) => tracing::debug!(subject = self.subject, "too many requests at once"),
                    None => return,
                },
            }
        }
    }
}

/// Answers whoever waits.
pub(crate) fn answer(reply: tokio::sync::oneshot::Sender<Bytes>, answer: &impl prost::Message) {
    if reply.send(answer.encode_to_vec().into()).is_err() {
        tracing::debug!("whoever asked is gone");
    }
}
