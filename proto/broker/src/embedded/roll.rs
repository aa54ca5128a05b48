//! The instances within the process, and where each is: what `discord-fanout` is on NATS.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use proto::InstanceId;

use super::clock::Clock;

/// Who is enrolled, and until when in milliseconds since 1970.
#[derive(Debug)]
pub(super) struct Roll {
    clock: Clock,
    enrolled: Mutex<HashMap<InstanceId, (SocketAddr, u64)>>,
}

impl Roll {
    /// Nobody is enrolled.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            enrolled: Mutex::default(),
        }
    }

    /// Enrols an instance, and forgets those whose term has ended.
    pub(super) fn enroll(&self, instance: &InstanceId, address: SocketAddr, term: Duration) {
        let now_ms = self.clock.now_ms();
        let term_ms = u64::try_from(term.as_millis()).unwrap_or(u64::MAX);
        let until_ms = now_ms.saturating_add(term_ms);
        let mut enrolled = self.enrolled.lock();
        enrolled.retain(|_, (_, until_ms)| *until_ms > now_ms);
        enrolled.insert(instance.clone(), (address, until_ms));
    }

    /// Forgets an instance.
    pub(super) fn withdraw(&self, instance: &InstanceId) {
        self.enrolled.lock().remove(instance);
    }

    /// Where an instance is.
    pub(super) fn address_of(&self, instance: &InstanceId) -> Option<SocketAddr> {
        let now_ms = self.clock.now_ms();
        let enrolled = self.enrolled.lock();
        let (address, until_ms) = enrolled.get(instance)?;
        (*until_ms > now_ms).then_some(*address)
    }
}
