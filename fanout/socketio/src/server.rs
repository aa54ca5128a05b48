//! What all workers of one server share: the settings, how many connections are open, and a mailbox a worker.
//! A request may arrive on another worker than the one on which its session lives, and a broadcast goes to all of them:
//! both are orders in a mailbox, which wakes its worker once however many orders are in it.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot};

use crate::{
    config::Config,
    connection::{PollAnswer, Post},
    frame::Frame,
    request::HandshakeError,
    sid,
};

/// Bytes of broadcasts that may wait for one worker. More than a second of what one worker can send; a worker that
/// is so far behind is stuck, and who broadcasts is told.
const BROADCAST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One Socket.IO server: one a process, cheap to clone, an [`Endpoint`](crate::Endpoint) a worker.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) config: Config,
    mailboxes: RwLock<Vec<Arc<Mailbox>>>,
    connections: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

/// A worker is too far behind to be told of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a worker is too far behind")]
pub struct Congested;

impl Server {
    /// A server of these settings, whose workers are still to come.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Shared {
            config,
            mailboxes: RwLock::default(),
            connections: AtomicUsize::new(0),
            addresses: Mutex::default(),
        }))
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Transports that are open now.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Relaxed)
    }

    /// Sends an event to all sockets of a namespace, or to those of one of its rooms, on all workers. Events of one
    /// caller arrive in their order. It returns before anything is written.
    ///
    /// # Errors
    /// A worker is too far behind. The others are told nevertheless.
    pub fn broadcast(
        &self,
        namespace: &str,
        room: Option<&str>,
        frame: &Frame,
    ) -> Result<(), Congested> {
        let Some(namespace) = self.config().namespace_index(namespace) else {
            return Ok(());
        };
        let room: Option<Arc<str>> = room.map(Into::into);
        let mut told = Ok(());
        for mailbox in self.0.mailboxes.read().iter() {
            let order = Order::Broadcast(namespace, room.clone(), frame.clone());
            told = told.and(mailbox.push(order));
        }
        told
    }
}

/// What one worker asks of another.
pub(crate) enum Order {
    /// A GET for a session.
    Poll(Box<str>, oneshot::Sender<PollAnswer>),
    /// A POST for a session; whether it is wanted, and how large it may be.
    Post(
        Box<str>,
        Post,
        oneshot::Sender<Result<usize, HandshakeError>>,
    ),
    /// Whether there is such a session.
    Find(Box<str>, oneshot::Sender<()>),
    /// A WebSocket for a session, with what was read beyond the handshake.
    Upgrade(Box<str>, std::net::TcpStream, Vec<u8>),
    /// An event for the sockets of a namespace, or of one of its rooms.
    Broadcast(usize, Option<Arc<str>>, Frame),
}

/// The orders for one worker. Requests are bounded by the connections that they came on, broadcasts in bytes.
#[derive(Default)]
pub(crate) struct Mailbox {
    orders: Mutex<Orders>,
    filled: Notify,
}

#[derive(Default)]
struct Orders {
    queue: VecDeque<Order>,
    broadcast_bytes: usize,
    is_closed: bool,
}

impl Mailbox {
    /// A closed mailbox drops the order: who waits for an answer learns it by that.
    pub(crate) fn push(&self, order: Order) -> Result<(), Congested> {
        let mut orders = self.orders.lock();
        if orders.is_closed {
            return Ok(());
        }
        if let Order::Broadcast(_, _, frame) = &order {
            let bytes = orders.broadcast_bytes + frame.size();
            if bytes > BROADCAST_BYTES_MAX {
                return Err(Congested);
            }
            orders.broadcast_bytes = bytes;
        }
        orders.queue.push_back(order);
        let is_first = orders.queue.len() == 1;
        drop(orders);
        if is_first {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits until there are orders, and swaps them for an empty list.
    pub(crate) async fn take(&self, empty: VecDeque<Order>) -> VecDeque<Order> {
        loop {
            let filled = self.filled.notified();
            {
                let mut orders = self.orders.lock();
                if !orders.queue.is_empty() {
                    return std::mem::replace(&mut orders.queue, empty);
                }
            }
            filled.await;
        }
    }

    /// So many bytes of broadcasts have gone out.
    pub(crate) fn release(&self, bytes: usize) {
        if bytes > 0 {
            let mut orders = self.orders.lock();
            orders.broadcast_bytes = orders.broadcast_bytes.saturating_sub(bytes);
        }
    }

    pub(crate) fn close(&self) {
        let mut orders = self.orders.lock();
        orders.is_closed = true;
        orders.queue.clear();
    }
}

impl Shared {
    /// A mailbox for one more worker, and its number; none beyond what an id can tell apart.
    pub(crate) fn add_worker(&self) -> Option<(usize, Arc<Mailbox>)> {
        let mut mailboxes = self.mailboxes.write();
        let number = mailboxes.len();
        if number == sid::WORKERS_MAX {
            return None;
        }
        let mailbox = Arc::new(Mailbox::default());
        mailboxes.push(Arc::clone(&mailbox));
        Some((number, mailbox))
    }

    pub(crate) fn mailbox(&self, worker: usize) -> Option<Arc<Mailbox>> {
        self.mailboxes.read().get(worker).cloned()
    }

    /// A place for one more connection of this address; none if there are too many.
    pub(crate) fn take_place(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Slot> {
        let open = self.connections.fetch_add(1, Relaxed);
        let mut slot = Slot {
            shared: Arc::clone(self),
            address: None,
        };
        let most = self.config.connections_max;
        if most > 0 && open >= most {
            return None;
        }
        let most = self.config.connections_per_address_max;
        if let Some(address) = peer.map(counted).filter(|_| most > 0) {
            let mut addresses = self.addresses.lock();
            let count = addresses.entry(address).or_default();
            if *count >= most {
                return None;
            }
            *count += 1;
            slot.address = Some(address);
        }
        Some(slot)
    }
}

/// One open connection; given back when dropped.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    address: Option<IpAddr>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Relaxed);
        let Some(address) = self.address else { return };
        let mut addresses = self.shared.addresses.lock();
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}

/// What an address counts as: a client has all of an IPv6 network of 64 bits.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(connections_max: usize, connections_per_address_max: usize) -> Arc<Shared> {
        let config = Config {
            connections_max,
            connections_per_address_max,
            ..Config::default()
        };
        Server::new(config).0
    }

    #[test]
    fn places_are_counted_by_process_and_by_address_and_given_back() {
        let shared = shared(3, 2);
        let peer = |text: &str| Some(text.parse().expect("an address"));
        let one = shared.take_place(peer("2001:db8::1")).expect("free");
        let _two = shared.take_place(peer("2001:db8::2")).expect("free");
        assert!(shared.take_place(peer("2001:db8::3")).is_none());
        let _other = shared.take_place(peer("2001:db8:0:1::1")).expect("free");
        assert!(shared.take_place(None).is_none());
        drop(one);
        let again = shared.take_place(peer("2001:db8::3")).expect("free");
        drop(again);
        assert_eq!(Server(shared).connections(), 2);
    }

    #[test]
    fn without_bounds_there_is_always_a_place() {
        let shared = shared(0, 0);
        let peer = Some("127.0.0.1".parse().expect("an address"));
        let places: Vec<_> = (0..100).map(|_| shared.take_place(peer)).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(shared.addresses.lock().is_empty());
    }

    #[test]
    fn a_mailbox_that_is_too_full_refuses_broadcasts_and_a_closed_one_drops() {
        let mailbox = Mailbox::default();
        let text = "x".repeat(BROADCAST_BYTES_MAX / 2);
        let frame = Frame::event_json("e", &text).expect("has a JSON form");
        let broadcast = || Order::Broadcast(0, None, frame.clone());
        assert_eq!(mailbox.push(broadcast()), Ok(()));
        assert_eq!(mailbox.push(broadcast()), Err(Congested));
        let (found, mut answer) = oneshot::channel();
        assert_eq!(mailbox.push(Order::Find("a".into(), found)), Ok(()));
        mailbox.close();
        assert!(
            answer
                .try_recv()
                .is_err_and(|e| e == oneshot::error::TryRecvError::Closed)
        );
        assert_eq!(mailbox.push(broadcast()), Ok(()));
    }
}
