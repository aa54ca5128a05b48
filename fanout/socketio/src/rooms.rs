//! The sockets of one worker by namespace and room: who gets a broadcast.
//! It promises that each member sees a broadcast at the same place among everything else that is sent to it, although
//! it is written to one after the other, with pauses: what is pending stays with the room, as a pass over its members,
//! and whoever sends something to a member alone, or takes it out of the room, first sees to it that the member has what
//! was broadcast before. Passes go out in the order of their broadcasts. A room exists as long as somebody is in it.
//! Writing straight from the room costs a third of queueing at each member: a member is touched once.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::Rc,
};

use bytes::{Bytes, BytesMut};
use indexmap::IndexMap;

use crate::{connection::Connection, engine::Protocol, frame::Frame, socket::SocketKey};

/// Events that are sent together are joined up to this size: one buffer for all members is cheaper than a vector of
/// frames for each, and copying costs nothing beside sending.
const JOINED_BYTES_MAX: usize = 64 * 1024;

/// A room of a namespace, or all of it.
type Key = (usize, Option<Rc<str>>);

/// All sockets of a worker.
#[derive(Default)]
pub(crate) struct Rooms {
    state: RefCell<State>,
    /// Whether a pass is pending: what everybody who sends looks at first.
    is_pending: Cell<bool>,
}

#[derive(Default)]
struct State {
    rooms: HashMap<Key, Members>,
    passes: VecDeque<Pass>,
    /// The number of the last pass.
    last: u64,
}

type Members = IndexMap<SocketKey, Member>;

struct Member {
    connection: Rc<Connection>,
    namespace: usize,
    /// The last pass that it has, or that was begun before it came.
    seen: u64,
}

/// Events on their way to the members of a room.
struct Pass {
    number: u64,
    room: Key,
    frames: Vec<Frame>,
    encoded: Encoded,
    /// The members before this place have it.
    cursor: usize,
    /// Somebody has it: nothing can be added any more.
    is_begun: bool,
}

impl Rooms {
    /// Puts a socket into a room, or with none into its namespace, once.
    pub(crate) fn join(&self, room: Key, socket: SocketKey, connection: &Rc<Connection>) {
        let mut state = self.state.borrow_mut();
        let member = Member {
            connection: Rc::clone(connection),
            namespace: room.0,
            seen: state.last,
        };
        let members = state.rooms.entry(room).or_default();
        members.entry(socket).or_insert(member);
    }

    /// Takes a socket out of a room.
    pub(crate) fn leave(&self, room: &Key, socket: SocketKey) {
        self.catch_up(socket);
        let state = &mut *self.state.borrow_mut();
        let Some(members) = state.rooms.get_mut(room) else {
            return;
        };
        let Some(index) = members.get_index_of(&socket) else {
            return;
        };
        // The last member takes the place that becomes free: a pass that is beyond it would miss it.
        let pass = state.passes.front_mut();
        if let Some(pass) = pass.filter(|pass| pass.room == *room && index < pass.cursor)
            && let Some((_, last)) = members.last_mut()
        {
            pass.serve(last);
        }
        members.swap_remove_index(index);
        if members.is_empty() {
            state.rooms.remove(room);
        }
    }

    /// Has some events sent to all of a room. True if there was nothing to do before.
    pub(crate) fn broadcast(&self, room: Key, frames: impl IntoIterator<Item = Frame>) -> bool {
        let state = &mut *self.state.borrow_mut();
        let open = state.passes.back_mut();
        if let Some(pass) = open.filter(|pass| pass.room == room && !pass.is_begun) {
            pass.frames.extend(frames);
            return false;
        }
        state.last += 1;
        state.passes.push_back(Pass {
            number: state.last,
            room,
            frames: frames.into_iter().collect(),
            encoded: Encoded::default(),
            cursor: 0,
            is_begun: false,
        });
        !self.is_pending.replace(true)
    }

    /// Sees to it that a socket has everything that was broadcast to it so far.
    pub(crate) fn catch_up(&self, socket: SocketKey) {
        if !self.is_pending.get() {
            return;
        }
        let state = &mut *self.state.borrow_mut();
        for pass in &mut state.passes {
            let members = state.rooms.get_mut(&pass.room);
            if let Some(member) = members.and_then(|members| members.get_mut(&socket)) {
                pass.serve(member);
            }
        }
    }

    /// Serves so many members. The bytes that are off the worker's hands by that; none if nothing is pending.
    pub(crate) fn serve(&self, members_max: usize) -> Option<usize> {
        if !self.is_pending.get() {
            return None;
        }
        let state = &mut *self.state.borrow_mut();
        let Some(pass) = state.passes.front_mut() else {
            self.is_pending.set(false);
            return None;
        };
        let members = state.rooms.get_mut(&pass.room);
        let end = pass.cursor + members_max;
        let mut is_over = true;
        if let Some(members) = members {
            let range = pass.cursor..end.min(members.len());
            is_over = range.end == members.len();
            pass.cursor = range.end;
            let members = members.get_range_mut(range);
            members
                .into_iter()
                .flat_map(indexmap::map::Slice::values_mut)
                .for_each(|member| pass.serve(member));
        }
        if !is_over {
            return Some(0);
        }
        let bytes = pass.frames.iter().map(|frame| frame.json().len()).sum();
        state.passes.pop_front();
        Some(bytes)
    }

    /// Forgets everything that is pending.
    pub(crate) fn clear(&self) {
        self.state.borrow_mut().passes.clear();
        self.is_pending.set(false);
    }
}

impl Pass {
    fn serve(&mut self, member: &mut Member) {
        if member.seen >= self.number {
            return;
        }
        member.seen = self.number;
        self.is_begun = true;
        for bytes in self.encoded.of(&self.frames, member) {
            member.connection.send(bytes);
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
    fn of(&mut self, frames: &[Frame], member: &Member) -> &[Bytes] {
        let connection = &member.connection;
        let protocol = connection.protocol();
        let known = match protocol {
            Protocol::V4 => &mut self.v4,
            Protocol::V3 => &mut self.v3,
        };
        known.get_or_insert_with(|| {
            let namespace = connection.namespace(member.namespace);
            let bytes = frames.iter().map(|frame| frame.bytes(namespace, protocol));
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
