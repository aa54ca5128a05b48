//! Reactions on their way to members: the first change at once, then the latest state twice a second at most.

use std::rc::Rc;
use std::time::Duration;

use proto::event::Event;
use proto::{ChannelId, MessageId};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Hub, State, Turns};
use crate::delivery::{Delivery, reaction_update};
use crate::frames::Frames;
use crate::pace::Turn;
use crate::room::Room;

/// Twice a second (contract.md §1).
pub(super) const SPACING: Duration = Duration::from_millis(500);

/// Updated messages of which the reactions are still to be looked up. Beyond it viewers who have paged to such
/// a message see it without its reactions until these change.
const UNSTATED_MAX: usize = 1_000;

/// Messages of which members were told late that are remembered: those of some minutes, and in a storm of some seconds.
const TOLD_LATE_MAX: usize = 4_096;

/// How long one look-up may take.
const LOOK_UP_TIME_MAX: Duration = Duration::from_secs(4);

/// A message of a channel.
pub(super) type Place = (ChannelId, u64);

impl Hub {
    /// A message's reactions have changed.
    pub(super) fn on_reactions(&self, state: &mut State, place: Place, frames: Frames) {
        state.unstated.remove(&place);
        match state.reactions.offer(place, frames, Instant::now()) {
            Turn::Now(frames) => self.tell(state, place.0, &frames),
            Turn::Waits => self.reactions_wait.notify_one(),
            Turn::Replaces => self.instance.on_merged(),
        }
    }

    /// What an event means for reactions beside what the room makes of it.
    pub(super) fn on_message_event(&self, state: &mut State, delivery: &Delivery) {
        match &delivery.event {
            Event::MessageDeleted(deleted) => {
                let place = (delivery.channel, deleted.message_id);
                state.unstated.remove(&place);
                state.reactions.forget(place);
            }
            // The update went out without the reactions, which the room does not know: they follow.
            Event::MessageUpdated(message) => {
                let room = state.rooms.get(&delivery.channel);
                let is_unknown = room.is_some_and(Room::has_members)
                    && !room.is_some_and(|room| room.holds(message.id));
                if is_unknown {
                    self.state_reactions(state, (delivery.channel, message.id));
                }
            }
            _ => {}
        }
    }

    /// The reactions of a message that no room holds are to be looked up and told.
    pub(super) fn state_reactions(&self, state: &mut State, place: Place) {
        if state.unstated.len() < UNSTATED_MAX {
            state.unstated.insert(place);
            self.unstated.notify_one();
        }
    }

    /// Tells what has waited for its time.
    pub(super) async fn tell_reactions(self: Rc<Self>) {
        loop {
            let next = self.state.borrow().reactions.next_at();
            let Some(next) = next else {
                self.reactions_wait.notified().await;
                continue;
            };
            sleep_until(next).await;
            let due = self.state.borrow_mut().reactions.due(Instant::now());
            let mut turns = Turns::begin();
            for (place, frames) in due {
                self.tell_late(&mut self.state.borrow_mut(), place, &frames);
                turns.end().await;
            }
        }
    }

    fn tell_late(&self, state: &mut State, place: Place, frames: &Frames) {
        state.on_told_late(place);
        self.tell(state, place.0, frames);
    }

    /// Looks up the reactions of messages that were updated and are older than what their room holds.
    pub(super) async fn restate_reactions(self: Rc<Self>) {
        loop {
            let next = self.state.borrow().unstated.first().copied();
            let Some(place) = next else {
                self.unstated.notified().await;
                continue;
            };
            let frames = timeout(LOOK_UP_TIME_MAX, self.look_up(place)).await;
            let state = &mut *self.state.borrow_mut();
            // Whoever took it out has told something newer.
            if state.unstated.contains(&place) {
                match frames.ok().flatten() {
                    Some(frames) => {
                        state.on_told_late(place);
                        self.on_reactions(state, place, frames);
                    }
                    None => {
                        state.unstated.remove(&place);
                    }
                }
            }
        }
    }

    async fn look_up(&self, (channel, id): Place) -> Option<Frames> {
        let before = MessageId::new(id.checked_add(1)?)?;
        let history = self.read(channel, Some(before), 1).await?;
        let reactions = history.messages.reactions(id);
        if reactions.is_empty() {
            return None;
        }
        reaction_update(channel, id, reactions, self.state.borrow().directory.cdn())
    }

    /// Sends an event to everybody in a room.
    pub(super) fn tell(&self, state: &mut State, channel: ChannelId, frames: &Frames) {
        if let Some(room) = state.rooms.get(&channel) {
            self.instance.on_told(room.tell(frames));
        }
    }
}

impl State {
    /// Of which messages somebody may not have been told who has seen everything up to this sequence.
    pub(super) fn told_late(&self, seen: u64) -> impl Iterator<Item = Place> {
        let late = self.told_late.iter().rev();
        let late = late.take_while(move |(told_at, _)| *told_at >= seen);
        late.map(|(_, place)| *place)
    }

    /// Members are told of this message's reactions after what has happened since.
    fn on_told_late(&mut self, place: Place) {
        if self.told_late.len() == TOLD_LATE_MAX {
            self.told_late.pop_front();
        }
        self.told_late.push_back((self.position.sequence, place));
    }
}
