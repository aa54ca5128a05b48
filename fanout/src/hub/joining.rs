//! Joins and pages: a room is loaded once, however many wait for it, and served at one position of the feed.

use std::rc::Rc;

use proto::{ChannelId, MessageId};
use serde::Serialize;

use super::{Hub, State};
use crate::history::{self, History};
use crate::object::message_object;
use crate::request::{Code, Refusal, page_limit};
use crate::room::{Join, PageObject, ROOM_MESSAGES, empty_page};
use crate::session::ViewerKey;
use crate::transport::Reply;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Joined {
    success: bool,
    channel_id: String,
    #[serde(rename = "alreadyJoined", skip_serializing_if = "std::ops::Not::not")]
    is_again: bool,
}

#[derive(Serialize)]
struct Paged<'a, M> {
    success: bool,
    #[serde(flatten)]
    page: PageObject<'a, M>,
}

/// A dependency is away.
pub(super) fn unavailable(channel: Option<ChannelId>) -> Refusal {
    Refusal::new(Code::Unavailable, "not available now, try again", channel)
}

/// The viewer may not, or there is no such channel: nobody learns which, and the id is not repeated.
fn forbidden() -> Refusal {
    Refusal::new(Code::Forbidden, "no access to this channel", None)
}

impl Hub {
    pub(super) fn join(
        self: &Rc<Self>,
        key: ViewerKey,
        channel: ChannelId,
        limit: Option<u32>,
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
        if !is_joined && viewer.is_full() {
            let text = "channelId: at most 50 channels can be joined";
            return reply.refuse(&Refusal::new(Code::BadRequest, text, None));
        }
        let limit = page_limit(limit);
        if state.access(key, channel).is_none() {
            return self.join_unseen(state, key, channel, limit, reply);
        }
        self.join_seen(state, key, channel, limit, reply);
    }

    /// Serves a join from the room, or lets it wait for the room.
    fn join_seen(
        self: &Rc<Self>,
        state: &mut State,
        key: ViewerKey,
        channel: ChannelId,
        limit: u32,
        reply: Reply,
    ) {
        let join = Join {
            viewer: key,
            limit,
            reply,
        };
        let room = state.rooms.entry(channel).or_default();
        if room.has_page(limit) {
            return self.admit(state, channel, join);
        }
        if room.wait(join) {
            actix_rt::spawn(self.clone().load(channel));
        }
        if let Some(viewer) = state.viewers.get_mut(&key) {
            viewer.joining += 1;
        }
    }

    /// A channel that the viewer does not see is forbidden, unless nobody could say whether they are a member.
    fn join_unseen(
        self: &Rc<Self>,
        state: &State,
        key: ViewerKey,
        channel: ChannelId,
        limit: u32,
        reply: Reply,
    ) {
        let viewer = state.viewers.get(&key);
        let Some(viewer) = viewer.filter(|viewer| viewer.session.is_unresolved) else {
            return reply.refuse(&forbidden());
        };
        let grant = viewer.session.principal.grant.clone();
        let hub = self.clone();
        actix_rt::spawn(async move {
            let is_resolved = hub.resolve(&grant).await;
            let state = &mut *hub.state.borrow_mut();
            let Some(viewer) = state.viewers.get_mut(&key) else {
                return;
            };
            viewer.session.is_unresolved = !is_resolved;
            if state.access(key, channel).is_some() {
                hub.join_seen(state, key, channel, limit, reply);
            } else if is_resolved {
                reply.refuse(&forbidden());
            } else {
                reply.refuse(&unavailable(None));
            }
        });
    }

    /// Loads a room and serves the joins that waited for it.
    async fn load(self: Rc<Self>, channel: ChannelId) {
        let history = self.load_history(channel).await;
        let state = &mut *self.state.borrow_mut();
        let Some(room) = state.rooms.get_mut(&channel) else {
            return;
        };
        let (joins, is_loaded) = room.on_loaded(history);
        for join in joins {
            if let Some(viewer) = state.viewers.get_mut(&join.viewer) {
                viewer.joining -= 1;
            }
            if is_loaded {
                self.admit(state, channel, join);
            } else {
                join.reply.refuse(&unavailable(Some(channel)));
            }
        }
    }

    async fn load_history(&self, channel: ChannelId) -> Option<History> {
        let is_watched = self.state.borrow().rooms.get(&channel)?.is_watched;
        if !is_watched {
            self.watch(channel).await?;
            self.state.borrow_mut().rooms.get_mut(&channel)?.is_watched = true;
        }
        self.read_reached(channel, None, ROOM_MESSAGES).await
    }

    /// Reads a page, and waits until this worker has handled all that is in it: SQL may be ahead of the feed,
    /// and a page must not show what was posted after a right that the worker still believes in was taken.
    async fn read_reached(
        &self,
        channel: ChannelId,
        before: Option<MessageId>,
        limit: u32,
    ) -> Option<History> {
        let history = self.read(channel, before, limit).await?;
        if history.complete_to > self.position().sequence {
            self.reach(history.complete_to).await?;
        }
        Some(history)
    }

    async fn read(
        &self,
        channel: ChannelId,
        before: Option<MessageId>,
        limit: u32,
    ) -> Option<History> {
        let target = self.position();
        let read = history::read(&self.store, &*self.broker, channel, before, limit, target).await;
        read.inspect_err(|error| tracing::warn!(%error, "a page could not be read"))
            .ok()
    }

    /// The page, the answer, and from here on the live events. Access is decided now, at this position.
    fn admit(&self, state: &mut State, channel: ChannelId, join: Join) {
        let Some((access, guild)) = state.access(join.viewer, channel) else {
            return join.reply.refuse(&forbidden());
        };
        let (Some(viewer), Some(room)) = (
            state.viewers.get_mut(&join.viewer),
            state.rooms.get_mut(&channel),
        ) else {
            return;
        };
        let page = if access.can_read_history {
            room.page(channel, join.limit, state.position, &state.directory, guild)
        } else {
            empty_page(channel, state.position)
        };
        let Some(page) = page else {
            return join.reply.refuse(&unavailable(Some(channel)));
        };
        viewer.link.send(&page);
        let is_new = viewer.joined.insert(channel);
        if room.enter(join.viewer, viewer.link.clone()) {
            self.instance.on_joined(channel);
        }
        join.reply.done(&joined(channel, !is_new));
    }

    pub(super) fn get_messages(
        self: &Rc<Self>,
        key: ViewerKey,
        channel: ChannelId,
        before: Option<MessageId>,
        limit: u32,
        reply: Reply,
    ) {
        let hub = self.clone();
        actix_rt::spawn(async move {
            if hub.state.borrow().access(key, channel).is_none() {
                return reply.refuse(&forbidden());
            }
            let history = hub.read_reached(channel, before, limit).await;
            let state = &*hub.state.borrow();
            // What was seen when the question came may be hidden by now.
            let Some((access, guild)) = state.access(key, channel) else {
                return reply.refuse(&forbidden());
            };
            let Some(history) = history else {
                return reply.refuse(&unavailable(Some(channel)));
            };
            let (newest, has_more) = if access.can_read_history {
                let newest: Vec<_> = history.messages.newest(limit as usize).collect();
                let has_more = history.messages.has_more || newest.len() < history.messages.len();
                (newest, has_more)
            } else {
                (Vec::new(), false)
            };
            let oldest = newest.first().map(|message| message.id.to_string());
            let objects: Vec<_> = newest
                .iter()
                .map(|m| message_object(m, guild, &state.directory))
                .collect();
            reply.done(&Paged {
                success: true,
                page: PageObject {
                    channel_id: channel.to_string(),
                    messages: &objects,
                    has_more,
                    next_cursor: oldest.filter(|_| has_more),
                },
            });
        });
    }
}

fn joined(channel: ChannelId, is_again: bool) -> Joined {
    Joined {
        success: true,
        channel_id: channel.to_string(),
        is_again,
    }
}
