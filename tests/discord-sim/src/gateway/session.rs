//! Gateway sessions: one sequence each, and the newest dispatches for a RESUME.
//! A session's buffer is also its connection's queue: the connection reads on from where it is, so a slow reader costs
//! no more than the buffer, and one that falls out of it has lost the session's continuity and is told so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::event::{Event, Intents};
use crate::snowflake::Snowflake;

/// How long a session outlives its connection. Discord says "a few minutes" and gives no number.
const DETACHED_MAX: Duration = Duration::from_mins(5);
/// How much a session holds for a RESUME. When it is full the oldest dispatch goes, and a RESUME from before it is refused.
const HELD_BYTES_MAX: usize = 64 << 20;
const HELD_MAX: usize = 100_000;
/// How many sessions there may be; a further IDENTIFY ends the one that has been without a connection for longest.
const SESSIONS_MAX: usize = 64;
/// How many dispatches a connection takes at a time, so that its heartbeats are answered in between.
const BATCH: usize = 64;

/// A dispatch with its place in one session.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    seq: u64,
    name: &'static str,
    body: Arc<str>,
}

impl Dispatch {
    /// The frame as Discord writes it: compact, keys in the order t, s, op, d.
    pub(crate) fn to_frame(&self) -> String {
        let Self { seq, name, body } = self;
        format!(r#"{{"t":"{name}","s":{seq},"op":0,"d":{body}}}"#)
    }
}

/// What a client asks for in IDENTIFY.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) intents: Intents,
    pub(crate) shard: u64,
    pub(crate) shards: u64,
}

impl Subscription {
    /// Whether a guild is one of its shard's: of others it hears nothing, asked or not.
    pub(crate) fn has(self, guild_id: Snowflake) -> bool {
        guild_id.shard(self.shards) == self.shard
    }
}

#[derive(Debug)]
struct Session {
    subscription: Subscription,
    seq: u64,
    held: VecDeque<Dispatch>,
    held_bytes: usize,
    /// The highest sequence that has fallen out of `held`.
    forgotten: u64,
    wake: Arc<Notify>,
    connection: Option<u64>,
    detached_at: Instant,
}

/// All sessions, by id.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    sessions: HashMap<String, Session>,
    dispatched: u64,
}

/// A connection's hold on a session: which one, read up to where, and what wakes it.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) session_id: String,
    pub(crate) cursor: u64,
    pub(crate) wake: Arc<Notify>,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Dispatches given a place in a session, over all sessions, since the start.
    pub(crate) fn dispatched(&self) -> u64 {
        self.dispatched
    }

    /// Opens a session for a connection.
    pub(crate) fn open(&mut self, subscription: Subscription, connection: u64) -> Hold {
        self.make_room();
        let session_id = format!("{:032x}", rand::random::<u128>());
        let wake = Arc::new(Notify::new());
        let session = Session {
            subscription,
            seq: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            forgotten: 0,
            wake: Arc::clone(&wake),
            connection: Some(connection),
            detached_at: Instant::now(),
        };
        self.sessions.insert(session_id.clone(), session);
        Hold {
            session_id,
            cursor: 0,
            wake,
        }
    }

    /// Gives a session to a new connection, which reads on after `seq`. `None`: it can't be resumed whole.
    pub(crate) fn resume(&mut self, session_id: &str, seq: u64, connection: u64) -> Option<Hold> {
        self.expire();
        let session = self.sessions.get_mut(session_id)?;
        if seq < session.forgotten || seq > session.seq {
            return None;
        }
        // Whoever held it before finds out at its next look.
        session.wake.notify_one();
        session.wake = Arc::new(Notify::new());
        session.connection = Some(connection);
        session.held.retain(|dispatch| dispatch.name != "RESUMED");
        session.push("RESUMED", json!({ "_trace": [] }).to_string().into());
        self.dispatched += 1;
        let wake = Arc::clone(&session.wake);
        Some(Hold {
            session_id: session_id.to_owned(),
            cursor: seq,
            wake,
        })
    }

    /// Appends an event to every session that may hear of it.
    pub(crate) fn dispatch(&mut self, event: &Event, bot_id: Snowflake) {
        self.expire();
        let mut whole: Option<Arc<str>> = None;
        let mut bare: Option<Arc<str>> = None;
        for session in self
            .sessions
            .values_mut()
            .filter(|session| session.hears(event))
        {
            let has_content = session
                .subscription
                .intents
                .contains(Intents::MESSAGE_CONTENT);
            let body = if has_content {
                whole.get_or_insert_with(|| event.body.to_string().into())
            } else {
                let stripped = || event.without_content(bot_id);
                bare.get_or_insert_with(|| {
                    stripped()
                        .as_ref()
                        .unwrap_or(&event.body)
                        .to_string()
                        .into()
                })
            };
            session.push(event.name, Arc::clone(body));
            self.dispatched += 1;
        }
    }

    /// Appends a dispatch to one session alone.
    pub(crate) fn push(&mut self, session_id: &str, name: &'static str, body: &Value) {
        if let Some(session) = self.sessions.get_mut(session_id) {
            session.push(name, body.to_string().into());
            self.dispatched += 1;
        }
    }

    /// What the session asked for.
    pub(crate) fn subscription(&self, session_id: &str) -> Option<Subscription> {
        self.sessions
            .get(session_id)
            .map(|session| session.subscription)
    }

    /// The next dispatches for a connection. `None`: the session is gone, is another's, or has forgotten what comes next.
    pub(crate) fn take(&self, hold: &Hold, connection: u64) -> Option<Vec<Dispatch>> {
        let session = self.sessions.get(&hold.session_id)?;
        if session.connection != Some(connection) || hold.cursor < session.forgotten {
            return None;
        }
        let start = session
            .held
            .partition_point(|dispatch| dispatch.seq <= hold.cursor);
        Some(
            session
                .held
                .iter()
                .skip(start)
                .take(BATCH)
                .cloned()
                .collect(),
        )
    }

    /// The connection is gone, the session stays for a while.
    pub(crate) fn detach(&mut self, session_id: &str, connection: u64) {
        let session = self.sessions.get_mut(session_id);
        if let Some(session) = session.filter(|session| session.connection == Some(connection)) {
            session.connection = None;
            session.detached_at = Instant::now();
        }
    }

    /// Ends a session, if it is still this connection's.
    pub(crate) fn end(&mut self, session_id: &str, connection: u64) {
        let session = self.sessions.get(session_id);
        if session.is_some_and(|session| session.connection == Some(connection)) {
            self.sessions.remove(session_id);
        }
    }

    fn expire(&mut self) {
        self.sessions.retain(|_, session| {
            session.connection.is_some() || session.detached_at.elapsed() < DETACHED_MAX
        });
    }

    fn make_room(&mut self) {
        self.expire();
        while self.sessions.len() >= SESSIONS_MAX {
            let oldest = self
                .sessions
                .iter()
                .min_by_key(|(_, session)| (session.connection.is_some(), session.detached_at));
            let Some(id) = oldest.map(|(id, _)| id.clone()) else {
                return;
            };
            if let Some(ended) = self.sessions.remove(&id) {
                ended.wake.notify_one();
            }
        }
    }
}

impl Session {
    fn hears(&self, event: &Event) -> bool {
        let subscription = self.subscription;
        subscription.intents.contains(event.intents) && subscription.has(event.guild_id)
    }

    fn push(&mut self, name: &'static str, body: Arc<str>) {
        self.seq += 1;
        self.held_bytes += body.len();
        self.held.push_back(Dispatch {
            seq: self.seq,
            name,
            body,
        });
        while self.held.len() > HELD_MAX || self.held_bytes > HELD_BYTES_MAX {
            let Some(oldest) = self.held.pop_front() else {
                break;
            };
            self.held_bytes -= oldest.body.len();
            self.forgotten = oldest.seq;
        }
        self.wake.notify_one();
    }
}

impl Hold {
    /// Notes that a dispatch has been sent.
    pub(crate) fn advance(&mut self, sent: &Dispatch) {
        self.cursor = sent.seq;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Subscription = Subscription {
        intents: Intents(u64::MAX),
        shard: 0,
        shards: 1,
    };

    fn event(name: &'static str, intents: Intents) -> Event {
        Event {
            name,
            guild_id: Snowflake::at(0, 1),
            intents,
            body: json!({ "content": "x" }),
        }
    }

    fn names(sessions: &Sessions, hold: &Hold) -> Vec<&'static str> {
        let taken = sessions.take(hold, 7).unwrap();
        taken.iter().map(|dispatch| dispatch.name).collect()
    }

    #[test]
    fn a_resume_replays_what_came_after_the_sequence_and_then_says_so() {
        let mut sessions = Sessions::default();
        let hold = sessions.open(ALL, 1);
        for name in ["A", "B", "C"] {
            sessions.dispatch(&event(name, Intents::NONE), Snowflake::at(0, 9));
        }
        sessions.detach(&hold.session_id, 1);
        sessions.dispatch(&event("D", Intents::NONE), Snowflake::at(0, 9));
        let resumed = sessions.resume(&hold.session_id, 2, 7).unwrap();
        assert_eq!(names(&sessions, &resumed), ["C", "D", "RESUMED"]);
        assert!(sessions.take(&hold, 1).is_none());
    }

    #[test]
    fn a_sequence_from_the_future_or_of_no_session_is_refused() {
        let mut sessions = Sessions::default();
        let hold = sessions.open(ALL, 1);
        assert!(sessions.resume(&hold.session_id, 1, 7).is_none());
        assert!(sessions.resume("nobody", 0, 7).is_none());
    }

    #[test]
    fn a_session_hears_only_what_its_intents_and_its_shard_allow() {
        let mut sessions = Sessions::default();
        let guilds_only = Subscription {
            intents: Intents::GUILDS,
            shard: 0,
            shards: 1,
        };
        let hold = sessions.open(guilds_only, 7);
        sessions.dispatch(
            &event("GUILD_MEMBER_UPDATE", Intents::MEMBERS),
            Snowflake::at(0, 9),
        );
        sessions.dispatch(
            &event("CHANNEL_UPDATE", Intents::GUILDS),
            Snowflake::at(0, 9),
        );
        assert_eq!(names(&sessions, &hold), ["CHANNEL_UPDATE"]);
        let other_shard = Subscription {
            intents: Intents(u64::MAX),
            shard: 1,
            shards: 2,
        };
        let other = sessions.open(other_shard, 7);
        sessions.dispatch(
            &event("CHANNEL_UPDATE", Intents::GUILDS),
            Snowflake::at(0, 9),
        );
        assert!(names(&sessions, &other).is_empty());
    }

    #[test]
    fn what_falls_out_of_the_buffer_can_not_be_resumed() {
        let mut sessions = Sessions::default();
        let hold = sessions.open(ALL, 7);
        for _ in 0..=HELD_MAX {
            sessions.push(&hold.session_id, "A", &json!({}));
        }
        assert!(sessions.take(&hold, 7).is_none());
        assert!(sessions.resume(&hold.session_id, 0, 8).is_none());
        assert!(sessions.resume(&hold.session_id, 1, 8).is_some());
    }

    #[test]
    fn the_number_of_sessions_is_bounded_and_the_detached_go_first() {
        let mut sessions = Sessions::default();
        let idle = sessions.open(ALL, 1);
        let busy = sessions.open(ALL, 7);
        sessions.detach(&idle.session_id, 1);
        for connection in 0..SESSIONS_MAX as u64 - 1 {
            sessions.open(ALL, 100 + connection);
        }
        assert_eq!(sessions.len(), SESSIONS_MAX);
        assert!(sessions.take(&busy, 7).is_some());
        assert!(sessions.resume(&idle.session_id, 0, 9).is_none());
    }
}
