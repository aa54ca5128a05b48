//! A bare application of Engine.IO: messages in, messages out, without Socket.IO inside.

use std::{
    fmt,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::time::Instant;

use crate::{
    application::Application,
    close::{Close, DisconnectReason, Ending},
    connection::Connection,
    engine::{Message, Protocol, message_frame},
    host::{Handshake, Refusal},
};

/// An application of Engine.IO on one worker thread. Its methods must not block.
pub trait EngineHost: 'static {
    /// Looks at a handshake (origin, address, limits) before it is answered.
    ///
    /// # Errors
    /// The HTTP answer that the client gets in place of a session.
    fn on_handshake(&self, _handshake: &Handshake) -> Result<(), Refusal> {
        Ok(())
    }

    /// A session is open.
    fn on_open(&self, _session: &EngineSession) {}

    /// The client sent a message.
    fn on_message(&self, session: &EngineSession, message: Message<'_>);

    /// A session has ended: exactly once for each [`EngineHost::on_open`].
    fn on_close(&self, _session: &EngineSession, _reason: DisconnectReason) {}
}

/// One client of an [`EngineHost`]. Cheap to clone; it stays on its worker thread.
#[derive(Clone)]
pub struct EngineSession(Rc<Connection>);

impl EngineSession {
    /// Its id, a secret between the client and this server.
    pub fn id(&self) -> &str {
        self.0.sid()
    }

    /// The revision of the protocol that the client speaks.
    pub fn protocol(&self) -> Protocol {
        self.0.protocol()
    }

    /// The request that opened it.
    pub fn handshake(&self) -> &Rc<Handshake> {
        self.0.handshake()
    }

    /// Whether messages still reach the client.
    pub fn is_open(&self) -> bool {
        !self.0.is_ending()
    }

    /// Queues a message. If too much waits for this client already, its transport is closed instead.
    pub fn send(&self, message: Message<'_>) {
        self.0.queue(message_frame(message, self.0.protocol()));
    }

    /// Closes the session, after what is queued.
    pub fn close(&self, close: Close) {
        self.0.end(DisconnectReason::Closed(close).into());
    }
}

impl fmt::Debug for EngineSession {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("EngineSession")
            .field("protocol", &self.protocol())
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// One session of an [`EngineHost`].
pub(crate) struct Bare<E> {
    host: Rc<E>,
    session: EngineSession,
}

impl<E: EngineHost> Bare<E> {
    pub(crate) fn new(host: Rc<E>, connection: Rc<Connection>) -> Self {
        Self {
            host,
            session: EngineSession(connection),
        }
    }
}

impl<E: EngineHost> Application for Bare<E> {
    fn on_open(&mut self) {
        self.host.on_open(&self.session);
    }

    fn on_message(&mut self, message: Message<'_>) -> Result<(), Ending> {
        self.host.on_message(&self.session, message);
        Ok(())
    }

    fn poll_work(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        Poll::Pending
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn on_deadline(&mut self, _: Instant) -> Result<(), Ending> {
        Ok(())
    }

    fn settle(&mut self) -> Result<(), Ending> {
        Ok(())
    }

    fn on_end(&mut self, reason: DisconnectReason) {
        self.host.on_close(&self.session, reason);
    }
}
