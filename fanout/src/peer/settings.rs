//! What an instance is told of the others: a port, and by which way they are reached.

use runtime::settings::{Settings, SettingsError};
use url::Url;

/// What NATS listens on unless its address says otherwise (<https://docs.nats.io/running-a-nats-service/configuration>).
const NATS_PORT: u16 = 4_222;

/// The port between instances.
#[derive(Debug, Clone)]
pub struct PeerSettings {
    /// Where this instance listens to the others (`PEER_PORT`); 0: any free port.
    pub port: u16,
    /// Hosts of the broker, towards which the others are; none: all are on this machine.
    pub brokers: Vec<(String, u16)>,
}

impl PeerSettings {
    /// Reads `PEER_PORT`; without it an instance is alone.
    ///
    /// # Errors
    /// It is no port.
    pub fn read(settings: &Settings) -> Result<Option<Self>, SettingsError> {
        let port = settings.parsed("PEER_PORT", "a port")?;
        let brokers = settings.list("NATS_URL").into_iter().filter_map(host);
        Ok(port.map(|port| Self {
            port,
            brokers: brokers.collect(),
        }))
    }
}

/// The host and port of one of the broker's addresses, which may go without a scheme.
fn host(text: &str) -> Option<(String, u16)> {
    let url = match Url::parse(text) {
        Ok(url) if url.has_host() => url,
        _ => Url::parse(&format!("nats://{text}")).ok()?,
    };
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    Some((host, url.port().unwrap_or(NATS_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_port_an_instance_is_alone() {
        let mut settings = Settings::default();
        assert!(PeerSettings::read(&settings).unwrap().is_none());
        settings.set("PEER_PORT", "3003");
        let read = PeerSettings::read(&settings).unwrap().unwrap();
        assert_eq!((read.port, read.brokers), (3003, Vec::new()));
        settings.set("PEER_PORT", "66000");
        assert!(PeerSettings::read(&settings).is_err());
    }

    #[test]
    fn the_hosts_of_the_broker_are_read_and_its_password_is_not() {
        let mut settings = Settings::default();
        settings.set("PEER_PORT", "3003");
        settings.set(
            "NATS_URL",
            "nats://fanout:secret@nats:4223, tls://nats-2.example, nats-3:4224,10.0.0.1, tls://[fd00::1]:1",
        );
        let read = PeerSettings::read(&settings).unwrap().unwrap();
        assert!(!format!("{read:?}").contains("secret"));
        let wanted = [
            ("nats", 4223),
            ("nats-2.example", 4222),
            ("nats-3", 4224),
            ("10.0.0.1", 4222),
            ("fd00::1", 1),
        ];
        assert_eq!(
            read.brokers,
            wanted.map(|(host, port)| (host.to_owned(), port))
        );
    }
}
