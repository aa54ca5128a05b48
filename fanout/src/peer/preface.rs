//! What one instance says to another before the bytes of a client: whose they are, as a preface of the PROXY protocol
//! version 2 (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>, §2.2).
//!
//! It reads exactly the preface and nothing beyond it, takes whatever fields (TLVs) another sender adds, and refuses
//! version 1 and all else. The caller bounds the time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ppp::v2::{AddressFamily, Addresses, Builder, Command, Header, ParseError, Protocol, Version};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The signature, the command, the family, and the length of the rest (§2.2).
const FIXED_BYTES: usize = 16;

/// A sender keeps within what one segment of TCP always carries (§2: 536 bytes).
const BYTES_MAX: usize = 536;

/// Why a connection is none of a peer's.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrefaceError {
    /// It ended, or broke.
    #[error("the connection ended before its preface")]
    Ended(#[from] std::io::Error),
    /// It says more than a preface may.
    #[error("the preface is too long")]
    TooLong,
    /// It says something else.
    #[error("no preface of version 2")]
    Malformed(#[from] ParseError),
}

/// The preface of a connection that carries this client's bytes; `None` if nobody knows whose they are.
pub(super) fn of(client: Option<SocketAddr>) -> Vec<u8> {
    let Some(client) = client else {
        let nobody = AddressFamily::Unspecified | Protocol::Unspecified;
        let local = Builder::new(Version::Two | Command::Local, nobody);
        return local.build().expect("16 bytes fit");
    };
    // Which of our addresses the client asked is not told: no peer would look at it.
    let asked = match client {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let addresses = (client, SocketAddr::new(asked, 0));
    let proxied = Version::Two | Command::Proxy;
    let preface = Builder::with_addresses(proxied, Protocol::Stream, addresses);
    preface.build().expect("two addresses fit")
}

/// Reads a preface: the client's address, if the sender knows it.
///
/// # Errors
/// The stream ends, or what comes is none.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, PrefaceError> {
    let mut preface = vec![0; FIXED_BYTES];
    stream.read_exact(&mut preface).await?;
    // What is no preface shows here, before its length is believed.
    match Header::try_from(preface.as_slice()) {
        Ok(_) | Err(ParseError::Partial(..)) => {}
        Err(error) => return Err(error.into()),
    }
    let rest = preface
        .last_chunk()
        .map_or(0, |raw| u16::from_be_bytes(*raw));
    let length = FIXED_BYTES + usize::from(rest);
    if length > BYTES_MAX {
        return Err(PrefaceError::TooLong);
    }
    preface.resize(length, 0);
    let more = preface.get_mut(FIXED_BYTES..).unwrap_or_default();
    stream.read_exact(more).await?;
    Ok(client(&Header::try_from(preface.as_slice())?))
}

/// Addresses of a family that is none of the internet's, and of datagrams, say nothing of a client of ours.
fn client(header: &Header<'_>) -> Option<SocketAddr> {
    if header.command == Command::Local || header.protocol != Protocol::Stream {
        return None;
    }
    match header.addresses {
        Addresses::IPv4(from) => Some((from.source_address, from.source_port).into()),
        Addresses::IPv6(from) => Some((from.source_address, from.source_port).into()),
        Addresses::Unspecified | Addresses::Unix(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is read of these bytes, and what is left.
    fn reading(bytes: &[u8]) -> (Result<Option<SocketAddr>, PrefaceError>, &[u8]) {
        let mut left = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        let read = runtime.block_on(read(&mut left));
        (read, left)
    }

    /// The preface with fields behind its addresses.
    fn with_fields(mut preface: Vec<u8>, fields: &[u8]) -> Vec<u8> {
        preface.extend_from_slice(fields);
        let rest = u16::try_from(preface.len() - FIXED_BYTES).unwrap();
        preface[FIXED_BYTES - 2..FIXED_BYTES].copy_from_slice(&rest.to_be_bytes());
        preface
    }

    proptest! {
        #[test]
        fn a_client_is_read_back_and_nothing_beyond_the_preface_is(
            client: Option<(IpAddr, u16)>,
            fields in prop::collection::vec(any::<u8>(), 0..256),
            beyond: Vec<u8>,
        ) {
            let client = client.map(SocketAddr::from);
            let mut bytes = with_fields(of(client), &fields);
            bytes.extend_from_slice(&beyond);
            let (read, left) = reading(&bytes);
            prop_assert_eq!(read.unwrap(), client);
            prop_assert_eq!(left, beyond.as_slice());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(reading(&bytes).0.is_err());
        }

        #[test]
        fn any_bytes_behind_the_signature_are_read_without_a_panic(
            command: u8, family: u8, length in 0_u16..600, rest: Vec<u8>,
        ) {
            let mut bytes = ppp::v2::PROTOCOL_PREFIX.to_vec();
            bytes.extend([command, family]);
            bytes.extend(length.to_be_bytes());
            bytes.extend(rest);
            let (read, left) = reading(&bytes);
            let taken = bytes.len() - left.len();
            prop_assert!(taken <= BYTES_MAX);
            prop_assert!(read.is_err() || taken == FIXED_BYTES + usize::from(length));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        bytes.extend([0x21, 0x11, 0, 12]);
        bytes.extend([203, 0, 113, 9, 0, 0, 0, 0, 0x30, 0x39, 0, 0]);
        assert_eq!(of(Some("203.0.113.9:12345".parse().unwrap())), bytes);
        let mut local = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        local.extend([0x20, 0, 0, 0]);
        assert_eq!(of(None), local);
    }

    #[test]
    fn what_is_no_preface_of_version_2_is_refused() {
        let first = b"PROXY TCP4 203.0.113.9 10.0.0.1 12345 80\r\nGET / HTTP/1.1\r\n";
        let request = b"GET /socket.io/?EIO=4 HTTP/1.1\r\n";
        for bytes in [first.as_slice(), request] {
            let (read, left) = reading(bytes);
            assert!(matches!(read, Err(PrefaceError::Malformed(_))), "{read:?}");
            assert_eq!(left.len(), bytes.len() - FIXED_BYTES);
        }
        let long = with_fields(of(None), &[0; BYTES_MAX]);
        assert!(matches!(reading(&long).0, Err(PrefaceError::TooLong)));
        let whole = of(Some("203.0.113.9:1".parse().unwrap()));
        for end in 0..whole.len() {
            let (read, _) = reading(&whole[..end]);
            assert!(matches!(read, Err(PrefaceError::Ended(_))), "{end}");
        }
    }
}
