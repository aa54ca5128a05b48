//! One worker's viewers and rooms: where the feed's events, in order, meet what viewers ask.
//!
//! Everything of a hub happens on its worker's thread. Its state changes only between awaits, at one position
//! of the feed; what has to wait (a page, a question to ingest) waits in a task and comes back to the state
//! as it is then, and access is decided again.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_socketio::Socket;
use proto::event::Event;
use proto::{ChannelId, GuildId, UserId};
use runtime::time::now_ms;
use tokio::sync::{Notify, oneshot, watch};

use crate::access::{Directory, Grant};
use crate::auth::Authority;
use crate::delivery::Delivery;
use crate::feed::{FeedHandle, Inbox, Item, Ticket};
use crate::frames::Frames;
use crate::history::Library;
use crate::instance::Instance;
use crate::limit::Limits;
use crate::offset::Offset;
use crate::pace::Paced;
use crate::recovery::Recovery;
use crate::room::{Outcome, Room};
use crate::session::{Viewer, ViewerKey};
use crate::transport::Link;
pub use line::Waiting;
use reactions::Place;
pub use recovering::Arrival;
use since::Since;
use standing::Standings;
use turns::{TURN_TIME_MAX, Turns};

mod channels;
mod counts;
mod expiry;
mod joining;
mod keeping;
mod line;
mod membership;
mod reactions;
mod recovering;
mod resuming;
mod review;
mod since;
mod standing;
#[cfg(test)]
mod tests;
mod turns;
mod typing;
mod updates;
mod viewers;
mod watching;

/// Between two looks for rooms that nobody needs.
const SWEEP: Duration = Duration::from_secs(10);

/// Sockets that are closed at once.
const CLOSE_SLICE: usize = 256;

/// Sweeps for which an empty room is kept: who reloads a page finds it warm.
const IDLE_SWEEPS_MAX: u32 = 6;

/// The state of one worker.
#[derive(Debug)]
pub struct Hub {
    feed: FeedHandle,
    library: Library,
    instance: Arc<Instance>,
    authority: Authority,
    limits: Limits,
    recovery: Recovery,
    worker: Cell<usize>,
    next_key: Cell<u64>,
    begun: watch::Sender<bool>,
    /// Somebody is to be sent another list.
    unlisted: Notify,
    /// Somebody is to be asked about.
    unverified: Notify,
    /// Reactions wait for their time.
    reactions_wait: Notify,
    /// Channels are to be shown otherwise.
    updated: Notify,
    /// Reactions are to be looked up.
    unstated: Notify,
    /// What somebody has joined is to be written down.
    unkept: Notify,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    directory: Directory,
    position: Offset,
    /// Boxed: a table has up to twice as many places as viewers.
    viewers: HashMap<ViewerKey, Box<Viewer>>,
    /// The viewers that one user is.
    viewers_of: HashMap<UserId, Vec<ViewerKey>>,
    rooms: HashMap<ChannelId, Room>,
    tickets: HashMap<Ticket, oneshot::Sender<u64>>,
    /// The reactions that members were told of late, and what is to follow.
    reactions: Paced<Place, Frames>,
    /// Of which messages members were told late, and where the feed was by then: who has seen no more than that may
    /// not have been told, although the event itself lies before what they have seen.
    told_late: VecDeque<(u64, Place)>,
    /// Updated messages whose reactions are to be looked up.
    unstated: BTreeSet<Place>,
    /// Channels whose members were told of late how many they are.
    counts: Paced<ChannelId, ()>,
    /// Channels that are to be shown otherwise.
    updated: BTreeSet<ChannelId>,
    /// Who may have to be sent another list, and since when that is waited for.
    unlisted: BTreeMap<ViewerKey, Since>,
    /// Users who are to be asked about.
    unverified: BTreeSet<UserId>,
    /// Who has joined or left something that is not written down.
    unkept: BTreeSet<ViewerKey>,
    /// How long what is known of members holds.
    standings: Standings,
    /// Counts what makes members unverified: guilds' snapshots, and the feed's beginnings.
    snapshots: u64,
    /// Counts the feed's beginnings and ends: what was begun in another one is void.
    epoch: u64,
}

impl Hub {
    /// A worker's hub, empty.
    pub fn new(
        feed: FeedHandle,
        library: Library,
        instance: Arc<Instance>,
        authority: Authority,
        limits: Limits,
        recovery: Recovery,
    ) -> Rc<Self> {
        let position = feed.position();
        Rc::new(Self {
            feed,
            library,
            instance,
            authority,
            limits,
            recovery,
            worker: Cell::new(0),
            next_key: Cell::new(0),
            begun: watch::Sender::new(false),
            unlisted: Notify::new(),
            unverified: Notify::new(),
            reactions_wait: Notify::new(),
            updated: Notify::new(),
            unstated: Notify::new(),
            unkept: Notify::new(),
            state: RefCell::new(State {
                directory: Directory::default(),
                position,
                viewers: HashMap::new(),
                viewers_of: HashMap::new(),
                rooms: HashMap::new(),
                tickets: HashMap::new(),
                reactions: Paced::new(reactions::SPACING),
                told_late: VecDeque::new(),
                unstated: BTreeSet::new(),
                counts: Paced::new(counts::SPACING),
                updated: BTreeSet::new(),
                unlisted: BTreeMap::new(),
                unverified: BTreeSet::new(),
                unkept: BTreeSet::new(),
                standings: Standings::default(),
                snapshots: 0,
                epoch: 0,
            }),
        })
    }

    /// Follows the feed until it ends.
    pub async fn run(self: Rc<Self>) {
        let Ok(mut inbox) = self.feed.register().await else {
            return;
        };
        self.worker.set(inbox.worker);
        let tasks = [
            actix_rt::spawn(self.clone().sweep()),
            actix_rt::spawn(self.clone().send_lists()),
            actix_rt::spawn(self.clone().verify()),
            actix_rt::spawn(self.clone().tell_reactions()),
            actix_rt::spawn(self.clone().restate_reactions()),
            actix_rt::spawn(self.clone().tell_typing()),
            actix_rt::spawn(self.clone().send_updates()),
            actix_rt::spawn(self.clone().tell_counts()),
            actix_rt::spawn(self.clone().watch_expiry()),
            actix_rt::spawn(self.clone().review()),
            actix_rt::spawn(self.clone().keep_sessions()),
        ];
        while let Some(item) = inbox.items.recv().await {
            self.on_item(item);
            self.on_waiting(&mut inbox);
            tokio::task::yield_now().await;
            // After a hole of the feed there is more than can be written at once: heartbeats, joins and pings go between.
            while self.is_ahead() {
                tokio::task::yield_now().await;
            }
        }
        tasks.iter().for_each(actix_rt::task::JoinHandle::abort);
    }

    /// What has come meanwhile goes out together with the first.
    fn on_waiting(&self, inbox: &mut Inbox) {
        let began = Instant::now();
        while began.elapsed() < TURN_TIME_MAX {
            let Ok(item) = inbox.items.try_recv() else {
                return;
            };
            self.on_item(item);
        }
    }

    /// More was told than this worker has written.
    fn is_ahead(&self) -> bool {
        let state = self.state.borrow();
        let any = state.rooms.values().find_map(Room::any_socket);
        any.is_some_and(Socket::is_ahead)
    }

    fn on_item(&self, item: Item) {
        let state = &mut *self.state.borrow_mut();
        match item {
            Item::Start(start) => {
                self.on_broken(state);
                state.directory = start.directory.clone();
                state.position = start.offset;
                let guilds = start.directory.guilds();
                state
                    .standings
                    .on_directory(guilds, tokio::time::Instant::now());
                self.begun.send_replace(true);
            }
            Item::Event(delivery) => {
                state.position = delivery.offset;
                self.on_delivery(state, &delivery);
                delivery.on_handled();
            }
            Item::Directory(event) => {
                state.position.sequence = event.sequence;
                self.before_change(state, &event.event);
                let change = state.directory.apply(event.guild, &event.event);
                state.rooms.values_mut().for_each(Room::forget_pages);
                if matches!(event.event, Event::GuildSnapshotEnd(_)) {
                    self.unverify(state, event.guild);
                }
                self.on_change(state, change, Since::frame(event.received_ms));
            }
            Item::Reached(ticket, position) => {
                state.position.sequence = state.position.sequence.max(position);
                if let Some(waiting) = state.tickets.remove(&ticket)
                    && waiting.send(position).is_err()
                {
                    tracing::trace!("nobody waits for this position any more");
                }
            }
            Item::Broken => self.on_broken(state),
        }
    }

    fn on_delivery(&self, state: &mut State, delivery: &Arc<Delivery>) {
        // The thread that began at a message has its id. A forum's post begins at a message of its own.
        if let Event::MessageDeleted(gone) = &delivery.event
            && let Some(thread) = ChannelId::new(gone.message_id)
            && thread != delivery.channel
            && let Some(room) = state.rooms.get_mut(&thread)
        {
            room.on_start_deleted(gone.message_id);
        }
        let Some(room) = state.rooms.get_mut(&delivery.channel) else {
            self.unwatch(delivery.channel);
            return;
        };
        match room.on_event(delivery, &state.directory) {
            Outcome::Told(members) => self.instance.on_delivered(delivery, members),
            Outcome::Known => self.instance.on_known(),
            Outcome::Reactions(message, frames) => {
                self.on_reactions(state, (delivery.channel, message), frames);
            }
        }
        self.on_message_event(state, delivery);
    }

    /// Nothing that was built on the feed holds any more: clients come back when it has begun anew.
    fn on_broken(&self, state: &mut State) {
        self.begun.send_replace(false);
        state.epoch += 1;
        state.tickets.clear();
        state.unstated.clear();
        state.reactions = Paced::new(reactions::SPACING);
        state.snapshots += 1;
        let rooms = std::mem::take(&mut state.rooms);
        for (_, mut room) in rooms {
            room.on_loaded(None)
                .0
                .into_iter()
                .for_each(|join| join.reply.refuse(&joining::unavailable(None)));
        }
        for viewer in state.viewers.values_mut() {
            if let Some(kept) = &mut viewer.kept {
                kept.freeze();
            }
            viewer.joining.clear();
            for channel in std::mem::take(&mut viewer.joined) {
                self.instance.on_left(channel, viewer.watcher());
            }
        }
        let links = state.viewers.values().map(|viewer| viewer.link.clone());
        actix_rt::spawn(close_all(links.collect()));
    }

    /// Lets rooms go in which nobody has been for a while.
    async fn sweep(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            ticks.tick().await;
            let state = &mut *self.state.borrow_mut();
            let viewers_of = &state.viewers_of;
            let is_here = |user: &UserId| viewers_of.contains_key(user);
            state.standings.retain(is_here, tokio::time::Instant::now());
            state.rooms.retain(|channel, room| {
                room.idle_sweeps = if room.is_empty() {
                    room.idle_sweeps + 1
                } else {
                    0
                };
                let stays = room.idle_sweeps <= IDLE_SWEEPS_MAX;
                if !stays {
                    self.unwatch(*channel);
                }
                stays
            });
        }
    }

    fn unwatch(&self, channel: ChannelId) {
        let (feed, worker) = (self.feed.clone(), self.worker.get());
        actix_rt::spawn(async move {
            if feed.unwatch(worker, channel).await.is_err() {
                tracing::debug!("the feed has ended before a channel was let go");
            }
        });
    }

    /// From the returned position on, this worker gets the channel's events. None if the feed breaks or ends.
    async fn watch(&self, channel: ChannelId) -> Option<u64> {
        let question = self.question();
        let asking = self.feed.watch(self.worker.get(), channel, question.ticket);
        asking.await.ok()?;
        question.answered().await
    }

    /// Waits until this worker has handled everything up to a sequence that was published. None if the feed breaks
    /// or ends.
    async fn reach(&self, sequence: u64) -> Option<u64> {
        let question = self.question();
        let asking = self
            .feed
            .reach(self.worker.get(), sequence, question.ticket);
        asking.await.ok()?;
        question.answered().await
    }

    fn question(&self) -> Question<'_> {
        let ticket = self.feed.ticket();
        let (sender, answer) = oneshot::channel();
        self.state.borrow_mut().tickets.insert(ticket, sender);
        Question {
            hub: self,
            ticket,
            answer,
        }
    }

    fn position(&self) -> Offset {
        self.state.borrow().position
    }
}

/// Sends clients elsewhere, in slices with others' turns between (decisions.md, "Fairness").
async fn close_all(links: Vec<Link>) {
    for slice in links.chunks(CLOSE_SLICE) {
        for link in slice {
            link.close(actix_socketio::Close::GoingAway);
        }
        tokio::task::yield_now().await;
    }
}

/// A question to the feed. Dropped without its answer it is forgotten: who asks may give up.
struct Question<'a> {
    hub: &'a Hub,
    ticket: Ticket,
    answer: oneshot::Receiver<u64>,
}

impl Question<'_> {
    async fn answered(mut self) -> Option<u64> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        // Where the state is in use its user has taken the ticket, or clears them all.
        if let Ok(mut state) = self.hub.state.try_borrow_mut() {
            state.tickets.remove(&self.ticket);
        }
    }
}

impl State {
    /// The room of a channel, made if there is none.
    fn room(&mut self, channel: ChannelId) -> &mut Room {
        let room = self.rooms.entry(channel);
        room.or_insert_with(|| Room::of(channel))
    }

    fn access(
        &self,
        key: ViewerKey,
        channel: ChannelId,
    ) -> Option<(crate::access::Access, GuildId)> {
        let viewer = self.viewers.get(&key)?;
        let grant = &viewer.session.principal.grant;
        let guild = self.directory.guild_of(channel)?;
        if self.has_lapsed(grant, guild) {
            return None;
        }
        let access = self.directory.access(grant, channel, now_ms())?;
        Some((access, guild))
    }

    fn has_lapsed(&self, grant: &Grant, guild: GuildId) -> bool {
        matches!(grant, Grant::User(user) if self.standings.has_lapsed(*user, guild))
    }
}
