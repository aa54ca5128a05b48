//! The places that a transport's viewer holds: taken once, however many namespaces they are connected to
//! (decisions.md, "Socket.IO 2.x").

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use tokio::sync::OnceCell;

use crate::address::ClientAddress;
use crate::limit::{Held, Limited, Limits, Spender};

/// Transports that are looked through for those that have ended, whenever so many more have come.
const SWEEP_EVERY: usize = 1_024;

/// A place among the connections of an address, and one among those of a viewer.
#[derive(Debug)]
pub struct Places {
    _address: Held,
    _viewer: Held,
}

/// The places of one viewer on one transport, once they are taken; given back with the last clone.
pub type Seat = Rc<OnceCell<Places>>;

/// The seats of one worker's transports: on each seldom more than one, for one viewer.
#[derive(Debug, Default)]
pub struct Seats(RefCell<HashMap<usize, Vec<Taken>>>);

/// Whose seat it is, and the seat as long as anybody holds it.
type Taken = (String, Weak<OnceCell<Places>>);

impl Seats {
    /// Somebody is connected over this transport already: it was counted.
    pub fn is_taken(&self, transport: usize) -> bool {
        let seats = self.0.borrow();
        let mut own = seats.get(&transport).into_iter().flatten();
        own.any(|(_, seat)| seat.upgrade().is_some_and(|seat| seat.initialized()))
    }

    /// Takes a viewer's places, unless they have them.
    ///
    /// # Errors
    /// Too many connections.
    pub async fn take(
        &self,
        limits: &Limits,
        spender: Spender<'_>,
        address: ClientAddress,
        transport: usize,
    ) -> Result<Seat, Limited> {
        let seat = self.of(transport, format!("{spender:?}"));
        let taking = || async {
            Ok(Places {
                _address: limits.hold_address(address).await?,
                _viewer: limits.hold_viewer(spender, address).await?,
            })
        };
        seat.get_or_try_init(taking).await?;
        Ok(seat)
    }

    fn of(&self, transport: usize, viewer: String) -> Seat {
        let mut seats = self.0.borrow_mut();
        if seats.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
            seats.retain(|_, own| own.iter().any(|(_, seat)| seat.strong_count() > 0));
        }
        let own = seats.entry(transport).or_default();
        own.retain(|(_, seat)| seat.strong_count() > 0);
        let known = own.iter().find(|(of, _)| *of == viewer);
        if let Some(seat) = known.and_then(|(_, seat)| seat.upgrade()) {
            return seat;
        }
        let seat = Seat::default();
        own.push((viewer, Rc::downgrade(&seat)));
        seat
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::UserId;
    use registry::Registry;

    use super::*;
    use crate::limit::LimitSettings;

    fn limits(connections_per_user_max: u32) -> Limits {
        let settings = LimitSettings {
            window: Duration::from_mins(1),
            requests_max: 0,
            connections_per_user_max,
            connections_per_address_max: 0,
            handshakes_max: 0,
        };
        Limits::new(Registry::in_process(), &settings)
    }

    #[tokio::test]
    async fn a_second_namespace_takes_no_second_place_and_a_second_transport_does() {
        let (limits, seats) = (limits(2), Seats::default());
        let user = Spender::User(UserId::new(1).unwrap());
        let take = async |transport| {
            seats
                .take(&limits, user, ClientAddress::Unknown, transport)
                .await
        };
        let (first, second) = tokio::join!(take(1), take(1));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(Rc::ptr_eq(&first, &second) && seats.is_taken(1));
        let other = take(2).await.unwrap();
        assert!(take(3).await.is_err() && !seats.is_taken(3));
        drop((first, second));
        assert!(!seats.is_taken(1) && seats.is_taken(2));
        limits.give_back().await;
        assert!(take(3).await.is_ok());
        drop(other);
    }
}
