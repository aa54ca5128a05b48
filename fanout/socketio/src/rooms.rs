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

use bytes::Bytes;
use indexmap::IndexMap;

use crate::{connection::Connection, engine::Protocol, frame::Frame, socket::SocketKey};

/// Events that are sent together are joined up to this size: one buffer for all members is cheaper than a vector of
/// frames for each, and copying costs nothing beside sending. A larger event goes alone.
const PASS_BYTES_MAX: usize = 64 * 1024;

/// A room of a namespace, or all of it.
type Key = (usize, Option<Rc<str>>);

/// Where a broadcast comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From any thread, by the worker's mailbox.
    Mailbox,
    /// From the worker itself.
    Worker,
}

/// What a member's bytes go to: its connection, or in tests what stands for one.
pub(crate) trait Recipient: Clone {
    fn protocol(&self) -> Protocol;
    fn namespace(&self, place: usize) -> &str;
    /// Sends bytes behind everything that was sent to it before. It must not reach the rooms again.
    fn send(&self, bytes: &Bytes);
}

impl Recipient for Rc<Connection> {
    fn protocol(&self) -> Protocol {
        (**self).protocol()
    }

    fn namespace(&self, place: usize) -> &str {
        (**self).namespace(place)
    }

    fn send(&self, bytes: &Bytes) {
        Connection::send(self, bytes);
    }
}

/// All sockets of a worker.
pub(crate) struct Rooms<R = Rc<Connection>> {
    state: RefCell<State<R>>,
    /// Whether a pass is pending: what everybody who sends looks at first.
    is_pending: Cell<bool>,
}

struct State<R> {
    rooms: HashMap<Key, Members<R>>,
    passes: VecDeque<Pass>,
    /// The bytes of all frames that are pending.
    pending_bytes: usize,
    /// The number of the last pass.
    last: u64,
}

type Members<R> = IndexMap<SocketKey, Member<R>>;

struct Member<R> {
    recipient: R,
    namespace: usize,
    /// The last pass that it has, or that was begun before it came.
    seen: u64,
}

/// Events on their way to the members of a room.
struct Pass {
    number: u64,
    room: Key,
    frames: Vec<Frame>,
    /// Their size.
    bytes: usize,
    /// Of that, what a mailbox counts until it has gone out.
    ordered_bytes: usize,
    encoded: Encoded,
    /// The members before this place have it.
    cursor: usize,
    /// Somebody has it, or came after it: nothing can be added any more.
    is_closed: bool,
}

impl<R> Default for Rooms<R> {
    fn default() -> Self {
        Self {
            state: RefCell::new(State {
                rooms: HashMap::new(),
                passes: VecDeque::new(),
                pending_bytes: 0,
                last: 0,
            }),
            is_pending: Cell::new(false),
        }
    }
}

impl<R: Recipient> Rooms<R> {
    /// Puts a socket into a room, or with none into its namespace, once.
    pub(crate) fn join(&self, room: Key, socket: SocketKey, recipient: &R) {
        let state = &mut *self.state.borrow_mut();
        // What is broadcast from here on is for the newcomer too, what is pending is not.
        if let Some(pass) = state.passes.back_mut() {
            pass.is_closed = true;
        }
        let member = Member {
            recipient: recipient.clone(),
            namespace: room.0,
            seen: state.last,
        };
        let members = state.rooms.entry(room).or_default();
        members.entry(socket).or_insert(member);
    }

    /// Takes a socket out of a room, after [`Rooms::catch_up`].
    pub(crate) fn leave(&self, room: &Key, socket: SocketKey) {
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

    /// Has an event sent to all of a room. True if there was nothing to do before.
    pub(crate) fn broadcast(&self, room: Key, frame: Frame, origin: Origin) -> bool {
        let state = &mut *self.state.borrow_mut();
        let bytes = frame.size();
        let ordered_bytes = match origin {
            Origin::Mailbox => bytes,
            Origin::Worker => 0,
        };
        state.pending_bytes += bytes;
        let open = state.passes.back_mut().filter(|pass| {
            pass.room == room && !pass.is_closed && pass.bytes + bytes <= PASS_BYTES_MAX
        });
        if let Some(pass) = open {
            pass.frames.push(frame);
            pass.bytes += bytes;
            pass.ordered_bytes += ordered_bytes;
            return false;
        }
        state.last += 1;
        state.passes.push_back(Pass {
            number: state.last,
            room,
            frames: vec![frame],
            bytes,
            ordered_bytes,
            encoded: Encoded::default(),
            cursor: 0,
            is_closed: false,
        });
        !self.is_pending.replace(true)
    }

    /// The bytes of all events that are pending, each counted once.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.state.borrow().pending_bytes
    }

    /// Sees to it that a socket has everything that was broadcast to it so far. `seen` is the last pass that it was
    /// served by this, so that none is looked at twice, however often something is sent to it.
    pub(crate) fn catch_up(&self, socket: SocketKey, seen: &Cell<u64>) {
        if !self.is_pending.get() {
            return;
        }
        let state = &mut *self.state.borrow_mut();
        let seen = seen.replace(state.last);
        let first = state.passes.partition_point(|pass| pass.number <= seen);
        for pass in state.passes.range_mut(first..) {
            let members = state.rooms.get_mut(&pass.room);
            if let Some(member) = members.and_then(|members| members.get_mut(&socket)) {
                pass.serve(member);
            }
        }
    }

    /// Serves so many members. The bytes of a mailbox that have gone out by that; none if nothing is pending.
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
        let end = pass.cursor.saturating_add(members_max);
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
        let ordered_bytes = pass.ordered_bytes;
        state.pending_bytes -= pass.bytes;
        state.passes.pop_front();
        Some(ordered_bytes)
    }

    /// Forgets everything that is pending.
    pub(crate) fn clear(&self) {
        let state = &mut *self.state.borrow_mut();
        state.passes.clear();
        state.pending_bytes = 0;
        self.is_pending.set(false);
    }
}

impl Pass {
    fn serve<R: Recipient>(&mut self, member: &mut Member<R>) {
        if member.seen >= self.number {
            return;
        }
        member.seen = self.number;
        self.is_closed = true;
        let bytes = self.encoded.of(&self.frames, member);
        member.recipient.send(bytes);
    }
}

/// The bytes of some events for each revision of the protocol.
#[derive(Default)]
struct Encoded {
    v4: Option<Bytes>,
    v3: Option<Bytes>,
}

impl Encoded {
    fn of<R: Recipient>(&mut self, frames: &[Frame], member: &Member<R>) -> &Bytes {
        let recipient = &member.recipient;
        let protocol = recipient.protocol();
        let known = match protocol {
            Protocol::V4 => &mut self.v4,
            Protocol::V3 => &mut self.v3,
        };
        known.get_or_insert_with(|| {
            let namespace = recipient.namespace(member.namespace);
            match frames {
                [only] => only.bytes(namespace, protocol),
                all => {
                    let all = all.iter().map(|frame| frame.bytes(namespace, protocol));
                    all.collect::<Vec<_>>().concat().into()
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A socket that remembers what was sent to it.
    #[derive(Clone, Default)]
    struct Reader {
        is_v3: bool,
        parts: Rc<RefCell<Vec<Bytes>>>,
    }

    impl Recipient for Reader {
        fn protocol(&self) -> Protocol {
            if self.is_v3 {
                Protocol::V3
            } else {
                Protocol::V4
            }
        }

        fn namespace(&self, _place: usize) -> &'static str {
            "/"
        }

        fn send(&self, bytes: &Bytes) {
            self.parts.borrow_mut().push(bytes.clone());
        }
    }

    impl Reader {
        /// The numbers that it got, in order.
        fn numbers(&self) -> Vec<u32> {
            let sent = self.parts.borrow().concat();
            let sent = String::from_utf8_lossy(&sent);
            let numbers = sent.split('<').skip(1);
            let numbers = numbers.filter_map(|rest| rest.split_once('>'));
            numbers
                .filter_map(|(number, _)| number.parse().ok())
                .collect()
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Join(usize, usize),
        Leave(usize, usize),
        Broadcast(usize),
        /// To one socket alone.
        Tell(usize),
        /// So many members are served.
        Serve(usize),
    }

    const SOCKETS: usize = 7;
    const ROOMS: usize = 3;

    fn step() -> impl Strategy<Value = Step> {
        let member = || (0..SOCKETS, 0..ROOMS);
        prop_oneof![
            3 => member().prop_map(|(socket, room)| Step::Join(socket, room)),
            2 => member().prop_map(|(socket, room)| Step::Leave(socket, room)),
            4 => (0..ROOMS).prop_map(Step::Broadcast),
            2 => (0..SOCKETS).prop_map(Step::Tell),
            4 => (1..4_usize).prop_map(Step::Serve),
        ]
    }

    fn key(room: usize) -> Key {
        (0, Some(room.to_string().into()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn everybody_gets_what_was_sent_while_they_were_there_in_its_order(
            steps in vec(step(), 1..80),
        ) {
            let rooms = Rooms::<Reader>::default();
            let sockets: Vec<_> = (0..SOCKETS).map(|n| {
                let reader = Reader { is_v3: n % 3 == 0, ..Reader::default() };
                (SocketKey::next(), reader)
            }).collect();
            // What each is in, and what each is to have got.
            let mut joined = vec![[false; ROOMS]; SOCKETS];
            let mut expected = vec![Vec::new(); SOCKETS];
            let seen: Vec<Cell<u64>> = vec![Cell::new(0); SOCKETS];
            for (number, step) in (0_u32..).zip(steps) {
                let frame = Frame::event_json("e", &format!("<{number}>")).expect("it is text");
                match step {
                    Step::Join(socket, room) => {
                        let (socket_key, reader) = &sockets[socket];
                        rooms.join(key(room), *socket_key, reader);
                        joined[socket][room] = true;
                    }
                    Step::Leave(socket, room) => {
                        let (socket_key, _) = &sockets[socket];
                        rooms.catch_up(*socket_key, &seen[socket]);
                        rooms.leave(&key(room), *socket_key);
                        joined[socket][room] = false;
                    }
                    Step::Broadcast(room) => {
                        rooms.broadcast(key(room), frame, Origin::Worker);
                        let members = expected.iter_mut().zip(&joined);
                        members.filter(|(_, joined)| joined[room]).for_each(|(expected, _)| expected.push(number));
                    }
                    Step::Tell(socket) => {
                        let (socket_key, reader) = &sockets[socket];
                        rooms.catch_up(*socket_key, &seen[socket]);
                        reader.send(&frame.bytes("/", reader.protocol()));
                        expected[socket].push(number);
                    }
                    Step::Serve(members) => {
                        rooms.serve(members);
                    }
                }
            }
            while rooms.serve(SOCKETS).is_some() {}
            prop_assert_eq!(rooms.pending_bytes(), 0);
            let got: Vec<_> = sockets.iter().map(|(_, reader)| reader.numbers()).collect();
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn small_events_are_joined_up_to_a_bound_and_a_large_one_is_not_copied() {
        let rooms = Rooms::<Reader>::default();
        let reader = Reader::default();
        rooms.join(key(0), SocketKey::next(), &reader);
        let text = |length| Frame::event_json("e", &"x".repeat(length)).expect("it is text");
        let lengths = [100, 100, 40_000, 40_000, 200_000, 100];
        for length in lengths {
            rooms.broadcast(key(0), text(length), Origin::Worker);
        }
        while rooms.serve(1).is_some() {}
        let parts = reader.parts.borrow();
        let sizes = parts.iter().map(|bytes| bytes.len() / 10_000);
        assert_eq!(sizes.collect::<Vec<_>>(), [4, 4, 20, 0]);
    }
}
