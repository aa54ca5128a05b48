//! The sockets of one worker by namespace and room: who gets a broadcast.
//! It promises that a broadcast is queued for all members in one turn, so that each sees it at the same place among
//! everything else that is sent to them. Rooms exist as long as somebody is in them.

use std::{
    cell::{Ref, RefCell},
    collections::HashMap,
    rc::Rc,
};

use bytes::{Bytes, BytesMut};
use indexmap::IndexMap;

use crate::{
    engine::Protocol,
    frame::Frame,
    socket::{Socket, SocketKey},
};

/// Events that are sent together are joined up to this size: one buffer for all members is cheaper than a vector of
/// frames for each, and copying costs nothing beside sending.
const JOINED_BYTES_MAX: usize = 64 * 1024;

type Members = IndexMap<SocketKey, Socket>;

/// All sockets of a worker.
#[derive(Default)]
pub(crate) struct Rooms(RefCell<HashMap<usize, Namespace>>);

#[derive(Default)]
struct Namespace {
    everyone: Members,
    rooms: HashMap<Rc<str>, Members>,
}

impl Rooms {
    pub(crate) fn enter(&self, namespace: usize, socket: &Socket) {
        let mut namespaces = self.0.borrow_mut();
        let everyone = &mut namespaces.entry(namespace).or_default().everyone;
        everyone.insert(socket.key(), socket.clone());
    }

    /// Puts a socket into a room, once.
    pub(crate) fn join(&self, namespace: usize, room: Rc<str>, socket: &Socket) {
        let mut namespaces = self.0.borrow_mut();
        let rooms = &mut namespaces.entry(namespace).or_default().rooms;
        let members = rooms.entry(room).or_default();
        members.insert(socket.key(), socket.clone());
    }

    pub(crate) fn leave(&self, namespace: usize, room: &str, socket: SocketKey) {
        let mut namespaces = self.0.borrow_mut();
        let Some(namespace) = namespaces.get_mut(&namespace) else {
            return;
        };
        let Some(members) = namespace.rooms.get_mut(room) else {
            return;
        };
        members.swap_remove(&socket);
        if members.is_empty() {
            namespace.rooms.remove(room);
        }
    }

    /// Takes a socket that has ended out of its namespace; its rooms are its caller's.
    pub(crate) fn exit(&self, namespace: usize, socket: SocketKey) {
        if let Some(namespace) = self.0.borrow_mut().get_mut(&namespace) {
            namespace.everyone.swap_remove(&socket);
        }
    }

    /// Queues events for all of a namespace or of a room.
    pub(crate) fn broadcast(&self, namespace: usize, room: Option<&str>, frames: &[Frame]) {
        let namespaces = self.0.borrow();
        let members = Ref::filter_map(namespaces, |namespaces| {
            let found = namespaces.get(&namespace)?;
            match room {
                Some(room) => found.rooms.get(room),
                None => Some(&found.everyone),
            }
        });
        let Ok(members) = members else { return };
        let mut encoded = Encoded::default();
        for socket in members.values() {
            for bytes in encoded.of(frames, socket) {
                socket.queue(bytes.clone());
            }
        }
    }
}

/// The bytes of some events for each revision of the protocol.
#[derive(Default)]
struct Encoded {
    v4: Option<Vec<Bytes>>,
    v3: Option<Vec<Bytes>>,
}

impl Encoded {
    fn of(&mut self, frames: &[Frame], socket: &Socket) -> &[Bytes] {
        let known = match socket.protocol() {
            Protocol::V4 => &mut self.v4,
            Protocol::V3 => &mut self.v3,
        };
        known.get_or_insert_with(|| {
            let bytes = frames
                .iter()
                .map(|frame| frame.bytes(socket.namespace(), socket.protocol()));
            joined(bytes.collect())
        })
    }
}

/// Puts what fits together into one.
fn joined(all: Vec<Bytes>) -> Vec<Bytes> {
    let size: usize = all.iter().map(Bytes::len).sum();
    if all.len() < 2 || size > JOINED_BYTES_MAX {
        return all;
    }
    let mut bytes = BytesMut::with_capacity(size);
    for part in &all {
        bytes.extend_from_slice(part);
    }
    vec![bytes.freeze()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_events_are_joined_and_large_ones_are_not_copied() {
        let part = Bytes::from(vec![1; 10]);
        assert_eq!(joined(vec![part.clone(), part.clone()]), [vec![1; 20]]);
        let large = Bytes::from(vec![2; JOINED_BYTES_MAX]);
        let kept = joined(vec![part, large.clone()]);
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[1].as_ptr(), large.as_ptr());
    }
}
