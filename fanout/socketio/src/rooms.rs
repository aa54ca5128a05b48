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
    /// Of the frames, those that a mailbox counts until they have gone out.
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
    pub(crate) fn broadcast(&self, room: Key, frames: Vec<Frame>, origin: Origin) -> bool {
        let state = &mut *self.state.borrow_mut();
        let bytes = frames.iter().map(|frame| frame.json().len()).sum();
        state.pending_bytes += bytes;
        let ordered_bytes = match origin {
            Origin::Mailbox => bytes,
            Origin::Worker => 0,
        };
        let open = state.passes.back_mut();
        if let Some(pass) = open.filter(|pass| pass.room == room && !pass.is_closed) {
            pass.frames.extend(frames);
            pass.ordered_bytes += ordered_bytes;
            return false;
        }
        state.last += 1;
        state.passes.push_back(Pass {
            number: state.last,
            room,
            frames,
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
        let bytes: usize = pass.frames.iter().map(|frame| frame.json().len()).sum();
        let ordered_bytes = pass.ordered_bytes;
        state.pending_bytes -= bytes;
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
        for bytes in self.encoded.of(&self.frames, member) {
            member.recipient.send(bytes);
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
    fn of<R: Recipient>(&mut self, frames: &[Frame], member: &Member<R>) -> &[Bytes] {
        let recipient = &member.recipient;
        let protocol = recipient.protocol();
        let known = match protocol {
            Protocol::V4 => &mut self.v4,
            Protocol::V3 => &mut self.v3,
        };
        known.get_or_insert_with(|| {
            let namespace = recipient.namespace(member.namespace);
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
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A socket that remembers what was sent to it.
    #[derive(Clone, Default)]
    struct Reader {
        is_v3: bool,
        sent: Rc<RefCell<String>>,
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
            let text = String::from_utf8_lossy(bytes);
            self.sent.borrow_mut().push_str(&text);
        }
    }

    impl Reader {
        /// The numbers that it got, in order.
        fn numbers(&self) -> Vec<u32> {
            let sent = self.sent.borrow();
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
            for (number, step) in (0_u32..).zip(steps) {
                let frame = Frame::event_json("e", &format!("<{number}>")).expect("it is text");
                match step {
                    Step::Join(socket, room) => {
                        let (socket_key, reader) = &sockets[socket];
                        rooms.join(key(room), *socket_key, reader);
                        joined[socket][room] = true;
                    }
                    Step::Leave(socket, room) => {
                        rooms.leave(&key(room), sockets[socket].0);
                        joined[socket][room] = false;
                    }
                    Step::Broadcast(room) => {
                        rooms.broadcast(key(room), vec![frame], Origin::Worker);
                        let members = expected.iter_mut().zip(&joined);
                        members.filter(|(_, joined)| joined[room]).for_each(|(expected, _)| expected.push(number));
                    }
                    Step::Tell(socket) => {
                        let (socket_key, reader) = &sockets[socket];
                        rooms.catch_up(*socket_key);
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
    fn small_events_are_joined_and_large_ones_are_not_copied() {
        let part = Bytes::from(vec![1; 10]);
        assert_eq!(joined(vec![part.clone(), part.clone()]), [vec![1; 20]]);
        let large = Bytes::from(vec![2; JOINED_BYTES_MAX]);
        let kept = joined(vec![part, large.clone()]);
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[1].as_ptr(), large.as_ptr());
    }
}
