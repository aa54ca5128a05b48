//! Ports for the programs that tests start, each given out once: a program that is to start again later finds its own.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

/// Below the range that the system gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// How often it is drawn: a port in four may be taken.
const TRIES: usize = 1_000;

/// What shows other processes that a port is given out, whether or not anybody listens on it now: its number among the
/// ports of UDP, which nothing here uses, until this process ends.
static GIVEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port that is free and nobody else's.
///
/// # Panics
/// All that were tried are taken.
pub fn free_port() -> u16 {
    for _ in 0..TRIES {
        let port = rand::random_range(PORTS);
        let address = (Ipv4Addr::LOCALHOST, port);
        if let Ok(given) = UdpSocket::bind(address)
            && TcpListener::bind(address).is_ok()
        {
            let mut all = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(given);
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}
