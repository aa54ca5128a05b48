//! Requests within the process: who serves which subject.
//!
//! Of several servers of a subject the newest is asked. It knows nothing of what is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::broker::{Answer, Requests, Unanswered};

/// Requests that wait for a server; beyond them the asker waits, up to its own time limit.
const WAITING_MAX: usize = 256;

/// All servers of all subjects.
#[derive(Debug, Clone, Default)]
pub(super) struct Registry(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    servers: HashMap<String, Vec<(u64, mpsc::Sender<Answer>)>>,
    next_id: u64,
}

impl Registry {
    /// Serves a subject from now on.
    pub(super) fn serve(&self, subject: &str) -> Server {
        let (asker, requests) = mpsc::channel(WAITING_MAX);
        let mut inner = self.0.lock();
        inner.next_id += 1;
        let id = inner.next_id;
        let servers = inner.servers.entry(subject.to_owned()).or_default();
        servers.push((id, asker));
        Server {
            registry: self.clone(),
            subject: subject.to_owned(),
            id,
            requests,
        }
    }

    /// Asks whoever serves this subject.
    pub(super) async fn ask(
        &self,
        subject: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Unanswered> {
        let server = self.newest(subject).ok_or(Unanswered::Nobody)?;
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            let asked = server.send(Answer { payload, reply }).await;
            asked.map_err(|_| Unanswered::Nobody)?;
            answer.await.map_err(|_| Unanswered::Late)
        };
        let answered = tokio::time::timeout(timeout, exchange).await;
        answered.unwrap_or(Err(Unanswered::Late))
    }

    /// Ends all servers: each reads to the end of its queue and then `None`.
    pub(super) fn close(&self) {
        self.0.lock().servers.clear();
    }

    fn newest(&self, subject: &str) -> Option<mpsc::Sender<Answer>> {
        let inner = self.0.lock();
        let (_, newest) = inner.servers.get(subject)?.last()?;
        Some(newest.clone())
    }

    fn remove(&self, subject: &str, id: u64) {
        let mut inner = self.0.lock();
        let Some(servers) = inner.servers.get_mut(subject) else {
            return;
        };
        servers.retain(|(other, _)| *other != id);
        if servers.is_empty() {
            inner.servers.remove(subject);
        }
    }
}

/// The requests of one subject.
#[derive(Debug)]
pub(super) struct Server {
    registry: Registry,
    subject: String,
    id: u64,
    requests: mpsc::Receiver<Answer>,
}

#[async_trait]
impl Requests for Server {
    async fn next(&mut self) -> Option<Answer> {
        self.requests.recv().await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.registry.remove(&self.subject, self.id);
    }
}
