//! Who has to speak next in a session, and by when: in revision 4 the server pings, in revision 3 the client does.
//! Source: <https://socket.io/docs/v4/engine-io-protocol/#heartbeat>. Pure: the moments are given to it.

use tokio::time::{Duration, Instant};

use crate::{
    config::Config,
    engine::{Packet, Protocol},
};

/// A ping that leaves this late counts as punctual: the granularity of timers, and a turn of a busy worker. Then the
/// client's time runs from when it was due, as it does at the other side.
const PUNCTUAL: Duration = Duration::from_millis(5);

/// A session's heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    /// Revision 4: our ping is due.
    PingAt(Instant),
    /// Revision 4: its answer is.
    PongBy(Instant),
    /// Revision 3: anything of the client is due.
    SpeakBy(Instant),
}

/// What is to be done when time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    None,
    Ping,
    Dead,
}

impl Heartbeat {
    pub(crate) fn begin(protocol: Protocol, now: Instant, config: &Config) -> Self {
        match protocol {
            Protocol::V4 => Self::PingAt(now + config.ping_interval),
            Protocol::V3 => Self::SpeakBy(now + config.ping_interval + config.ping_timeout),
        }
    }

    /// When [`Heartbeat::on_time`] is to be called.
    pub(crate) fn next(self) -> Instant {
        let (Self::PingAt(at) | Self::PongBy(at) | Self::SpeakBy(at)) = self;
        at
    }

    /// From when on the client counts as gone, whether somebody has noticed or not.
    pub(crate) fn dead_at(self) -> Option<Instant> {
        match self {
            Self::PingAt(_) => None,
            Self::PongBy(by) | Self::SpeakBy(by) => Some(by),
        }
    }

    pub(crate) fn on_time(&mut self, now: Instant, config: &Config) -> Beat {
        match *self {
            Self::PingAt(at) if at <= now => {
                let sent = if now - at <= PUNCTUAL { at } else { now };
                *self = Self::PongBy(sent + config.ping_timeout);
                Beat::Ping
            }
            Self::PongBy(by) | Self::SpeakBy(by) if by <= now => Beat::Dead,
            _ => Beat::None,
        }
    }

    pub(crate) fn on_packet(&mut self, packet: &Packet<'_>, now: Instant, config: &Config) {
        *self = match self {
            Self::SpeakBy(_) => Self::begin(Protocol::V3, now, config),
            _ if *packet == Packet::Pong => Self::begin(Protocol::V4, now, config),
            _ => return,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            ping_interval: Duration::from_millis(300),
            ping_timeout: Duration::from_millis(200),
            ..Config::default()
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn in_revision_4_a_ping_that_stays_unanswered_is_the_end() {
        let (config, start) = (config(), Instant::now());
        let mut heartbeat = Heartbeat::begin(Protocol::V4, start, &config);
        assert_eq!(heartbeat.on_time(start + 299 * MS, &config), Beat::None);
        assert_eq!(heartbeat.dead_at(), None);
        assert_eq!(heartbeat.on_time(start + 301 * MS, &config), Beat::Ping);
        assert_eq!(heartbeat.dead_at(), Some(start + 500 * MS));
        assert_eq!(heartbeat.on_time(start + 499 * MS, &config), Beat::None);
        assert_eq!(heartbeat.on_time(start + 500 * MS, &config), Beat::Dead);
    }

    #[test]
    fn a_pong_begins_the_next_interval_and_nothing_else_does() {
        let (config, start) = (config(), Instant::now());
        let mut heartbeat = Heartbeat::begin(Protocol::V4, start, &config);
        assert_eq!(heartbeat.on_time(start + 300 * MS, &config), Beat::Ping);
        heartbeat.on_packet(&Packet::Idle, start + 350 * MS, &config);
        assert_eq!(heartbeat.dead_at(), Some(start + 500 * MS));
        heartbeat.on_packet(&Packet::Pong, start + 400 * MS, &config);
        assert_eq!(heartbeat, Heartbeat::PingAt(start + 700 * MS));
    }

    #[test]
    fn a_worker_that_was_late_does_not_take_the_clients_time() {
        let (config, start) = (config(), Instant::now());
        let mut heartbeat = Heartbeat::begin(Protocol::V4, start, &config);
        assert_eq!(heartbeat.on_time(start + 450 * MS, &config), Beat::Ping);
        assert_eq!(heartbeat.dead_at(), Some(start + 650 * MS));
    }

    #[test]
    fn in_revision_3_a_client_that_says_nothing_is_gone() {
        let (config, start) = (config(), Instant::now());
        let mut heartbeat = Heartbeat::begin(Protocol::V3, start, &config);
        assert_eq!(heartbeat.on_time(start + 499 * MS, &config), Beat::None);
        heartbeat.on_packet(&Packet::Ping(""), start + 100 * MS, &config);
        assert_eq!(heartbeat.dead_at(), Some(start + 600 * MS));
        assert_eq!(heartbeat.on_time(start + 600 * MS, &config), Beat::Dead);
    }
}
