//! Who may be published next: at most one publication a subject is under way, guild before channel.
//!
//! A channel's event waits until all earlier events of its guild's directory are settled, so that nobody
//! gets a message that was posted after the permission to see it was taken away. Pure: no I/O, no clock.

use std::collections::{HashMap, HashSet, VecDeque};

use proto::{Envelope, GuildId, Subject};

/// An envelope that waits for its turn, with what its owner wants back (`T`).
#[derive(Debug)]
pub(super) struct Turn<T> {
    pub(super) subject: Subject,
    pub(super) envelope: Envelope,
    pub(super) owner: T,
    /// The subject's last sequence, as far as it is known.
    pub(super) known: Option<u64>,
}

/// The lanes of all subjects.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    subjects: HashMap<Subject, Lane<T>>,
    guilds: HashMap<GuildId, GuildOrder>,
    ready: VecDeque<Subject>,
    waiting: usize,
}

#[derive(Debug)]
struct Lane<T> {
    guild: GuildId,
    queue: VecDeque<Queued<T>>,
    state: State,
    known: Option<u64>,
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
    /// Nothing waits, or it waits for its guild.
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
            waiting: 0,
        }
    }
}

impl<T> Lanes<T> {
    /// Puts an envelope at the end of its subject's lane.
    pub(super) fn push(&mut self, envelope: Envelope, owner: T) {
        let (subject, guild) = (envelope.subject(), envelope.guild);
        let order = self.guilds.entry(guild).or_default();
        // A directory's own events are in order by their lane.
        let after = match subject {
            Subject::Guild(_) => {
                order.queued += 1;
                0
            }
            Subject::Channel(_) => order.queued,
        };
        let lane = self.subjects.entry(subject).or_insert_with(|| Lane {
            guild,
            queue: VecDeque::new(),
            state: State::Idle,
            known: None,
        });
        lane.queue.push_back(Queued {
            envelope,
            owner,
            after,
        });
        self.waiting += 1;
        self.offer(subject);
    }

    /// The next that may go; its lane is busy until [`Self::settle`].
    pub(super) fn take(&mut self) -> Option<Turn<T>> {
        let subject = self.ready.pop_front()?;
        let lane = self.subjects.get_mut(&subject)?;
        let Queued {
            envelope, owner, ..
        } = lane.queue.pop_front()?;
        lane.state = State::Busy;
        self.waiting -= 1;
        Some(Turn {
            subject,
            envelope,
            owner,
            known: lane.known,
        })
    }

    /// The publication that was under way has come to its end; `known` is the subject's last sequence.
    pub(super) fn settle(&mut self, subject: Subject, known: Option<u64>) {
        if let Some(lane) = self.subjects.get_mut(&subject) {
            lane.state = State::Idle;
            lane.known = lane.known.max(known);
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

    /// How many wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Puts a lane into the row if its first envelope may go.
    fn offer(&mut self, subject: Subject) {
        let Some(lane) = self.subjects.get_mut(&subject) else {
            return;
        };
        let (State::Idle, Some(first)) = (lane.state, lane.queue.front()) else {
            return;
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
