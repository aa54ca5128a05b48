//! Joins that go on from an offset: what was missed, and from there the live events, without a gap or a double.
//!
//! The viewer enters the room at once, at the worker's position, and what happens from then on waits in a hold
//! until everything before that position is written. What can't be whole becomes an ordinary join.

use std::rc::Rc;
use std::time::Duration;

use proto::ChannelId;
use tokio::time::timeout;

use super::joining::{LOAD_TIME_MAX, joined, not_joined, unavailable};
use super::{Hub, State};
use crate::frames::Frames;
use crate::offset::Offset;
use crate::past::NotWhole;
use crate::replay::Replay;
use crate::room::Join;
use crate::session::ViewerKey;
use crate::transport::{Hold, Link, Reply};

/// How long a worker may be behind an offset that another instance gave, before it is unusable here.
const REACH_PATIENCE: Duration = Duration::from_secs(2);

/// How long a replay waits for a viewer whose queue is half full, and how often.
const LADEN_PAUSE: Duration = Duration::from_millis(50);
const LADEN_PAUSES_MAX: u32 = 80;

impl Hub {
    /// A join that goes on after an offset; none is an offset that can't be used.
    pub(super) fn resume(
        self: &Rc<Self>,
        key: ViewerKey,
        channel: ChannelId,
        limit: Option<u32>,
        after: Option<Offset>,
        reply: Reply,
    ) {
        match after {
            Some(_) => self.join_after(key, channel, limit, after, reply),
            None => self.join(key, channel, limit, reply.recovered(false)),
        }
    }

    /// The room is there: the viewer enters it, and what they missed is read.
    pub(super) fn admit_after(
        self: &Rc<Self>,
        state: &mut State,
        channel: ChannelId,
        after: Offset,
        join: Join,
    ) {
        let is_allowed = state
            .access(join.viewer, channel)
            .is_some_and(|(access, _)| access.can_read_history);
        if after.generation != state.position.generation || !is_allowed {
            return self.admit_afresh(state, channel, join);
        }
        if after.sequence > state.position.sequence {
            if let Some(viewer) = state.viewers.get_mut(&join.viewer) {
                viewer.joining.insert(channel);
            }
            actix_rt::spawn(
                self.clone()
                    .admit_when_reached(channel, after, join, state.epoch),
            );
            return;
        }
        let (Some(viewer), Some(room)) = (
            state.viewers.get_mut(&join.viewer),
            state.rooms.get_mut(&channel),
        ) else {
            return;
        };
        let is_quiet = room.is_quiet_since(after.sequence);
        viewer.joined.insert(channel);
        let hold = Hold::new(viewer.link.clone());
        let link = if is_quiet {
            viewer.link.clone()
        } else {
            Link::Held(hold.clone())
        };
        if room.enter(join.viewer, link, viewer.holder()) {
            self.instance.on_joined(channel, viewer.watcher());
        }
        if is_quiet {
            join.reply.recovered(true).done(&joined(channel, false));
            let (link, holder) = (viewer.link.clone(), viewer.holder());
            let nothing = Replay::default();
            let frames = self.replayed(state, &nothing, after, &[channel].into(), holder);
            return frames.iter().for_each(|frames| link.send(frames));
        }
        let missed = Missed {
            channel,
            after,
            until: state.position,
            hold,
            epoch: state.epoch,
        };
        actix_rt::spawn(self.clone().replay(missed, join));
    }

    /// As if no offset had been sent.
    fn admit_afresh(self: &Rc<Self>, state: &mut State, channel: ChannelId, join: Join) {
        let join = Join {
            after: None,
            reply: join.reply.recovered(false),
            ..join
        };
        self.admit(state, channel, join);
    }

    /// Another instance was further: this one comes there too. False if the offset is of no use: what a client says
    /// is believed as far as the stream goes, and the feed waits for no event that nobody has published.
    pub(super) async fn come_to(&self, after: Offset) -> bool {
        if after.sequence <= self.position().sequence {
            return true;
        }
        let reaching = async {
            let stream = self.library.broker.state().await.ok()?;
            if after.sequence > stream.last {
                return None;
            }
            self.reach(after.sequence).await
        };
        let reached = timeout(REACH_PATIENCE, reaching).await;
        matches!(reached, Ok(Some(_)))
    }

    /// The join goes on when this instance is as far as another one was.
    async fn admit_when_reached(
        self: Rc<Self>,
        channel: ChannelId,
        after: Offset,
        join: Join,
        epoch: u64,
    ) {
        let is_reached = self.come_to(after).await;
        let state = &mut *self.state.borrow_mut();
        let viewer = state.viewers.get_mut(&join.viewer);
        if !viewer.is_some_and(|viewer| viewer.joining.remove(&channel)) {
            return join.reply.refuse(&not_joined());
        }
        if state.epoch != epoch {
            return join.reply.refuse(&unavailable(Some(channel)));
        }
        if is_reached {
            self.admit(state, channel, join);
        } else {
            self.admit_afresh(state, channel, join);
        }
    }

    async fn replay(self: Rc<Self>, missed: Missed, join: Join) {
        let reading = timeout(LOAD_TIME_MAX, self.read_missed(&missed));
        let read = reading.await.unwrap_or(Err(NotWhole::Away));
        let read = read.inspect_err(|why| tracing::debug!(%why, "no replay"));
        let replay = read.ok();
        let is_laden = !self.is_unladen(join.viewer).await;
        let state = &mut *self.state.borrow_mut();
        if state.epoch != missed.epoch {
            return join.reply.refuse(&unavailable(Some(missed.channel)));
        }
        let room = state.rooms.get(&missed.channel);
        if !room.is_some_and(|room| room.is_held(join.viewer, &missed.hold)) {
            let viewer = state.viewers.get(&join.viewer);
            if viewer.is_some_and(|viewer| viewer.joined.contains(&missed.channel)) {
                // They have asked for a page meanwhile, which has all of it.
                let answer = joined(missed.channel, true);
                return join.reply.recovered(false).done(&answer);
            }
            // They have left, or were put out of the channel, meanwhile.
            return join.reply.refuse(&not_joined());
        }
        if is_laden {
            // Who does not read gets no further replay: what waits for them stays bounded.
            self.leave_room(state, missed.channel, join.viewer);
            return join.reply.refuse(&unavailable(Some(missed.channel)));
        }
        let frames = replay.and_then(|replay| self.frames(state, &missed, join.viewer, &replay));
        match frames {
            Some(frames) => write_replay(state, missed.channel, &frames, join),
            None => self.take_page(state, missed.channel, join),
        }
    }

    async fn read_missed(&self, missed: &Missed) -> Result<Replay, NotWhole> {
        let Missed { after, until, .. } = *missed;
        let run = self.recovery.runs().of(missed.channel, after, until);
        Replay::of([&*run.await?], after.sequence, until.sequence)
    }

    /// Several replays of one viewer go out one after the other: each may be larger than the queue's bound. False if
    /// they do not read.
    async fn is_unladen(&self, viewer: ViewerKey) -> bool {
        for _ in 0..LADEN_PAUSES_MAX {
            let is_laden = {
                let state = self.state.borrow();
                let viewer = state.viewers.get(&viewer);
                viewer.is_some_and(|viewer| viewer.link.is_laden())
            };
            if !is_laden {
                return true;
            }
            tokio::time::sleep(LADEN_PAUSE).await;
        }
        false
    }

    /// What is written: what was missed, and what was held meanwhile.
    fn frames(
        &self,
        state: &mut State,
        missed: &Missed,
        viewer: ViewerKey,
        replay: &Replay,
    ) -> Option<Vec<Frames>> {
        let (access, _) = state.access(viewer, missed.channel)?;
        let held = missed.hold.take().filter(|_| access.can_read_history)?;
        let holder = state.viewers.get(&viewer)?.holder();
        let channels = [missed.channel].into();
        let mut frames = self.replayed(state, replay, missed.after, &channels, holder);
        frames.extend(held);
        Some(frames)
    }

    /// The replay can't be whole: out of the room again, and in with a page.
    fn take_page(self: &Rc<Self>, state: &mut State, channel: ChannelId, join: Join) {
        self.leave_room(state, channel, join.viewer);
        self.admit_afresh(state, channel, join);
    }

    fn leave_room(&self, state: &mut State, channel: ChannelId, key: ViewerKey) {
        if let Some(room) = state.rooms.get_mut(&channel) {
            room.leave(key);
        }
        if let Some(viewer) = state.viewers.get_mut(&key)
            && viewer.joined.remove(&channel)
        {
            self.instance.on_left(channel, viewer.watcher());
        }
    }
}

/// What a viewer is missing.
struct Missed {
    channel: ChannelId,
    after: Offset,
    until: Offset,
    hold: Rc<Hold>,
    epoch: u64,
}

fn write_replay(state: &mut State, channel: ChannelId, frames: &[Frames], join: Join) {
    let (Some(viewer), Some(room)) = (
        state.viewers.get(&join.viewer),
        state.rooms.get_mut(&channel),
    ) else {
        return;
    };
    join.reply.recovered(true).done(&joined(channel, false));
    viewer.link.replay(frames);
    room.enter(join.viewer, viewer.link.clone(), viewer.holder());
}
