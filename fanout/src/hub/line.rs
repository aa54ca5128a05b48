//! What a viewer asks, one after the other: counted against their quota, and answered in the order it came.
//!
//! Asking what they may still spend can wait for another machine; what they send meanwhile stands in a line,
//! which is bounded.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::Hub;
use crate::auth::AuthError;
use crate::request::{Asked, Refusal, is_free};
use crate::session::ViewerKey;
use crate::transport::Reply;

/// Events of one viewer that may stand in line: more than twice what `RATE_LIMIT_MAX_REQUESTS` lets through at
/// once by default. One more is refused at once.
const LINE_MAX: usize = 256;

/// What a client is told to wait whose line is full: by then it has moved on.
const FULL_LINE: Duration = Duration::from_secs(1);

/// An event that stands in line.
#[derive(Debug)]
pub struct Waiting {
    asked: Result<Asked, Refusal>,
    /// It costs nothing, and is heard also when the token has expired.
    is_free: bool,
    reply: Reply,
}

impl Waiting {
    /// It brings another token.
    pub(crate) fn is_refresh(&self) -> bool {
        matches!(self.asked, Ok(Asked::Refresh(_)))
    }
}

impl Hub {
    /// A viewer sends an event.
    pub fn on_event(
        self: &Rc<Self>,
        key: ViewerKey,
        name: &str,
        payload: Option<&RawValue>,
        reply: Reply,
    ) {
        self.on_asked(key, Asked::read(name, payload), is_free(name), reply);
    }

    /// A viewer asks what their transport has read.
    pub fn on_asked(
        self: &Rc<Self>,
        key: ViewerKey,
        asked: Result<Asked, Refusal>,
        is_free: bool,
        reply: Reply,
    ) {
        let state = &mut *self.state.borrow_mut();
        let Some(viewer) = state.viewers.get_mut(&key) else {
            return;
        };
        if viewer.line.len() >= LINE_MAX || viewer.is_refreshing(&asked) {
            return reply.refuse(&Refusal::rate_limited("Too many requests", FULL_LINE));
        }
        viewer.line.push_back(Waiting {
            asked,
            is_free,
            reply,
        });
        if !std::mem::replace(&mut viewer.is_served, true) {
            actix_rt::spawn(self.clone().serve(key));
        }
    }

    /// Answers a viewer's events until none is left.
    async fn serve(self: Rc<Self>, key: ViewerKey) {
        while let Some(next) = self.next_of(key) {
            if !next.is_free
                && let Err(refusal) = self.admit_event(key).await
            {
                next.reply.refuse(&refusal);
                continue;
            }
            match next.asked {
                Err(refusal) => next.reply.refuse(&refusal),
                Ok(Asked::Refresh(token)) => self.refresh(key, &token, next.reply).await,
                Ok(Asked::Request(request)) => self.on_request(key, request, next.reply),
            }
            tokio::task::consume_budget().await;
        }
    }

    fn next_of(&self, key: ViewerKey) -> Option<Waiting> {
        let state = &mut *self.state.borrow_mut();
        let viewer = state.viewers.get_mut(&key)?;
        let next = viewer.line.pop_front();
        viewer.is_served = next.is_some();
        if next.is_none() {
            // Most viewers ask nothing more for as long as they are here.
            viewer.line = VecDeque::new();
        }
        next
    }

    /// Whether a viewer's next event may be answered.
    async fn admit_event(&self, key: ViewerKey) -> Result<(), Refusal> {
        let (principal, address) = {
            let state = self.state.borrow();
            let Some(viewer) = state.viewers.get(&key) else {
                return Ok(());
            };
            if viewer.grace_ends.is_some() {
                return Err(AuthError::Expired.into());
            }
            (viewer.session.principal.clone(), viewer.session.address)
        };
        let spent = self.limits.spend(principal.spender(), address).await;
        spent.map_err(Refusal::from)
    }
}
