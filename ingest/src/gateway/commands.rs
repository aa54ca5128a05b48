//! What is said to Discord over the gateway, by whoever has something to ask. Knows no connection: without one
//! nothing is said.

use std::sync::Arc;

use parking_lot::Mutex;
use twilight_gateway::MessageSender;

/// The way to the present connection. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commands(Arc<Mutex<Option<MessageSender>>>);

impl Commands {
    /// A session is live on this connection.
    pub(super) fn open(&self, sender: MessageSender) {
        *self.0.lock() = Some(sender);
    }

    /// There is none any more.
    pub(super) fn close(&self) {
        *self.0.lock() = None;
    }

    /// Says it, if somebody listens; the answer may still not come.
    pub(crate) fn try_send(&self, json: String) -> bool {
        let sender = self.0.lock();
        sender
            .as_ref()
            .is_some_and(|sender| sender.send(json).is_ok())
    }
}
