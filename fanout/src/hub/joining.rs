//! Joins and pages: a room is loaded once, however many wait for it, and served at one position of the feed.

use std::rc::Rc;
use std::time::Duration;

use proto::{ChannelId, GuildId, MessageId};
use serde::Serialize;
use tokio::time::timeout;

use super::{Hub, State};
use crate::access::Access;
use crate::history::{History, Library};
use crate::offset::Offset;
use crate::request::{Code, Refusal, page_limit};
use crate::room::{Join, PageObject, ROOM_MESSAGES};
use crate::session::{PAGING_MAX, ViewerKey};
use crate::transport::Reply;

/// A page that has not been read, and reached by the feed, by then is answered with `UNAVAILABLE`: 4 s, and what it
/// may wait for Discord beside.
pub(super) const LOAD_TIME_MAX: Duration = Duration::from_millis(6_500);

/// How long a page waits for a viewer whose queue is half full.
const LADEN_PAUSE: Duration = Duration::from_millis(50);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Joined {
    success: bool,
    channel_id: String,
    #[serde(rename = "alreadyJoined", skip_serializing_if = "std::ops::Not::not")]
    is_again: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Left {
    success: bool,
    channel_id: String,
}

#[derive(Serialize)]
struct Paged<'a> {
    success: bool,
    #[serde(flatten)]
    page: PageObject<'a>,
}

/// A dependency is away.
pub(super) fn unavailable(channel: Option<ChannelId>) -> Refusal {
    Refusal::new(Code::Unavailable, "not available now, try again", channel)
}

pub(super) fn not_joined() -> Refusal {
    Refusal::new(Code::NotJoined, "the channel is not joined", None)
}

impl Hub {
    pub(super) fn join(
        self: &Rc<Self>,
        key: ViewerKey,
        channel: ChannelId,
        limit: Option<u32>,
        reply: Reply,
    ) {
        self.join_after(key, channel, limit, None, reply);
    }

    /// A join that goes on after an offset, if there is one.
    pub(super) fn join_after(
        self: &Rc<Self>,
        key: ViewerKey,
        channel: ChannelId,
        limit: Option<u32>,
        after: Option<Offset>,
        reply: Reply,
    ) {
        let state = &mut *self.state.borrow_mut();
        let Some(viewer) = state.viewers.get(&key) else {
            return;
        };
        let is_joined = viewer.joined.contains(&channel);
        if is_joined && limit.is_none() {
            return reply.done(&joined(channel, true));
        }
        if !is_joined && !viewer.joining.contains(&channel) && viewer.is_full() {
            let text = "channelId: at most 50 channels can be joined";
            return reply.refuse(&Refusal::new(Code::BadRequest, text, None));
        }
        if let Err(refusal) = state.access_or_refusal(key, channel) {
            return reply.refuse(&refusal);
        }
        let join = Join {
            viewer: key,
            limit,
            after,
            reply,
        };
        let room = state.room(channel);
        let may_have_more = room.is_partial() && !self.library.fills.is_resting(channel);
        if room.has_page(page_limit(limit)) && !may_have_more {
            return self.admit(state, channel, join);
        }
        if room.wait(join) {
            actix_rt::spawn(self.clone().load(channel, state.epoch));
        }
        if let Some(viewer) = state.viewers.get_mut(&key) {
            viewer.joining.insert(channel);
        }
        self.touch(state, key);
    }

    /// Loads a room and serves the joins that waited for it, unless the feed broke meanwhile: then they were
    /// refused, and what was loaded belongs to a feed that is no more.
    pub(super) async fn load(self: Rc<Self>, channel: ChannelId, epoch: u64) {
        let loading = self.load_history(channel);
        let history = timeout(LOAD_TIME_MAX, loading).await.ok().flatten();
        let state = &mut *self.state.borrow_mut();
        if state.epoch != epoch {
            return;
        }
        let Some(room) = state.rooms.get_mut(&channel) else {
            return;
        };
        let (joins, is_loaded) = room.on_loaded(history);
        for join in joins {
            if let Some(viewer) = state.viewers.get_mut(&join.viewer) {
                viewer.joining.remove(&channel);
            }
            let key = join.viewer;
            if is_loaded {
                self.admit(state, channel, join);
            } else {
                join.reply.refuse(&unavailable(Some(channel)));
            }
            self.touch(state, key);
        }
    }

    async fn load_history(&self, channel: ChannelId) -> Option<History> {
        let is_watched = self.state.borrow().rooms.get(&channel)?.is_watched;
        if !is_watched {
            self.watch(channel).await?;
            let state = &mut *self.state.borrow_mut();
            state.rooms.get_mut(&channel)?.is_watched = true;
        }
        self.page(channel, None, ROOM_MESSAGES).await
    }

    /// Reads a page that is to be shown: with what was posted before anybody listened, where the page would reach
    /// there, and with links that hold. After each wait for ingest it is read again: what is shown is as new as if
    /// nobody had been asked.
    pub(super) async fn page(
        &self,
        channel: ChannelId,
        before: Option<MessageId>,
        limit: u32,
    ) -> Option<History> {
        // On the heap: what asks a database is large, and here it may be asked thrice.
        let read = || Box::pin(self.read(channel, before, limit));
        let Library { links, fills, .. } = &self.library;
        let mut is_filled = fills.is_filled(channel);
        let mut history = read().await?;
        if !history.messages.has_more && !is_filled && !fills.is_resting(channel) {
            is_filled = fills.fill(channel).await;
            history = read().await?;
        }
        if links.learn(history.messages.iter_mut()).await {
            history = read().await?;
        }
        history.links_until_ms = links.sign(history.messages.iter_mut());
        history.is_partial = !history.messages.has_more && !is_filled;
        Some(history)
    }

    /// Reads a page, complete to where the feed stands now, and waits until this worker has handled all that
    /// is in it: SQL may be ahead of the feed, and a page must not show what was posted after a right that the
    /// worker still believes in was taken.
    pub(super) async fn read(
        &self,
        channel: ChannelId,
        before: Option<MessageId>,
        limit: u32,
    ) -> Option<History> {
        let target = self.feed.position();
        let parent = self.state.borrow().directory.parent_of_thread(channel);
        let read = self
            .library
            .read(channel, parent, before, limit, target)
            .await;
        let read = read.inspect_err(|error| tracing::warn!(%error, "a page could not be read"));
        let history = read.ok()?;
        if history.complete_to > self.position().sequence {
            self.reach(history.complete_to).await?;
        }
        Some(history)
    }

    /// The page, the answer, and from here on the live events. Access is decided now, at this position.
    pub(super) fn admit(self: &Rc<Self>, state: &mut State, channel: ChannelId, join: Join) {
        let (access, guild) = match state.access_or_refusal(join.viewer, channel) {
            Ok(granted) => granted,
            Err(refusal) => return join.reply.refuse(&refusal),
        };
        let (Some(viewer), Some(room)) = (
            state.viewers.get_mut(&join.viewer),
            state.rooms.get_mut(&channel),
        ) else {
            return;
        };
        let is_again = viewer.joined.contains(&channel);
        if is_again && join.limit.is_none() {
            return join.reply.done(&joined(channel, true));
        }
        if viewer.link.is_laden() {
            viewer.joining.insert(channel);
            let room_made = tokio::time::sleep(LADEN_PAUSE);
            let admitting = self
                .clone()
                .admit_after_all(room_made, channel, join, state.epoch);
            actix_rt::spawn(admitting);
            return;
        }
        if !viewer.is_kept_in(channel) {
            viewer.joining.insert(channel);
            let (hub, key) = (self.clone(), join.viewer);
            let kept = async move { hub.keep(key).await };
            actix_rt::spawn(
                self.clone()
                    .admit_after_all(kept, channel, join, state.epoch),
            );
            return;
        }
        if let Some(after) = join.after.filter(|_| !is_again) {
            return self.admit_after(state, channel, after, join);
        }
        let limit = page_limit(join.limit);
        let place = viewer.place(state.position);
        let page = if access.can_read_history {
            let holder = viewer.holder();
            room.page(channel, limit, place, &state.directory, guild, holder)
        } else {
            PageObject::empty(channel).frames(place)
        };
        let Some(page) = page else {
            return join.reply.refuse(&unavailable(Some(channel)));
        };
        viewer.link.send(&page);
        viewer.joined.insert(channel);
        if let Some(kept) = &mut viewer.kept {
            kept.on_page(channel, place, join.limit);
        }
        if room.enter(join.viewer, viewer.link.clone(), viewer.holder()) {
            self.instance.on_joined(channel, viewer.watcher());
        }
        join.reply.done(&joined(channel, is_again));
        self.touch(state, join.viewer);
    }

    /// Admits a viewer when something is done: when what they join is written down, so that they do not lose it
    /// with their connection, or when their slow line has room, as all pages at once would overflow their queue.
    async fn admit_after_all(
        self: Rc<Self>,
        done: impl Future<Output = ()>,
        channel: ChannelId,
        join: Join,
        epoch: u64,
    ) {
        done.await;
        let state = &mut *self.state.borrow_mut();
        let key = join.viewer;
        let is_wanted = state.viewers.get_mut(&key).is_some_and(|viewer| {
            // Two who wait to join the same channel are both answered.
            viewer.joining.remove(&channel) || viewer.joined.contains(&channel)
        });
        if !is_wanted || state.epoch != epoch {
            return join.reply.refuse(&not_joined());
        }
        if state.rooms.contains_key(&channel) {
            self.admit(state, channel, join);
        } else {
            join.reply.refuse(&unavailable(Some(channel)));
        }
        self.touch(state, key);
    }

    pub(super) fn leave(&self, key: ViewerKey, channel: ChannelId, reply: Reply) {
        let state = &mut *self.state.borrow_mut();
        let room = state.rooms.get_mut(&channel);
        let cancelled = room.map(|room| (room.leave(key), room.cancel(key)));
        for join in cancelled.into_iter().flat_map(|(_, joins)| joins) {
            join.reply.refuse(&not_joined());
        }
        let Some(viewer) = state.viewers.get_mut(&key) else {
            return;
        };
        let was_joining = viewer.joining.remove(&channel);
        let was_joined = viewer.joined.remove(&channel);
        if let Some(kept) = &mut viewer.kept {
            kept.on_left(channel);
        }
        if was_joined {
            self.instance.on_left(channel, viewer.watcher());
        }
        self.touch(state, key);
        if !was_joined && !was_joining {
            return reply.refuse(&not_joined());
        }
        reply.done(&Left {
            success: true,
            channel_id: channel.to_string(),
        });
    }

    pub(super) fn get_messages(
        self: &Rc<Self>,
        key: ViewerKey,
        channel: ChannelId,
        before: Option<MessageId>,
        limit: u32,
        reply: Reply,
    ) {
        let state = &mut *self.state.borrow_mut();
        if let Err(refusal) = state.access_or_refusal(key, channel) {
            return reply.refuse(&refusal);
        }
        let Some(viewer) = state
            .viewers
            .get_mut(&key)
            .filter(|v| v.paging < PAGING_MAX)
        else {
            return reply.refuse(&unavailable(Some(channel)));
        };
        viewer.paging += 1;
        let hub = self.clone();
        actix_rt::spawn(async move {
            let history = timeout(LOAD_TIME_MAX, hub.page(channel, before, limit)).await;
            let state = &mut *hub.state.borrow_mut();
            let Some(viewer) = state.viewers.get_mut(&key) else {
                return;
            };
            viewer.paging -= 1;
            let holder = viewer.holder();
            // What was seen when the question came may be hidden by now.
            let (access, guild) = match state.access_or_refusal(key, channel) {
                Ok(granted) => granted,
                Err(refusal) => return reply.refuse(&refusal),
            };
            let Some(history) = history.ok().flatten() else {
                return reply.refuse(&unavailable(Some(channel)));
            };
            let page = if access.can_read_history {
                let (run, directory) = (&history.messages, &state.directory);
                PageObject::new(channel, run, limit, guild, directory, holder)
            } else {
                PageObject::empty(channel)
            };
            reply.done(&Paged {
                success: true,
                page,
            });
        });
    }
}

impl State {
    /// What the viewer may do in a channel that they see, and its guild. Where they see none, that is forbidden,
    /// unless nobody could say yet whether they are a member: then it may be otherwise in a moment.
    pub(super) fn access_or_refusal(
        &self,
        key: ViewerKey,
        channel: ChannelId,
    ) -> Result<(Access, GuildId), Refusal> {
        self.access(key, channel).ok_or_else(|| {
            let viewer = self.viewers.get(&key);
            if viewer.is_some_and(|viewer| viewer.session.is_unresolved) {
                return unavailable(None);
            }
            Refusal::new(Code::Forbidden, "no access to this channel", None)
        })
    }
}

pub(super) fn joined(channel: ChannelId, is_again: bool) -> Joined {
    Joined {
        success: true,
        channel_id: channel.to_string(),
        is_again,
    }
}
