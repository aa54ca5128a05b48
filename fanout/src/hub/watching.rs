//! Requests of plain HTTP: somebody asks once, is answered as a connected viewer would be, and is gone.

use std::rc::Rc;

use proto::ChannelId;
use serde_json::Value;
use tokio::sync::oneshot;

use super::Hub;
use super::joining::unavailable;
use crate::request::{Asked, Refusal, Request};
use crate::session::{Session, Viewer, ViewerKey};
use crate::transport::{Link, Reply};

impl Hub {
    /// Answers one request of somebody who does not stay.
    ///
    /// # Errors
    /// What a connected viewer would be refused with.
    pub async fn ask_once(
        self: &Rc<Self>,
        session: Session,
        request: Request,
    ) -> Result<Value, Refusal> {
        // Dropped with the request when its client goes away.
        let guest = self.invite(session);
        self.answer(guest.key, request).await
    }

    /// Whether somebody who does not stay sees a channel now.
    ///
    /// # Errors
    /// They do not, or nobody can say yet.
    pub fn may_see(&self, session: Session, channel: ChannelId) -> Result<(), Refusal> {
        let guest = self.invite(session);
        let access = self.state.borrow().access_or_refusal(guest.key, channel);
        access.map(drop)
    }

    fn invite(&self, session: Session) -> Guest<'_> {
        let key = self.new_key();
        let viewer = Box::new(Viewer::new(session, Link::Nowhere));
        self.state.borrow_mut().viewers.insert(key, viewer);
        Guest { hub: self, key }
    }

    /// A connected viewer's request whose answer is wanted here.
    ///
    /// # Errors
    /// What they are refused with.
    pub async fn answer(
        self: &Rc<Self>,
        key: ViewerKey,
        request: Request,
    ) -> Result<Value, Refusal> {
        let (sender, answer) = oneshot::channel();
        let asked = Ok(Asked::Request(request));
        self.on_asked(key, asked, false, Reply::http(sender));
        answer.await.unwrap_or_else(|_| Err(unavailable(None)))
    }
}

struct Guest<'a> {
    hub: &'a Hub,
    key: ViewerKey,
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.hub.on_disconnected(self.key);
    }
}
