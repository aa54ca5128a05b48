//! Who may be published next: at most one publication a subject is under way, guild before channel.
//!
//! A channel's event waits until all earlier events of its guild's directory are settled, so that nobody
//! gets a message that was posted after the permission to see it was taken away. A hold stops a lane where it
//! stands, until it is released: what is put in under it comes before all that came later. Pure: no I/O, no clock.

use std::collections::{HashMap, HashSet, VecDeque};

use proto::{Envelope, GuildId, Subject};

/// Lanes that are kept though nothing is in them: threads come without end. What they knew is asked of the stream again.
const LANES_MAX: usize = 16_384;

/// Places of an empty lane that are kept; what a burst needed beyond that is given back.
const QUEUE_KEPT: usize = 16;

/// An envelope that waits for its turn, with what its owner wants back (`T`).
#[derive(Debug)]
pub(super) struct Turn<T> {
    pub(super) subject: Subject,
    pub(super) envelope: Envelope,
    pub(super) owner: T,
    /// The subject's last sequence, as far as it is known.
    pub(super) known: Option<u64>,
}

/// A place in a lane that nothing passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Hold {
    subject: Subject,
    number: u64,
}

/// The lanes of all subjects.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    subjects: HashMap<Subject, Lane<T>>,
    guilds: HashMap<GuildId, GuildOrder>,
    ready: VecDeque<Subject>,
    /// Holds before which nothing is left.
    reached: Vec<Hold>,
    /// Holds that were made, and those that stand.
    made: u64,
    standing: usize,
    /// Envelopes that no hold stops.
    waiting: usize,
}

#[derive(Debug)]
struct Lane<T> {
    guild: GuildId,
    queue: VecDeque<Item<T>>,
    state: State,
    known: Option<u64>,
    /// How many of the queue stand before its first hold.
    free: usize,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are envelopes, which would each cost an allocation"
)]
enum Item<T> {
    Envelope(Queued<T>),
    /// A hold of this number.
    Hold(u64),
}

#[derive(Debug)]
struct Queued<T> {
    envelope: Envelope,
    owner: T,
    /// How many events of its guild's directory must be settled before.
    after: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing waits, or it waits for its guild, or a hold stops it.
    Idle,
    /// It is in the row of those who may go.
    Ready,
    /// Its publication is under way.
    Busy,
}

/// How far the directory of a guild is, and which channels wait for it.
#[derive(Debug, Default)]
struct GuildOrder {
    queued: u64,
    settled: u64,
    blocked: HashSet<Subject>,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            subjects: HashMap::new(),
            guilds: HashMap::new(),
            ready: VecDeque::new(),
            reached: Vec::new(),
            made: 0,
            standing: 0,
            waiting: 0,
        }
    }
}

impl<T> Lane<T> {
    fn new(guild: GuildId) -> Self {
        Self {
            guild,
            queue: VecDeque::new(),
            state: State::Idle,
            known: None,
            free: 0,
        }
    }

    fn place_of(&self, number: u64) -> Option<usize> {
        let is_it = |item: &Item<T>| matches!(item, Item::Hold(other) if *other == number);
        self.queue.iter().position(is_it)
    }

    /// How many envelopes stand before the first hold.
    fn count_free(&self) -> usize {
        let is_free = |item: &&Item<T>| matches!(item, Item::Envelope(_));
        self.queue.iter().take_while(is_free).count()
    }
}

impl<T> Lanes<T> {
    /// Puts an envelope at the end of its subject's lane.
    pub(super) fn push(&mut self, envelope: Envelope, owner: T) {
        let (subject, guild) = (envelope.subject(), envelope.guild);
        let queued = self.queued(envelope, owner);
        let lane = self.lane(subject, guild);
        lane.queue.push_back(Item::Envelope(queued));
        // A lane without a hold is free to its end.
        if lane.free + 1 == lane.queue.len() {
            lane.free += 1;
            self.waiting += 1;
        }
        self.offer(subject);
    }

    /// Stops a lane behind all that is in it now.
    pub(super) fn hold(&mut self, subject: Subject, guild: GuildId) -> Hold {
        self.made += 1;
        self.standing += 1;
        let number = self.made;
        self.lane(subject, guild)
            .queue
            .push_back(Item::Hold(number));
        self.offer(subject);
        Hold { subject, number }
    }

    /// Puts an envelope of the held subject before its hold; the owner comes back if the hold does not stand.
    pub(super) fn insert(&mut self, hold: Hold, envelope: Envelope, owner: T) -> Result<(), T> {
        let place = |lane: &Lane<T>| lane.place_of(hold.number);
        let Some(place) = self.subjects.get(&hold.subject).and_then(place) else {
            return Err(owner);
        };
        let queued = self.queued(envelope, owner);
        if let Some(lane) = self.subjects.get_mut(&hold.subject) {
            lane.queue.insert(place, Item::Envelope(queued));
            if place == lane.free {
                lane.free += 1;
                self.waiting += 1;
            }
        }
        self.offer(hold.subject);
        Ok(())
    }

    /// Lets the lane go on, up to its next hold.
    pub(super) fn release(&mut self, hold: Hold) {
        let Some(lane) = self.subjects.get_mut(&hold.subject) else {
            return;
        };
        let Some(place) = lane.place_of(hold.number) else {
            return;
        };
        lane.queue.remove(place);
        self.standing -= 1;
        let free = lane.count_free();
        self.waiting += free - lane.free;
        lane.free = free;
        self.offer(hold.subject);
    }

    /// The next that may go; its lane is busy until [`Self::settle`].
    pub(super) fn take(&mut self) -> Option<Turn<T>> {
        let subject = self.ready.pop_front()?;
        let lane = self.subjects.get_mut(&subject)?;
        let Some(Item::Envelope(queued)) = lane.queue.pop_front() else {
            return None;
        };
        lane.state = State::Busy;
        lane.free -= 1;
        self.waiting -= 1;
        Some(Turn {
            subject,
            envelope: queued.envelope,
            owner: queued.owner,
            known: lane.known,
        })
    }

    /// The next hold before which everything is settled; each comes once at least.
    pub(super) fn take_reached(&mut self) -> Option<Hold> {
        self.reached.pop()
    }

    /// The publication that was under way has come to its end; `known` is the subject's last sequence.
    pub(super) fn settle(&mut self, subject: Subject, known: Option<u64>) {
        if let Some(lane) = self.subjects.get_mut(&subject) {
            lane.state = State::Idle;
            lane.known = lane.known.max(known);
            if lane.queue.is_empty() && lane.queue.capacity() > QUEUE_KEPT {
                lane.queue = VecDeque::new();
            }
        }
        self.offer(subject);
        let Subject::Guild(guild) = subject else {
            return;
        };
        let Some(order) = self.guilds.get_mut(&guild) else {
            return;
        };
        order.settled += 1;
        for blocked in std::mem::take(&mut order.blocked) {
            self.offer(blocked);
        }
    }

    /// How many wait for their turn, without those that a hold stops.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether a hold stops any lane.
    pub(super) fn is_holding(&self) -> bool {
        self.standing > 0
    }

    fn queued(&mut self, envelope: Envelope, owner: T) -> Queued<T> {
        let order = self.guilds.entry(envelope.guild).or_default();
        // A directory's own events are in order by their lane.
        let after = match envelope.subject() {
            Subject::Guild(_) => {
                order.queued += 1;
                0
            }
            Subject::Channel(_) => order.queued,
        };
        Queued {
            envelope,
            owner,
            after,
        }
    }

    fn lane(&mut self, subject: Subject, guild: GuildId) -> &mut Lane<T> {
        if self.subjects.len() >= LANES_MAX && !self.subjects.contains_key(&subject) {
            let is_used = |lane: &Lane<T>| lane.state != State::Idle || !lane.queue.is_empty();
            self.subjects.retain(|_, lane| is_used(lane));
        }
        let lane = self.subjects.entry(subject);
        lane.or_insert_with(|| Lane::new(guild))
    }

    /// Puts a lane into the row if its first envelope may go.
    fn offer(&mut self, subject: Subject) {
        let Some(lane) = self.subjects.get_mut(&subject) else {
            return;
        };
        let (State::Idle, Some(first)) = (lane.state, lane.queue.front()) else {
            return;
        };
        let first = match first {
            Item::Envelope(first) => first,
            Item::Hold(number) => {
                let number = *number;
                return self.reached.push(Hold { subject, number });
            }
        };
        let order = self.guilds.entry(lane.guild).or_default();
        if first.after > order.settled {
            order.blocked.insert(subject);
            return;
        }
        lane.state = State::Ready;
        self.ready.push_back(subject);
    }
}

#[cfg(test)]
mod tests {
    use proto::event::{Event, GuildRemoved, MessageDeleted};
    use proto::{ChannelId, Identity, MessageId};

    use super::*;

    fn envelope(guild: u64, channel: Option<u64>, id: u64) -> Envelope {
        let event = match channel {
            Some(_) => Event::MessageDeleted(MessageDeleted { message_id: id }),
            None => Event::GuildRemoved(GuildRemoved {}),
        };
        Envelope {
            identity: Identity::Delete(MessageId::new(id).unwrap()),
            trace: None,
            guild: GuildId::new(guild).unwrap(),
            channel: channel.and_then(ChannelId::new),
            received_ms: 0,
            event,
        }
    }

    #[test]
    fn one_subject_has_one_under_way_and_subjects_do_not_wait_for_each_other() {
        let mut lanes = Lanes::default();
        for n in 1..=3 {
            lanes.push(envelope(1, Some(10), n), n);
            lanes.push(envelope(1, Some(11), n + 10), n + 10);
        }
        let (first, other) = (lanes.take().unwrap(), lanes.take().unwrap());
        assert_eq!((first.owner, other.owner), (1, 11));
        assert!(lanes.take().is_none());
        lanes.settle(first.subject, Some(5));
        let second = lanes.take().unwrap();
        assert_eq!((second.owner, second.known), (2, Some(5)));
        assert!(lanes.take().is_none());
        assert_eq!(lanes.waiting(), 3);
    }

    #[test]
    fn lanes_in_which_nothing_is_are_not_kept_without_end() {
        let mut lanes = Lanes::default();
        lanes.push(envelope(1, Some(1), 1), 0);
        let stuck = lanes.take().unwrap().subject;
        lanes.push(envelope(1, Some(1), 2), 0);
        for channel in 2..=2 * LANES_MAX as u64 {
            lanes.push(envelope(1, Some(channel), channel), 0);
            let turn = lanes.take().unwrap();
            lanes.settle(turn.subject, Some(channel));
        }
        assert!(
            lanes.subjects.len() <= LANES_MAX,
            "{}",
            lanes.subjects.len()
        );
        lanes.settle(stuck, Some(7));
        assert_eq!(lanes.take().unwrap().known, Some(7), "this one was used");
    }

    #[test]
    fn a_channel_waits_for_all_earlier_events_of_its_guild_and_for_no_later_ones() {
        let mut lanes = Lanes::default();
        lanes.push(envelope(1, None, 1), "a");
        lanes.push(envelope(1, None, 2), "b");
        lanes.push(envelope(1, Some(10), 3), "after both");
        lanes.push(envelope(2, Some(20), 4), "another guild");
        lanes.push(envelope(1, None, 5), "c");
        let a = lanes.take().unwrap();
        assert_eq!(a.owner, "a");
        assert_eq!(lanes.take().unwrap().owner, "another guild");
        assert!(lanes.take().is_none());
        lanes.settle(a.subject, Some(1));
        let b = lanes.take().unwrap();
        assert_eq!(b.owner, "b");
        assert!(lanes.take().is_none());
        lanes.settle(b.subject, Some(2));
        let mut owners = [lanes.take().unwrap().owner, lanes.take().unwrap().owner];
        owners.sort_unstable();
        assert_eq!(owners, ["after both", "c"]);
    }

    #[test]
    fn what_is_put_under_a_hold_comes_before_all_that_came_after_it() {
        let mut lanes = Lanes::default();
        let subject = Subject::Channel(ChannelId::new(10).unwrap());
        let guild = GuildId::new(1).unwrap();
        lanes.push(envelope(1, Some(10), 1), "before");
        let first = lanes.hold(subject, guild);
        lanes.push(envelope(1, Some(10), 2), "live");
        let second = lanes.hold(subject, guild);
        lanes.push(envelope(1, Some(10), 3), "live again");
        lanes.push(envelope(1, Some(11), 4), "elsewhere");
        assert_eq!(lanes.waiting(), 2);
        let before = lanes.take().unwrap();
        assert_eq!(lanes.take().unwrap().owner, "elsewhere");
        assert_eq!(lanes.take_reached(), None);
        lanes.settle(before.subject, Some(7));
        assert_eq!(lanes.take_reached(), Some(first));
        assert!(lanes.take().is_none());
        lanes
            .insert(first, envelope(1, Some(10), 5), "missed 1")
            .unwrap();
        lanes
            .insert(second, envelope(1, Some(10), 6), "later missed")
            .unwrap();
        lanes
            .insert(first, envelope(1, Some(10), 7), "missed 2")
            .unwrap();
        assert_eq!(lanes.waiting(), 2);
        lanes.release(first);
        assert_eq!(lanes.waiting(), 4);
        let mut order = Vec::new();
        while let Some(turn) = lanes.take() {
            order.push(turn.owner);
            lanes.settle(turn.subject, None);
        }
        assert_eq!(order, ["missed 1", "missed 2", "live", "later missed"]);
        assert_eq!(lanes.take_reached(), Some(second));
        assert!(lanes.is_holding());
        lanes.release(second);
        assert_eq!(lanes.take().unwrap().owner, "live again");
        let late = lanes.insert(second, envelope(1, Some(10), 8), "too late");
        assert_eq!(late, Err("too late"));
        assert!(lanes.take().is_none() && !lanes.is_holding());
        assert_eq!(lanes.waiting(), 0);
    }

    #[test]
    fn what_is_known_of_a_subject_never_goes_back() {
        let mut lanes = Lanes::default();
        lanes.push(envelope(1, Some(10), 1), ());
        let turn = lanes.take().unwrap();
        lanes.settle(turn.subject, Some(9));
        lanes.push(envelope(1, Some(10), 2), ());
        let turn = lanes.take().unwrap();
        lanes.settle(turn.subject, Some(4));
        lanes.push(envelope(1, Some(10), 3), ());
        assert_eq!(lanes.take().unwrap().known, Some(9));
    }
}
