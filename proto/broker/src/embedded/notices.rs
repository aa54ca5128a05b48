//! Notices within the process: everybody hears everything that is said where they listen.
//!
//! Whoever says something never waits; a listener that falls too far behind misses the oldest.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::broker::{Notice, Notices};

/// Notices that a listener may be behind: some seconds of typing in a busy guild.
const WAITING_MAX: usize = 1_024;

/// Where notices are said; closed, it says nothing more.
#[derive(Debug, Clone)]
pub(super) struct Board(Arc<Mutex<Option<broadcast::Sender<Notice>>>>);

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(broadcast::Sender::new(
            WAITING_MAX,
        )))))
    }
}

impl Board {
    /// Says something to whoever listens now.
    pub(super) fn say(&self, subject: &str, payload: Bytes) {
        let notice = Notice {
            subject: subject.to_owned(),
            payload,
        };
        let board = self.0.lock();
        if let Some(board) = board.as_ref()
            && board.send(notice).is_err()
        {
            tracing::trace!("nobody listens");
        }
    }

    /// Listens from now on.
    pub(super) fn listen(&self, subject: &str) -> Listener {
        let heard = self.0.lock().as_ref().map(broadcast::Sender::subscribe);
        Listener {
            subject: subject.to_owned(),
            heard,
        }
    }

    /// Ends every listener.
    pub(super) fn close(&self) {
        self.0.lock().take();
    }
}

/// One listener.
#[derive(Debug)]
pub(super) struct Listener {
    subject: String,
    heard: Option<broadcast::Receiver<Notice>>,
}

#[async_trait]
impl Notices for Listener {
    async fn next(&mut self) -> Option<Notice> {
        loop {
            match self.heard.as_mut()?.recv().await {
                Ok(notice) if is_below(&notice.subject, &self.subject) => return Some(notice),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => {
                    tracing::debug!(missed, "a listener was too slow for some notices");
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// NATS' own rule: `a.>` is everything below `a.`, and anything else is itself.
fn is_below(subject: &str, wanted: &str) -> bool {
    match wanted.strip_suffix('>') {
        Some(above) => subject.len() > above.len() && subject.starts_with(above),
        None => subject == wanted,
    }
}
