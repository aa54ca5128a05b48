//! Looks at those who are here from time to time: whose standing has lapsed or is to be asked about again, and
//! whose time-out has ended. Nothing of that comes as an event.

use std::rc::Rc;
use std::time::Duration;

use proto::{GuildId, UserId};
use runtime::time::now_ms;
use tokio::time::Instant;

use super::since::Since;
use super::{Hub, State, Turns};
use crate::access::{Change, Grant};
use crate::session::ViewerKey;

/// Between two looks: a time-out's end shows within this time.
const LOOK: Duration = Duration::from_secs(2);

/// The moment of a look, and that of the one before on the wall clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) since_ms: i64,
    pub(super) now_ms: i64,
}

impl Hub {
    /// Looks for as long as the worker runs.
    pub(super) async fn review(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(LOOK);
        let mut since_ms = now_ms();
        loop {
            ticks.tick().await;
            let moment = Moment {
                now: Instant::now(),
                since_ms,
                now_ms: now_ms(),
            };
            self.review_at(moment).await;
            since_ms = moment.now_ms;
        }
    }

    pub(super) async fn review_at(&self, moment: Moment) {
        let keys: Vec<_> = self.state.borrow().viewers.keys().copied().collect();
        let mut turns = Turns::begin();
        let mut lapsed = 0;
        for key in keys {
            lapsed += self.review_viewer(&mut self.state.borrow_mut(), key, moment);
            turns.end().await;
        }
        if lapsed > 0 {
            self.instance.on_lapsed(lapsed);
            tracing::error!(
                members = lapsed,
                "nobody could say in time whether they are members still: they see nothing until somebody can"
            );
        }
    }

    /// In how many guilds what is known of the viewer has lapsed now.
    fn review_viewer(&self, state: &mut State, key: ViewerKey, moment: Moment) -> u64 {
        let Some(viewer) = state.viewers.get(&key) else {
            return 0;
        };
        let Grant::User(user) = viewer.session.principal.grant else {
            return 0;
        };
        let guilds: Vec<_> = viewer.guilds().collect();
        let ended = moment.since_ms..moment.now_ms;
        let is_free_again = guilds.iter().any(|guild| {
            let until = state.directory.timed_out_until_ms(*guild, user);
            until.is_some_and(|until| ended.contains(&until))
        });
        if is_free_again {
            self.unlist(state, key, Since::no_frame());
        }
        if state.standings.has_due(user, moment.now) {
            state.unverified.insert(user);
            self.unverified.notify_one();
        }
        self.review_standing(state, user, &guilds, moment.now)
    }

    /// Ends the access of a user to the guilds where what is known of them is too old. In how many it was.
    pub(super) fn review_standing(
        &self,
        state: &mut State,
        user: UserId,
        guilds: &[GuildId],
        now: Instant,
    ) -> u64 {
        let mut lapsed = 0;
        for guild in guilds {
            if state.standings.lapses(user, *guild, now) {
                lapsed += 1;
                // What they ask meanwhile is not refused for good.
                for key in state.viewers_of.get(&user).into_iter().flatten() {
                    if let Some(viewer) = state.viewers.get_mut(key) {
                        viewer.session.is_unresolved = true;
                    }
                }
                state.unverified.insert(user);
                self.unverified.notify_one();
                self.on_change(state, Change::Member(*guild, user), Since::no_frame());
            }
        }
        lapsed
    }
}
