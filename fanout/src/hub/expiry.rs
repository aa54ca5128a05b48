//! Tokens on open sockets: they expire, are replaced in time by another one, or are taken back.

use std::rc::Rc;
use std::time::Duration;

use runtime::time::now_ms;
use serde::Serialize;

use super::since::Since;
use super::{Hub, State};
use crate::auth::{AuthError, Principal};
use crate::request::Refusal;
use crate::session::{ViewerKey, succeed};
use crate::transport::Reply;

/// How long a client has for `refresh_token` once its token has expired (contract.md §1), in seconds.
const GRACE_SECONDS: i64 = 25;

/// Between two looks at the clock: tokens expire at whole seconds.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Refreshed {
    success: bool,
}

impl Hub {
    /// Watches the clock for as long as the worker runs.
    pub(super) async fn watch_expiry(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            self.state.borrow_mut().expire(now_ms() / 1_000);
        }
    }

    /// Puts another token in the place of a viewer's own, and looks again at what they have joined.
    pub(super) async fn refresh(&self, key: ViewerKey, token: &str, reply: Reply) {
        let opened = self.authority.open(token, now_ms() / 1_000).await;
        let state = &mut *self.state.borrow_mut();
        let Some(viewer) = state.viewers.get_mut(&key) else {
            return;
        };
        let present = &viewer.session.principal;
        let succeeds = |next: Principal| succeed(present, &next).map(|()| next);
        match opened.map_err(Refusal::from).and_then(succeeds) {
            Ok(principal) => {
                viewer.session.principal = principal;
                viewer.grace_ends = None;
            }
            Err(refusal) => return reply.refuse(&refusal),
        }
        reply.done(&Refreshed { success: true });
        self.rename_session(state, key);
        for channel in state.hidden_of(key) {
            self.put_out(state, key, channel, Since::no_frame());
        }
        self.unlist(state, key, Since::no_frame());
    }

    /// Tokens were taken back: whoever is here by one of them goes, for good.
    pub fn on_revoked(&self, is_revoked: impl Fn(&Principal) -> bool) {
        let state = self.state.borrow();
        let viewers = state.viewers.values();
        for viewer in viewers.filter(|viewer| is_revoked(&viewer.session.principal)) {
            viewer.link.emit_error(&AuthError::Revoked.into());
            viewer.link.disconnect();
        }
    }
}

impl State {
    /// Tells whose token has expired, and ends the sessions of those who were told and did nothing.
    pub(super) fn expire(&mut self, now: i64) {
        for viewer in self.viewers.values_mut() {
            match viewer.grace_ends {
                None if viewer.session.principal.ends() <= now => {
                    viewer.grace_ends = Some(now + GRACE_SECONDS);
                    viewer.link.emit_error(&AuthError::Expired.into());
                }
                Some(ends) if ends <= now => viewer.link.disconnect(),
                _ => {}
            }
        }
    }
}
