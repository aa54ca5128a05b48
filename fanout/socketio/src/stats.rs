//! What one worker has open and has seen: numbers for health pages and metrics.
//! It promises that `opened` = `connections` + all that `closes` counts. It is written by its worker alone and may be read from any thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::close::{Close, DisconnectReason};

/// The reasons that end a transport, in the order of [`Stats::closes`].
const REASONS: [DisconnectReason; 10] = [
    DisconnectReason::Closed(Close::Normal),
    DisconnectReason::TransportClosed,
    DisconnectReason::TransportError,
    DisconnectReason::PingTimeout,
    DisconnectReason::TooSlow,
    DisconnectReason::TooBig,
    DisconnectReason::ProtocolError,
    DisconnectReason::Flood,
    DisconnectReason::ConnectTimeout,
    DisconnectReason::HostPanicked,
];

/// Counters of one [`Endpoint`](crate::Endpoint).
#[derive(Debug, Default)]
pub struct Stats {
    opened: AtomicU64,
    connections: AtomicU64,
    polling: AtomicU64,
    sockets: AtomicU64,
    refused: AtomicU64,
    upgraded: AtomicU64,
    events: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
    closes: [AtomicU64; REASONS.len()],
}

impl Stats {
    /// Transports opened so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// Transports open now, with those that are closing.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Those of the open transports that are long polling.
    pub fn polling(&self) -> u64 {
        self.polling.load(Relaxed)
    }

    /// Namespaces connected now, over all transports.
    pub fn sockets(&self) -> u64 {
        self.sockets.load(Relaxed)
    }

    /// Handshakes answered with an error so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Sessions that went on from long polling to a WebSocket so far.
    pub fn upgraded(&self) -> u64 {
        self.upgraded.load(Relaxed)
    }

    /// Events received so far.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Frames queued for clients so far: events, answers and pings.
    pub fn frames(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// Bytes queued for clients so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// How many transports ended for each reason so far, by [`DisconnectReason::label`].
    pub fn closes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.closes.iter().map(|count| count.load(Relaxed));
        REASONS.iter().map(|reason| reason.label()).zip(counts)
    }

    pub(crate) fn on_refused(&self) {
        add(&self.refused, 1);
    }

    pub(crate) fn on_upgraded(&self) {
        add(&self.upgraded, 1);
        self.on_polling_ended();
    }

    pub(crate) fn on_polling(&self) {
        add(&self.polling, 1);
    }

    pub(crate) fn on_polling_ended(&self) {
        subtract(&self.polling, 1);
    }

    pub(crate) fn on_opened(&self) {
        add(&self.opened, 1);
        add(&self.connections, 1);
    }

    pub(crate) fn on_closed(&self, reason: DisconnectReason) {
        subtract(&self.connections, 1);
        let place = REASONS
            .iter()
            .position(|known| known.label() == reason.label());
        if let Some(count) = place.and_then(|place| self.closes.get(place)) {
            add(count, 1);
        }
    }

    pub(crate) fn on_connected(&self) {
        add(&self.sockets, 1);
    }

    pub(crate) fn on_disconnected(&self) {
        subtract(&self.sockets, 1);
    }

    pub(crate) fn on_event(&self) {
        add(&self.events, 1);
    }

    pub(crate) fn on_queued(&self, bytes: usize) {
        add(&self.frames, 1);
        add(&self.bytes, bytes as u64);
    }
}

/// Only one thread writes, so a load and a store are enough: a locked addition would cost more than the queueing.
fn add(count: &AtomicU64, by: u64) {
    count.store(count.load(Relaxed).wrapping_add(by), Relaxed);
}

fn subtract(count: &AtomicU64, by: u64) {
    count.store(count.load(Relaxed).wrapping_sub(by), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_that_ends_is_counted_once_by_its_reason() {
        let stats = Stats::default();
        for reason in REASONS
            .into_iter()
            .chain([DisconnectReason::Closed(Close::GoingAway)])
        {
            stats.on_opened();
            stats.on_closed(reason);
        }
        stats.on_opened();
        let closed: u64 = stats.closes().map(|(_, count)| count).sum();
        assert_eq!((stats.opened(), stats.connections(), closed), (12, 1, 11));
        assert!(stats.closes().any(|close| close == ("closed", 2)));
    }
}
