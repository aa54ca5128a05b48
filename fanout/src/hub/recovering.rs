//! Clients that come back to what they had joined: with all that they have missed, or as anybody who comes anew.
//!
//! They are in all their rooms at one position of the feed before anything is read. What happens from then on, in
//! whichever channel, waits in one hold until everything before that position is written, so that each offset that
//! they see covers all channels.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_socketio::Close;
use futures_util::future::{join_all, try_join_all};
use proto::ChannelId;
use tokio::time::timeout;

use super::reactions::Place;
use super::{Hub, State, Turns};
use crate::access::Holder;
use crate::delivery::reaction_update;
use crate::frames::Frames;
use crate::offset::Offset;
use crate::past::Run;
use crate::recovery::{Joined, Kept, NotRecovered, Taken};
use crate::replay::Replay;
use crate::session::{Session, ViewerKey};
use crate::transport::{Hold, Link, Reply};

/// How long a client that comes back waits for what it has missed. Then it is let in without: clients give a
/// CONNECT 20 s by default.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(4);

/// Somebody who is back: in their rooms, and not told of anything yet. Dropped, they have never come.
#[derive(Debug)]
pub struct Arrival {
    hub: Rc<Hub>,
    key: ViewerKey,
    /// What is written of them.
    taken: Taken,
    hold: Rc<Hold>,
    epoch: u64,
    /// Where they entered their rooms.
    until: Offset,
    replay: Replay,
    /// Channels whose page was not delivered.
    unpaged: Vec<Joined>,
    /// Channels that they no longer see.
    hidden: Vec<ChannelId>,
    is_over: bool,
}

impl Arrival {
    /// The socket's public id and the private one, as they were.
    pub fn ids(&self) -> (String, String) {
        let Taken { claim, record, .. } = &self.taken;
        (record.sid.clone(), claim.pid.clone())
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if !self.is_over {
            self.hub.on_disconnected(self.key);
        }
    }
}

impl Hub {
    /// Brings somebody back to what they had joined, on this transport.
    ///
    /// # Errors
    /// They can't be brought back whole.
    pub async fn arrive(
        self: &Rc<Self>,
        session: Session,
        transport: usize,
        taken: Taken,
    ) -> Result<Arrival, NotRecovered> {
        let arriving = self.arrive_in_time(session, transport, taken);
        let arrived = timeout(ARRIVAL_TIME_MAX, arriving).await;
        arrived.unwrap_or(Err(NotRecovered::Away))
    }

    async fn arrive_in_time(
        self: &Rc<Self>,
        session: Session,
        transport: usize,
        taken: Taken,
    ) -> Result<Arrival, NotRecovered> {
        let (seen, holder) = (taken.seen.offset, session.principal.grant.holder());
        if seen.generation != self.position().generation {
            return Err(NotRecovered::Gone);
        }
        if !self.come_to(seen).await {
            return Err(NotRecovered::Away);
        }
        let mut arrival = self.announce(session, transport, taken);
        self.open_rooms(&arrival).await?;
        let missed = self.enter_rooms(&mut arrival)?;
        let until = arrival.until;
        let reading = missed
            .into_iter()
            .map(|channel| self.recovery.runs().of(channel, seen, until));
        let runs: Vec<Arc<Run>> = try_join_all(reading).await?;
        let runs = runs.iter().map(AsRef::as_ref);
        arrival.replay = Replay::of(runs, seen.sequence, until.sequence)?;
        self.encode(&arrival.replay, holder).await;
        let Taken { claim, record, .. } = &arrival.taken;
        if !self.recovery.keep(claim, record).await? {
            return Err(NotRecovered::Taken);
        }
        Ok(arrival)
    }

    /// They count as here, and hear nothing yet.
    fn announce(self: &Rc<Self>, session: Session, transport: usize, taken: Taken) -> Arrival {
        let key = self.new_key();
        let hold = Hold::new(Link::Coming(transport));
        let state = &mut *self.state.borrow_mut();
        self.settle_in(state, key, session, Link::Held(hold.clone()));
        Arrival {
            hub: self.clone(),
            key,
            taken,
            hold,
            epoch: state.epoch,
            until: state.position,
            replay: Replay::default(),
            unpaged: Vec::new(),
            hidden: Vec::new(),
            is_over: false,
        }
    }

    /// Has all rooms loaded that they will enter.
    async fn open_rooms(self: &Rc<Self>, arrival: &Arrival) -> Result<(), NotRecovered> {
        let channels: Vec<_> = {
            let state = self.state.borrow();
            let channels = arrival.taken.record.channels.iter().filter_map(Joined::id);
            let seen = channels.filter(|channel| state.access(arrival.key, *channel).is_some());
            seen.collect()
        };
        let opening = channels.into_iter().map(|channel| self.open_room(channel));
        let opened = join_all(opening).await;
        let is_whole = opened.iter().all(Option::is_some);
        is_whole.then_some(()).ok_or(NotRecovered::Away)
    }

    async fn open_room(self: &Rc<Self>, channel: ChannelId) -> Option<()> {
        let loaded = {
            let state = &mut *self.state.borrow_mut();
            let room = state.room(channel);
            if room.is_loaded() {
                return Some(());
            }
            let (loaded, begins) = room.attend();
            if begins {
                actix_rt::spawn(self.clone().load(channel, state.epoch));
            }
            loaded
        };
        loaded.await.ok()
    }

    /// Enters all rooms at one position. The channels in which something may have been missed until then.
    fn enter_rooms(&self, arrival: &mut Arrival) -> Result<Vec<ChannelId>, NotRecovered> {
        let state = &mut *self.state.borrow_mut();
        let key = arrival.key;
        if state.epoch != arrival.epoch || !*self.begun.borrow() {
            return Err(NotRecovered::Away);
        }
        arrival.until = state.position;
        let mut missed = Vec::new();
        for joined in arrival.taken.record.channels.clone() {
            let Some(channel) = joined.id() else {
                continue;
            };
            if state.access(key, channel).is_none() {
                if state.is_undecided(key, channel) {
                    return Err(NotRecovered::Unresolved);
                }
                arrival.hidden.push(channel);
            } else if joined.is_seen(arrival.taken.seen) {
                let is_quiet = self.enter_room(state, key, channel, arrival)?;
                missed.extend((!is_quiet).then_some(channel));
            } else {
                arrival.unpaged.push(joined);
            }
        }
        Ok(missed)
    }

    /// True if nothing has happened there since they were last here.
    fn enter_room(
        &self,
        state: &mut State,
        key: ViewerKey,
        channel: ChannelId,
        arrival: &Arrival,
    ) -> Result<bool, NotRecovered> {
        let (Some(viewer), Some(room)) =
            (state.viewers.get_mut(&key), state.rooms.get_mut(&channel))
        else {
            return Err(NotRecovered::Away);
        };
        if !room.is_loaded() {
            return Err(NotRecovered::Away);
        }
        viewer.joined.insert(channel);
        if room.enter(key, viewer.link.clone(), viewer.holder()) {
            self.instance.on_joined(channel, viewer.watcher());
        }
        Ok(room.is_quiet_since(arrival.taken.seen.offset.sequence))
    }

    /// Encodes what is shared by all who have missed it, in turns.
    async fn encode(&self, replay: &Replay, holder: Holder) {
        let mut turns = Turns::begin();
        for delivery in &replay.events {
            if let Some(frames) = delivery.frames(&self.state.borrow().directory) {
                frames.to(holder).socketio();
            }
            turns.end().await;
        }
    }

    /// Their CONNECT is answered: they are sent what they have missed, what was held meanwhile, and how things are
    /// now.
    pub fn on_recovered(self: &Rc<Self>, mut arrival: Arrival, link: &Link) -> ViewerKey {
        arrival.is_over = true;
        let key = arrival.key;
        if !self.write_missed(&mut arrival, link) {
            link.close(Close::GoingAway);
            return key;
        }
        for joined in std::mem::take(&mut arrival.unpaged) {
            if let Some(channel) = joined.id() {
                let reply = Reply::new(link.clone(), None, "join_channel");
                self.join(key, channel, joined.limit, reply);
            }
        }
        key
    }

    /// False if the feed broke meanwhile, or too much was held: they come back once more.
    fn write_missed(&self, arrival: &mut Arrival, link: &Link) -> bool {
        let (state, key) = (&mut *self.state.borrow_mut(), arrival.key);
        let Some(viewer) = state.viewers.get_mut(&key) else {
            return false;
        };
        let Taken {
            claim,
            record,
            seen,
        } = &arrival.taken;
        let renewal = self.recovery.renewal();
        let mut kept = Kept::of_record(claim.clone(), record.clone(), *seen, renewal);
        viewer.link = link.clone();
        let held = arrival.hold.take().filter(|_| state.epoch == arrival.epoch);
        let Some(held) = held else {
            kept.freeze();
            viewer.kept = Some(kept);
            return false;
        };
        viewer.kept = Some(kept);
        let (joined, holder) = (viewer.joined.clone(), viewer.holder());
        for channel in &joined {
            if let Some(room) = state.rooms.get_mut(channel) {
                room.enter(key, link.clone(), holder);
            }
        }
        let mut frames = self.replayed(state, &arrival.replay, seen.offset, &joined, holder);
        frames.extend(held);
        link.replay(&frames);
        for channel in &arrival.hidden {
            link.emit("channel_left", &state.channel_left(*channel));
        }
        state.list(key);
        state.introduce(key);
        self.touch(state, key);
        true
    }

    /// What is written of a replay to who holds such a token and has seen so much: the events, and the reactions as they
    /// are, also those that were to be told late.
    pub(super) fn replayed(
        &self,
        state: &mut State,
        replay: &Replay,
        seen: Offset,
        joined: &BTreeSet<ChannelId>,
        holder: Holder,
    ) -> Vec<Frames> {
        let mut frames = Vec::with_capacity(replay.events.len());
        let mut unknown = Vec::new();
        let events = replay.events.iter();
        for delivery in events.filter(|delivery| joined.contains(&delivery.channel)) {
            let Some(room) = state.rooms.get(&delivery.channel) else {
                continue;
            };
            let told = room.frames(delivery, &state.directory);
            frames.extend(told.map(|frames| frames.to(holder).clone()));
            // An update says nothing of reactions: those of older messages are looked up and follow.
            let updated = delivery
                .updated()
                .filter(|id| room.reactions(*id).is_none());
            let place = updated.map(|id| (delivery.channel, id));
            unknown.extend(place.filter(|place| !replay.reactions.contains_key(place)));
        }
        let changed = replay.reactions.keys().copied();
        let changed: BTreeSet<Place> = changed.chain(state.told_late(seen.sequence)).collect();
        for place @ (channel, id) in changed {
            let room = state.rooms.get(&channel);
            let room = room.filter(|room| joined.contains(&channel) && !room.is_deleted(id));
            let Some(room) = room else {
                continue;
            };
            let missed = replay.reactions.get(&place).map(Vec::as_slice);
            match room.reactions(id).or(missed) {
                Some(current) => {
                    let cdn = state.directory.cdn();
                    frames.extend(reaction_update(channel, id, current, cdn));
                }
                None => unknown.push(place),
            }
        }
        for place in unknown {
            self.state_reactions(state, place);
        }
        frames
    }
}

impl State {
    /// That a viewer does not see a channel may only be because nobody can say who they are there.
    fn is_undecided(&self, key: ViewerKey, channel: ChannelId) -> bool {
        let Some(viewer) = self.viewers.get(&key) else {
            return true;
        };
        let guild = self.directory.guild_of(channel);
        let grant = &viewer.session.principal.grant;
        viewer.session.is_unresolved || guild.is_some_and(|guild| self.has_lapsed(grant, guild))
    }
}
