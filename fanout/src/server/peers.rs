//! The other instances, as the settings have them: none, or those that the broker knows.

use std::io;
use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

use super::Fanout;
use super::listen::listen;
use crate::peer::{Bounds, Peers, Port};

impl Fanout {
    /// The instances beside this one, if it is told to look for any.
    pub(super) fn peers(&self, drain: CancellationToken) -> Peers {
        let settings = &self.settings;
        let broker = settings.peers.as_ref().map(|_| self.broker.clone());
        let bounds = Bounds {
            poll: settings.socketio.ping_interval + settings.socketio.ping_timeout,
            drain: settings.drain,
        };
        Peers::new(broker, bounds, drain)
    }

    /// Listens to the other instances, and tells them where, until no session is left that they could ask for.
    pub(super) fn join(
        &self,
        peers: &Peers,
        drained: &CancellationToken,
    ) -> io::Result<Option<Port>> {
        let Some(settings) = &self.settings.peers else {
            return Ok(None);
        };
        let listener = listen(SocketAddr::new(self.settings.address.ip(), settings.port))?;
        let Some((port, enrolment)) = peers.join(listener, settings, drained)? else {
            return Ok(None);
        };
        self.life.spawn("peers", enrolment.run());
        Ok(Some(port))
    }
}
