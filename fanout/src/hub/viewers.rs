//! Viewers come and go, and ask.

use std::rc::Rc;

use actix_socketio::Close;
use proto::UserId;
use proto::event::User;
use runtime::time::iso;
use serde::Serialize;

use super::{Hub, State};
use crate::access::Grant;
use crate::request::Request;
use crate::session::{Session, Viewer, ViewerKey};
use crate::transport::{Link, Reply};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserInfo<'a> {
    id: String,
    username: &'a str,
    display_name: Option<&'a str>,
    avatar: Option<String>,
    is_bot: bool,
    created_at: Option<String>,
}

impl Hub {
    /// Waits until the directory is there. If that takes too long the transport closes the connection for its
    /// missing CONNECT, and the client comes back: after a refusal an official client would not.
    pub async fn begun(&self) {
        let mut begun = self.begun.subscribe();
        if begun.wait_for(|begun| *begun).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn new_key(&self) -> ViewerKey {
        let key = ViewerKey::new(self.next_key.get());
        self.next_key.set(self.next_key.get() + 1);
        key
    }

    /// A viewer is connected: they are told who they are and what they see.
    pub fn on_connected(&self, session: Session, link: Link) -> ViewerKey {
        let key = self.new_key();
        let state = &mut *self.state.borrow_mut();
        if !*self.begun.borrow() {
            // The feed broke while they were authenticated: there is nothing to show, and they come back.
            link.close(Close::GoingAway);
        }
        self.settle_in(state, key, session, link);
        state.list(key);
        state.introduce(key);
        key
    }

    /// A viewer is here.
    pub(super) fn settle_in(
        &self,
        state: &mut State,
        key: ViewerKey,
        session: Session,
        link: Link,
    ) {
        if let Grant::User(user) = session.principal.grant {
            state.viewers_of.entry(user).or_default().push(key);
            if session.is_unresolved {
                state.unverified.insert(user);
                self.unverified.notify_one();
            }
        }
        state
            .viewers
            .insert(key, Box::new(Viewer::new(session, link)));
    }

    /// A viewer is gone.
    pub fn on_disconnected(&self, key: ViewerKey) {
        let state = &mut *self.state.borrow_mut();
        let Some(mut viewer) = state.viewers.remove(&key) else {
            return;
        };
        self.leave_session(state, &mut viewer);
        if let Grant::User(user) = viewer.session.principal.grant
            && let Some(others) = state.viewers_of.get_mut(&user)
        {
            others.retain(|other| *other != key);
            if others.is_empty() {
                state.viewers_of.remove(&user);
            }
        }
        let watcher = viewer.watcher();
        for channel in viewer.joined {
            if let Some(room) = state.rooms.get_mut(&channel) {
                room.leave(key);
            }
            self.instance.on_left(channel, watcher);
        }
    }

    /// A viewer asks.
    pub fn on_request(self: &Rc<Self>, key: ViewerKey, request: Request, reply: Reply) {
        match request {
            Request::GetChannels => self.get_channels(key, reply),
            Request::Join { channel, limit } => {
                let reply = reply.counted(self.instance.joins.clone());
                self.join(key, channel, limit, reply);
            }
            Request::Resume {
                channel,
                limit,
                after,
            } => {
                let reply = reply.counted(self.instance.joins.clone());
                self.resume(key, channel, limit, after, reply);
            }
            Request::Leave { channel } => self.leave(key, channel, reply),
            Request::GetMessages {
                channel,
                before,
                limit,
            } => self.get_messages(key, channel, before, limit, reply),
        }
    }
}

impl State {
    /// `user_info`: what is not known is null.
    pub(super) fn introduce(&self, key: ViewerKey) {
        let Some(viewer) = self.viewers.get(&key) else {
            return;
        };
        let principal = &viewer.session.principal;
        let known = match principal.grant {
            Grant::User(user) => self.user(user),
            Grant::Embed(_) => None,
        };
        let info = UserInfo {
            id: principal.user.to_string(),
            username: &principal.username,
            display_name: known.and_then(|user| user.display_name.as_deref()),
            avatar: known.map(|user| self.directory.cdn().avatar(user)),
            is_bot: principal.is_bot || known.is_some_and(|user| user.bot),
            created_at: i64::try_from(principal.user.created_ms()).ok().map(iso),
        };
        viewer.link.emit("user_info", &info);
    }

    fn user(&self, user: UserId) -> Option<&User> {
        self.directory.member(user)?.user.as_ref()
    }
}
