//! What speaks inside the messages of a session: Socket.IO with its namespaces, or a bare application of Engine.IO.

use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::{
    close::{DisconnectReason, Ending},
    engine::Message,
};

/// The upper side of one session. It is called by the session's task alone.
pub(crate) trait Application {
    /// The session is open, its open packet queued.
    fn on_open(&mut self);

    /// The client sent a message.
    fn on_message(&mut self, message: Message<'_>) -> Result<(), Ending>;

    /// Ready when something that was waited for has come, and was handled.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>>;

    /// When [`Application::on_deadline`] is to be called.
    fn deadline(&self) -> Option<Instant>;

    /// The deadline, or another one, is over.
    fn on_deadline(&mut self, now: Instant) -> Result<(), Ending>;

    /// Something was said or ended meanwhile; called after each thing that happens.
    fn settle(&mut self) -> Result<(), Ending>;

    /// The session ends; called once.
    fn on_end(&mut self, reason: DisconnectReason);
}
