//! Whose address a request comes from (decisions.md, "Limits").
//!
//! It is the peer's, unless the peer is a proxy that `TRUSTED_PROXIES` names: then it is the right-most entry of
//! `X-Forwarded-For` that no trusted proxy wrote of another one. What stands further left is the client's own
//! word. An address is never shown: not even by `Debug`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use actix_web::http::header::HeaderValue;
use ipnet::IpNet;
use runtime::settings::{Settings, SettingsError, malformed};

/// The header that proxies append to.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// Where a request comes from, as far as limits go.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// This address.
    Known(IpAddr),
    /// A proxy's, which would make one client of all of its own: limits by address do not apply.
    Unknown,
}

impl std::fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Known(_) => "Known(..)",
            Self::Unknown => "Unknown",
        })
    }
}

impl ClientAddress {
    /// What counts as one client: an address of IPv4, a /64 of IPv6, which is what one customer has.
    pub fn key(self) -> Option<String> {
        match self {
            Self::Known(IpAddr::V4(address)) => Some(address.to_string()),
            Self::Known(IpAddr::V6(address)) => {
                let network = u128::from(address) & (u128::MAX << 64);
                Some(format!("{}/64", std::net::Ipv6Addr::from(network)))
            }
            Self::Unknown => None,
        }
    }
}

/// The proxies whose word is taken. Clones share what was warned of.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    trusted: Vec<IpNet>,
    has_warned: Arc<AtomicBool>,
}

impl Proxies {
    /// The addresses and networks of `TRUSTED_PROXIES`.
    ///
    /// # Errors
    /// One of them is neither.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingsError> {
        const NAME: &str = "TRUSTED_PROXIES";
        let networks = settings.list(NAME).into_iter().map(|text| {
            let single = text.parse().map(|address: IpAddr| IpNet::from(address));
            let network = text.parse().or(single);
            network.map_err(|_| malformed(NAME, "addresses or networks such as 10.0.0.0/8"))
        });
        Ok(Self {
            trusted: networks.collect::<Result<_, _>>()?,
            has_warned: Arc::default(),
        })
    }

    /// Whether this peer's headers are taken at their word.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|network| network.contains(&peer))
    }

    /// Where a request with these `X-Forwarded-For` headers comes from, in the order in which they came.
    pub fn client<'a>(
        &self,
        peer: Option<IpAddr>,
        forwarded: impl IntoIterator<Item = &'a HeaderValue>,
    ) -> ClientAddress {
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else {
            return ClientAddress::Unknown;
        };
        let mut forwarded = forwarded.into_iter().peekable();
        if self.trusts(peer) {
            let entries: Vec<&HeaderValue> = forwarded.collect();
            return ClientAddress::Known(self.rightmost_untrusted(peer, &entries));
        }
        if forwarded.peek().is_some() && is_private(peer) {
            self.warn_once();
            return ClientAddress::Unknown;
        }
        ClientAddress::Known(peer)
    }

    /// Goes from the nearest hop to the farthest, as long as each was told of by one that is trusted.
    fn rightmost_untrusted(&self, peer: IpAddr, headers: &[&HeaderValue]) -> IpAddr {
        let texts = headers.iter().rev().map(|value| value.to_str());
        // What is no text hides what stands left of it.
        let entries = texts
            .map_while(Result::ok)
            .flat_map(|text| text.rsplit(','));
        let mut nearest = peer;
        for entry in entries {
            let Some(address) = parse(entry.trim()) else {
                return nearest;
            };
            nearest = address;
            if !self.trusts(address) {
                return nearest;
            }
        }
        nearest
    }

    fn warn_once(&self) {
        if !self.has_warned.swap(true, Relaxed) {
            tracing::warn!(
                "requests come through a proxy that TRUSTED_PROXIES does not name: limits by address do not apply to them"
            );
        }
    }
}

/// An entry of the header: an address, with a port where the proxy adds one.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = entry.parse().ok();
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || entry.parse().map(|socket: SocketAddr| socket.ip()).ok();
    let address: IpAddr = bare.or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

/// Not of the internet: such a peer that forwards requests is a proxy of ours, or nobody can reach us through it.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            // 100.64.0.0/10 (RFC 6598): clusters of some clouds use it for pods.
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(trusted: &str) -> Proxies {
        let mut settings = Settings::default();
        settings.set("TRUSTED_PROXIES", trusted);
        Proxies::from_settings(&settings).unwrap()
    }

    fn client(proxies: &Proxies, peer: &str, forwarded: &[&str]) -> String {
        let headers: Vec<HeaderValue> = forwarded
            .iter()
            .map(|text| HeaderValue::from_bytes(text.as_bytes()).unwrap())
            .collect();
        match proxies.client(Some(peer.parse().unwrap()), &headers) {
            ClientAddress::Known(address) => address.to_string(),
            ClientAddress::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn the_right_most_entry_that_no_trusted_proxy_wrote_of_another_is_the_client() {
        let proxies = proxies("10.0.0.0/8, 192.0.2.1, 2001:db8::/32");
        let table: &[(&str, &[&str], &str)] = &[
            // Nobody forwards.
            ("203.0.113.9", &[], "203.0.113.9"),
            ("10.1.1.1", &[], "10.1.1.1"),
            ("::ffff:203.0.113.9", &[], "203.0.113.9"),
            // A stranger's word is worth nothing.
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("192.0.2.2", &["198.51.100.1"], "192.0.2.2"),
            // One proxy, two, and what the client said itself.
            ("10.1.1.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.1.1.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.1.1.1", &["198.51.100.1, 10.2.2.2"], "198.51.100.1"),
            (
                "10.1.1.1",
                &["198.51.100.1", "10.2.2.2,192.0.2.1"],
                "198.51.100.1",
            ),
            ("10.1.1.1", &["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
            ("10.1.1.1", &["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
            (
                "10.1.1.1",
                &["10.9.9.9, 198.51.100.1, 10.2.2.2"],
                "198.51.100.1",
            ),
            // All of them trusted: the farthest.
            ("10.1.1.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            // Forms.
            ("10.1.1.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.1.1.1", &["2a00::1"], "2a00::1"),
            ("10.1.1.1", &["[2a00::1]"], "2a00::1"),
            ("10.1.1.1", &["[2a00::1]:4711"], "2a00::1"),
            ("10.1.1.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("2001:db8::1", &["2a00::1 , 2001:db8::2"], "2a00::1"),
            // What can't be read hides what is left of it.
            ("10.1.1.1", &["198.51.100.1, unknown"], "10.1.1.1"),
            ("10.1.1.1", &["198.51.100.1, unknown, 10.2.2.2"], "10.2.2.2"),
            ("10.1.1.1", &["198.51.100.1", "\u{e9}"], "10.1.1.1"),
            ("10.1.1.1", &[""], "10.1.1.1"),
            ("10.1.1.1", &[","], "10.1.1.1"),
        ];
        for (peer, forwarded, wanted) in table {
            assert_eq!(
                client(&proxies, peer, forwarded),
                *wanted,
                "{peer} {forwarded:?}"
            );
        }
        assert!(!proxies.has_warned.load(Relaxed));
    }

    #[test]
    fn a_private_peer_that_forwards_and_is_not_trusted_is_nobodys_address() {
        for peer in [
            "10.1.1.1",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
        ]
        .into_iter()
        .chain(["100.64.0.1", "100.127.255.1", "::1", "fd00::1", "fe80::1"])
        .chain(["::ffff:10.1.1.1"])
        {
            let proxies = proxies("192.0.2.1");
            assert_ne!(client(&proxies, peer, &[]), "unknown", "{peer}");
            assert!(!proxies.has_warned.load(Relaxed), "{peer}");
            assert_eq!(
                client(&proxies, peer, &["198.51.100.1"]),
                "unknown",
                "{peer}"
            );
            assert!(proxies.has_warned.load(Relaxed), "{peer}");
        }
        for peer in ["100.63.0.1", "100.128.0.1", "172.32.0.1", "2a00::1"] {
            let forwarded = client(&Proxies::default(), peer, &["198.51.100.1"]);
            assert_eq!(forwarded, peer);
        }
        let without_peer = Proxies::default().client(None, []);
        assert!(without_peer == ClientAddress::Unknown);
    }

    #[test]
    fn a_client_is_an_address_of_version_4_or_a_network_of_version_6() {
        let table = [
            ("203.0.113.9", "203.0.113.9"),
            ("2a00:1:2:3:4:5:6:7", "2a00:1:2:3::/64"),
            ("2a00:1:2:3::", "2a00:1:2:3::/64"),
            ("2a00:1:2:4::", "2a00:1:2:4::/64"),
        ];
        for (address, key) in table {
            let client = ClientAddress::Known(address.parse().unwrap());
            assert_eq!(client.key().as_deref(), Some(key));
            assert!(!format!("{client:?}").contains(address));
        }
        assert_eq!(ClientAddress::Unknown.key(), None);
    }

    #[test]
    fn what_is_no_network_stops_the_start() {
        for text in ["10.0.0.0/33", "proxy", "10.0.0", "10.0.0.1,,x"] {
            let mut settings = Settings::default();
            settings.set("TRUSTED_PROXIES", text);
            assert!(Proxies::from_settings(&settings).is_err(), "{text}");
        }
    }
}
