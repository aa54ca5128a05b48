//! The other instances, as the settings have them: none, or those that the broker knows.

use std::io;
use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

use super::Fanout;
use super::listen::listen;
use crate::peer::{Bounds, Peers, Port};

impl Fanout {
    /// The instances beside this one, if it is told to look for any; and where they come in, from now on until no
    /// session is left that they could ask for.
    pub(super) fn peers(
        &self,
        drain: CancellationToken,
        drained: &CancellationToken,
    ) -> io::Result<(Peers, Option<Port>)> {
        let (settings, life) = (&self.settings, &self.life);
        let bounds = Bounds {
            poll: settings.socketio.ping_interval + settings.socketio.ping_timeout,
            drain: settings.drain,
        };
        let Some(with) = &settings.peers else {
            return Ok((Peers::new(None, bounds, drain), None));
        };
        let peers = Peers::new(Some(self.broker.clone()), bounds, drain);
        let listener = listen(SocketAddr::new(settings.address.ip(), with.port))?;
        let joined = peers.join(listener, with, drained)?;
        let port = joined.map(|(port, enrolment)| {
            life.spawn("peers", enrolment.run());
            port
        });
        Ok((peers, port))
    }
}
