//! Who listens where, on one worker: a channel's members, its recent messages, and the joins that wait for them.
//!
//! No await in here: everything happens at one position of the feed, so that a page, the membership and the
//! next live event meet without a gap or a double.

mod members;
mod page;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_socketio::Socket;
use proto::event::{Event, Reaction};
use proto::{ChannelId, GuildId};
use runtime::time::now_ms;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::access::{Directory, Holder};
use crate::delivery::Delivery;
use crate::frames::Frames;
use crate::history::{Applied, History, LINKS_AHEAD_MS, Messages};
use crate::offset::{Bookmark, Offset};
use crate::session::ViewerKey;
use crate::transport::{Hold, Link, Reply};
use members::Members;
pub use page::PageObject;

/// Messages that a room keeps: two of the largest pages, so that deletions do not empty one at once.
pub const ROOM_MESSAGES: u32 = 200;

/// Events that may come while a room is being loaded (3 s at most). More, and the load has failed.
const BUFFERED_MAX: usize = 20_000;

/// Encoded pages that a room keeps: one for each limit that clients usually ask with, and for each holder.
const PAGES_MAX: usize = 8;

/// Messages are read again after so long at the latest, as those that come meanwhile have links too (of a day).
const FRESH_MAX: Duration = Duration::from_hours(6);

/// And after so long at the earliest, where links can't be had.
const FRESH_MIN: Duration = Duration::from_mins(1);

/// What an event has become.
#[derive(Debug)]
pub enum Outcome {
    /// A double, or of a message that is gone: nobody was told.
    Known,
    /// So many members were told.
    Told(usize),
    /// A message's reactions, to be told in their time.
    Reactions(u64, Frames),
}

/// A join that waits for the room.
#[derive(Debug)]
pub struct Join {
    /// Who joins.
    pub viewer: ViewerKey,
    /// Messages of the page, if the viewer said how many.
    pub limit: Option<u32>,
    /// Where the viewer goes on from, in place of a page.
    pub after: Option<Offset>,
    /// Where the answer goes.
    pub reply: Reply,
}

/// One channel on one worker.
#[derive(Debug)]
pub struct Room {
    members: Members,
    log: Option<Log>,
    loading: Option<Loading>,
    /// Who came since the members were told how many they are.
    uncounted: Vec<ViewerKey>,
    /// How many members were told that they are, over all instances.
    pub counted: u32,
    /// The feed sends this channel's events.
    pub is_watched: bool,
    /// Sweeps that have found nobody here.
    pub idle_sweeps: u32,
}

#[derive(Debug)]
struct Log {
    messages: Messages,
    /// The channel's last event is at or before this sequence.
    last: u64,
    /// Discord has older messages that are being read.
    is_partial: bool,
    /// From then on the messages are read again before they are shown, for the links of their files.
    stale_at: Instant,
    /// The encoded pages, by their limit and for whom they are, until the next event, and where they were last sent.
    pages: HashMap<(u32, Holder), (Bookmark, Frames)>,
}

#[derive(Debug, Default)]
struct Loading {
    waiting: Vec<Join>,
    /// Who wants to know when the load is done.
    attending: Vec<oneshot::Sender<()>>,
    buffered: Vec<Arc<Delivery>>,
    /// The message that the thread began at was deleted meanwhile.
    start_deleted: Option<u64>,
}

/// For how long messages are shown as they were read, where the first of their links runs out then.
fn fresh_for(links_until_ms: Option<i64>, now_ms: i64) -> Duration {
    let left = links_until_ms.map(|until_ms| until_ms - now_ms - LINKS_AHEAD_MS);
    let left = left.map(|left| Duration::from_millis(u64::try_from(left).unwrap_or_default()));
    left.map_or(FRESH_MAX, |left| left.clamp(FRESH_MIN, FRESH_MAX))
}

impl Room {
    /// A channel's room, which nobody has asked for anything.
    pub fn of(channel: ChannelId) -> Self {
        Self {
            members: Members::of(channel),
            log: None,
            loading: None,
            uncounted: Vec::new(),
            counted: 0,
            is_watched: false,
            idle_sweeps: 0,
        }
    }

    /// Nobody is here and nobody is coming.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.loading.is_none()
    }

    /// Somebody is here.
    pub fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// Somebody here was not told yet how many are.
    pub fn has_uncounted(&self) -> bool {
        !self.uncounted.is_empty()
    }

    /// Who is to be told that so many are here, over all instances.
    pub fn count(&mut self, count: u32) -> Vec<ViewerKey> {
        let uncounted = std::mem::take(&mut self.uncounted);
        if std::mem::replace(&mut self.counted, count) == count {
            let is_here = |key: &ViewerKey| self.members.has(*key);
            return uncounted.into_iter().filter(is_here).collect();
        }
        self.members().collect()
    }

    /// The room can answer a page of this many messages.
    pub fn has_page(&self, limit: u32) -> bool {
        self.log.as_ref().is_some_and(|log| {
            let is_long = !log.messages.has_more || log.messages.len() >= limit as usize;
            is_long && Instant::now() < log.stale_at
        })
    }

    /// Discord has older messages than the room does.
    pub fn is_partial(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.is_partial)
    }

    /// The room gets its channel's events, and members get them from it.
    pub fn is_loaded(&self) -> bool {
        self.log.is_some()
    }

    /// Tells when the room is loaded; dropped if that fails. And whether the load has to be begun.
    pub fn attend(&mut self) -> (oneshot::Receiver<()>, bool) {
        let (sender, loaded) = oneshot::channel();
        let begins = self.loading.is_none();
        self.loading.get_or_insert_default().attending.push(sender);
        (loaded, begins)
    }

    /// Lets a join wait for the room. True if the load has to be begun.
    pub fn wait(&mut self, join: Join) -> bool {
        let begins = self.loading.is_none();
        self.loading.get_or_insert_default().waiting.push(join);
        begins
    }

    /// Takes a viewer's waiting joins back.
    pub fn cancel(&mut self, viewer: ViewerKey) -> Vec<Join> {
        let Some(loading) = &mut self.loading else {
            return Vec::new();
        };
        let waiting = std::mem::take(&mut loading.waiting).into_iter();
        let (cancelled, waiting) = waiting.partition(|join| join.viewer == viewer);
        loading.waiting = waiting;
        cancelled
    }

    /// Who is here.
    pub fn members(&self) -> impl Iterator<Item = ViewerKey> {
        self.members.keys()
    }

    /// The load is done: the joins that waited for it, and whether there is a page for them now.
    pub fn on_loaded(&mut self, history: Option<History>) -> (Vec<Join>, bool) {
        let Some(loading) = self.loading.take() else {
            return (Vec::new(), false);
        };
        let Some(history) = history.filter(|_| loading.buffered.len() < BUFFERED_MAX) else {
            return (loading.waiting, false);
        };
        let mut messages = history.messages;
        let newest = loading.buffered.last().map_or(0, |d| d.offset.sequence);
        let last = newest.max(history.complete_to);
        for delivery in loading.buffered {
            if delivery.offset.sequence > history.complete_to {
                messages.apply(&delivery.event);
            }
        }
        if let Some(message) = loading.start_deleted {
            messages.on_start_deleted(message);
        }
        messages.trim(ROOM_MESSAGES as usize);
        self.log = Some(Log {
            messages,
            last,
            is_partial: history.is_partial,
            stale_at: Instant::now() + fresh_for(history.links_until_ms, now_ms()),
            pages: HashMap::new(),
        });
        for attending in loading.attending {
            if attending.send(()).is_err() {
                tracing::trace!("nobody waits for this room any more");
            }
        }
        (loading.waiting, true)
    }

    /// Forgets encoded pages: names in them may have changed.
    pub fn forget_pages(&mut self) {
        if let Some(log) = &mut self.log {
            log.pages.clear();
        }
    }

    /// An event of the channel: into the log, and to every member.
    pub fn on_event(&mut self, delivery: &Arc<Delivery>, directory: &Directory) -> Outcome {
        self.buffer(delivery);
        let Some(log) = &mut self.log else {
            return Outcome::Told(0);
        };
        log.last = delivery.offset.sequence;
        if log.messages.apply(&delivery.event) == Applied::Known {
            return Outcome::Known;
        }
        log.messages.trim(ROOM_MESSAGES as usize);
        log.pages.clear();
        let Some(frames) = delivery.frames_in(&log.messages, directory) else {
            return Outcome::Told(0);
        };
        if let Event::ReactionsChanged(changed) = &delivery.event {
            return Outcome::Reactions(changed.message_id, frames);
        }
        Outcome::Told(self.tell(&frames))
    }

    /// The message that this thread began at, in another channel, was deleted: it is no longer quoted here.
    pub fn on_start_deleted(&mut self, message: u64) {
        if let Some(loading) = &mut self.loading {
            loading.start_deleted = Some(message);
        }
        if let Some(log) = &mut self.log {
            log.messages.on_start_deleted(message);
            log.pages.clear();
        }
    }

    fn buffer(&mut self, delivery: &Arc<Delivery>) {
        if let Some(loading) = &mut self.loading
            && loading.buffered.len() < BUFFERED_MAX
        {
            loading.buffered.push(delivery.clone());
        }
    }

    /// What members get of an event that was before what the room knows now: no text of what was deleted since.
    pub fn frames(&self, delivery: &Delivery, directory: &Directory) -> Option<Frames> {
        let Some(log) = &self.log else {
            return delivery.frames(directory).cloned();
        };
        let told = match &delivery.event {
            Event::MessageCreated(message) | Event::MessageUpdated(message) => Some(message.id),
            _ => None,
        };
        if told.is_some_and(|id| log.messages.is_deleted(id)) {
            return None;
        }
        delivery.frames_in(&log.messages, directory)
    }

    /// The message is known to be deleted.
    pub fn is_deleted(&self, message: u64) -> bool {
        let log = self.log.as_ref();
        log.is_some_and(|log| log.messages.is_deleted(message))
    }

    /// Sends every member an event, in the form for their token. How many got it.
    pub fn tell(&self, frames: &Frames) -> usize {
        self.members.tell(frames);
        self.members.len()
    }

    /// A Socket.IO socket that is here.
    pub fn any_socket(&self) -> Option<&Socket> {
        self.members.any_socket()
    }

    /// The reactions of a message; none if the log does not have it.
    pub fn reactions(&self, message: u64) -> Option<&[Reaction]> {
        let messages = &self.log.as_ref()?.messages;
        Some(&messages.get(message)?.reactions)
    }

    /// The log has this message.
    pub fn holds(&self, message: u64) -> bool {
        let log = self.log.as_ref();
        log.is_some_and(|log| log.messages.get(message).is_some())
    }

    /// The page of the newest messages at this position, encoded once for all who ask between two events. It
    /// carries the position at which it is sent: an older one would take back what was sent of other channels.
    pub fn page(
        &mut self,
        channel: ChannelId,
        limit: u32,
        position: Bookmark,
        directory: &Directory,
        guild: GuildId,
        holder: Holder,
    ) -> Option<Frames> {
        let log = self.log.as_mut()?;
        if let Some((sent_at, frames)) = log.pages.get_mut(&(limit, holder)) {
            if *sent_at != position {
                (*sent_at, *frames) = (position, frames.at(position));
            }
            return Some(frames.clone());
        }
        let page = PageObject::new(channel, &log.messages, limit, guild, directory, holder);
        let frames = page.frames(position)?;
        if log.pages.len() >= PAGES_MAX {
            log.pages.clear();
        }
        log.pages
            .insert((limit, holder), (position, frames.clone()));
        Some(frames)
    }

    /// A viewer with such a token is in. True if they were not.
    pub fn enter(&mut self, viewer: ViewerKey, link: Link, holder: Holder) -> bool {
        self.idle_sweeps = 0;
        let is_new = self.members.insert(viewer, link, holder);
        if is_new {
            self.uncounted.push(viewer);
        }
        is_new
    }

    /// Nothing has happened in the channel after this sequence.
    pub fn is_quiet_since(&self, sequence: u64) -> bool {
        self.log.as_ref().is_some_and(|log| log.last <= sequence)
    }

    /// This hold stands for the viewer here.
    pub fn is_held(&self, viewer: ViewerKey, hold: &Rc<Hold>) -> bool {
        self.members.is_held(viewer, hold)
    }

    /// A viewer is out. True if they were in.
    pub fn leave(&mut self, viewer: ViewerKey) -> bool {
        self.members.remove(viewer)
    }
}
