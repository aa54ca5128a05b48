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

/// The seats of one worker's transports.
#[derive(Debug, Default)]
pub struct Seats(RefCell<HashMap<usize, Own>>);

/// One transport's: seldom more than one, for one viewer.
#[derive(Debug, Default)]
struct Own {
    seats: Vec<Taken>,
    /// Its second namespace was connected, which is no second handshake; a third time is.
    is_waived: bool,
}

/// Whose seat it is, and the seat as long as anybody holds it.
type Taken = (String, Weak<OnceCell<Places>>);

impl Seats {
    /// Whether a CONNECT of this transport was counted with its first one: that of the second namespace, once.
    pub fn waive(&self, transport: usize) -> bool {
        let mut seats = self.0.borrow_mut();
        let Some(own) = seats.get_mut(&transport) else {
            return false;
        };
        let is_taken = |(_, seat): &Taken| seat.upgrade().is_some_and(|seat| seat.initialized());
        own.seats.iter().any(is_taken) && !std::mem::replace(&mut own.is_waived, true)
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
            let is_held = |(_, seat): &Taken| seat.strong_count() > 0;
            seats.retain(|_, own| own.seats.iter().any(is_held));
        }
        let own = seats.entry(transport).or_default();
        own.seats.retain(|(_, seat)| seat.strong_count() > 0);
        if own.seats.is_empty() {
            // Perhaps another transport in the place of one that is gone.
            own.is_waived = false;
        }
        let known = own.seats.iter().find(|(of, _)| *of == viewer);
        if let Some(seat) = known.and_then(|(_, seat)| seat.upgrade()) {
            return seat;
        }
        let seat = Seat::default();
        own.seats.push((viewer, Rc::downgrade(&seat)));
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
        assert!(Rc::ptr_eq(&first, &second));
        // The second namespace is no second handshake, and what comes after it is.
        assert_eq!([(); 3].map(|()| seats.waive(1)), [true, false, false]);
        let other = take(2).await.unwrap();
        assert!(take(3).await.is_err() && !seats.waive(3));
        drop((first, second));
        assert!(!seats.waive(1) && seats.waive(2));
        limits.give_back().await;
        assert!(take(3).await.is_ok());
        drop(other);
    }
}
