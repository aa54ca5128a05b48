//! Discord's limits, kept before they are met: buckets as headers tell of them, 50 calls a second over all, and
//! the budget of refused calls, beyond which the whole address is shut out.
//!
//! Time comes in as a parameter; nothing here waits or asks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer::{Said, Scope, TooMany};
use super::route::Route;

/// Calls of one bucket at once, once its limits are known; before, one finds them out.
const UNDER_WAY_MAX: usize = 8;
/// Discord allows 50 a second over all: with these two no second has more (10 + 40).
const GLOBAL_INTERVAL: Duration = Duration::from_millis(25);
const GLOBAL_BURST: u32 = 10;
/// Discord shuts an address out after 10,000 calls that it refused within ten minutes (401, 403, 429 that are
/// our fault); far below that we stop by ourselves.
const REFUSED_MAX: u32 = 1_000;
const REFUSED_WINDOW: Duration = Duration::from_mins(10);
/// After a refused token nobody asks again for so long: it was reset, and asking does not help.
const UNAUTHORIZED: Duration = Duration::from_secs(30);
/// Buckets that are remembered; those that nobody uses and that are full go first.
const BUCKETS_MAX: usize = 4_096;
/// Where a bucket is used up and does not say when it is full again.
const RECHECK: Duration = Duration::from_millis(250);

/// Whether a call may go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Go,
    /// Not before this moment.
    At(Instant),
    /// The budget of refused calls is used up until then.
    Spent(Instant),
    /// The token was refused a moment ago.
    Unauthorized,
    /// The bucket goes by another name by now: ask for it again.
    Renamed,
}

/// One bucket: who may be under way, and what is left.
#[derive(Debug)]
pub(super) struct Bucket {
    /// One place until its limits are known.
    pub(super) places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_known: bool,
    limit: Option<u32>,
    remaining: Option<u32>,
    reset_at: Option<Instant>,
    blocked_until: Option<Instant>,
}

impl State {
    /// The window is over: all calls of the next are left.
    fn refill(&mut self, now: Instant) {
        if self.reset_at.is_some_and(|at| at <= now) {
            self.reset_at = None;
            self.remaining = self.limit;
        }
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(1)),
            state: Mutex::default(),
        }
    }
}

impl Bucket {
    fn try_take(&self, now: Instant) -> Turn {
        let state = &mut *self.state.lock();
        if let Some(until) = state.blocked_until.filter(|until| *until > now) {
            return Turn::At(until);
        }
        state.refill(now);
        match &mut state.remaining {
            Some(0) => Turn::At(state.reset_at.unwrap_or(now + RECHECK)),
            Some(remaining) => {
                *remaining -= 1;
                Turn::Go
            }
            None => Turn::Go,
        }
    }

    /// An answer came: what it says counts, unless an older answer of the same window knew of fewer.
    fn on_said(&self, said: Option<&Said>, now: Instant) {
        let state = &mut *self.state.lock();
        if !std::mem::replace(&mut state.is_known, true) {
            self.places.add_permits(UNDER_WAY_MAX - 1);
        }
        let Some(said) = said else {
            return;
        };
        state.refill(now);
        state.remaining = Some(state.remaining.unwrap_or(u32::MAX).min(said.remaining));
        state.limit = Some(said.limit);
        state.reset_at = state.reset_at.max(Some(now + said.reset_after));
    }

    fn block(&self, until: Instant) {
        let state = &mut *self.state.lock();
        state.blocked_until = state.blocked_until.max(Some(until));
    }

    /// Nothing would be forgotten with it.
    fn is_idle(&self, now: Instant) -> bool {
        let state = self.state.lock();
        let over = |at: Option<Instant>| at.is_none_or(|at| at <= now);
        over(state.reset_at) && over(state.blocked_until)
    }
}

/// All limits of one bot.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Discord's names of buckets, by route.
    names: HashMap<String, String>,
    buckets: HashMap<(String, String), Arc<Bucket>>,
    /// When the global burst would be whole again, plus its length: GCRA.
    global: Option<Instant>,
    blocked_until: Option<Instant>,
    refused: u32,
    refused_since: Option<Instant>,
    unauthorized_until: Option<Instant>,
}

impl Limits {
    /// The bucket that a route is counted in, as far as is known.
    pub(super) fn bucket(&mut self, route: &Route, now: Instant) -> Arc<Bucket> {
        if self.buckets.len() >= BUCKETS_MAX {
            let in_use = |bucket: &Arc<Bucket>| Arc::strong_count(bucket) > 1;
            self.buckets
                .retain(|_, bucket| in_use(bucket) || !bucket.is_idle(now));
        }
        Arc::clone(self.buckets.entry(self.key(route)).or_default())
    }

    fn key(&self, route: &Route) -> (String, String) {
        let name = self.names.get(&route.template).unwrap_or(&route.template);
        (name.clone(), route.major.clone())
    }

    /// Takes a call's turn, in its bucket and over all.
    pub(super) fn try_take(&mut self, route: &Route, bucket: &Arc<Bucket>, now: Instant) -> Turn {
        if self.unauthorized_until.is_some_and(|until| until > now) {
            return Turn::Unauthorized;
        }
        if let Some(until) = self.spent_until(now) {
            return Turn::Spent(until);
        }
        if let Some(until) = self.blocked_until.filter(|until| *until > now) {
            return Turn::At(until);
        }
        if !Arc::ptr_eq(&self.bucket(route, now), bucket) {
            return Turn::Renamed;
        }
        let full = self.global.unwrap_or(now).max(now);
        let burst = GLOBAL_INTERVAL * (GLOBAL_BURST - 1);
        if full > now + burst {
            return Turn::At(full - burst);
        }
        let turn = bucket.try_take(now);
        if turn == Turn::Go {
            self.global = Some(full + GLOBAL_INTERVAL);
        }
        turn
    }

    /// An answer came, whatever its status.
    pub(super) fn on_answer(
        &mut self,
        route: &Route,
        bucket: &Arc<Bucket>,
        said: Option<&Said>,
        now: Instant,
    ) {
        bucket.on_said(said, now);
        let Some(name) = said.and_then(|said| said.bucket.clone()) else {
            return;
        };
        if self.names.len() >= BUCKETS_MAX {
            self.names.clear();
        }
        self.names.insert(route.template.clone(), name);
        let named = self
            .buckets
            .entry(self.key(route))
            .or_insert_with(|| Arc::clone(bucket));
        if !Arc::ptr_eq(named, bucket) {
            named.on_said(said, now);
        }
    }

    /// Discord refused a call for its number.
    pub(super) fn on_too_many(&mut self, bucket: &Bucket, too_many: TooMany, now: Instant) {
        let until = now + too_many.wait;
        match too_many.scope {
            Scope::Global => self.blocked_until = self.blocked_until.max(Some(until)),
            Scope::User | Scope::Shared => bucket.block(until),
        }
        if too_many.scope != Scope::Shared {
            self.on_refused(now);
        }
    }

    /// Discord refused the token: nobody asks again at once, and not never.
    pub(super) fn on_unauthorized(&mut self, now: Instant) {
        self.unauthorized_until = Some(now + UNAUTHORIZED);
        self.on_refused(now);
    }

    /// Discord refused a call (401, 403, or a 429 of ours). True if the budget is used up by it.
    pub(super) fn on_refused(&mut self, now: Instant) -> bool {
        let is_over = |since: Instant| now.duration_since(since) >= REFUSED_WINDOW;
        if self.refused_since.is_none_or(is_over) {
            self.refused_since = Some(now);
            self.refused = 0;
        }
        self.refused += 1;
        self.refused == REFUSED_MAX
    }

    fn spent_until(&self, now: Instant) -> Option<Instant> {
        let until = self.refused_since? + REFUSED_WINDOW;
        (self.refused >= REFUSED_MAX && until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn said(bucket: &str, limit: u32, remaining: u32, reset_after: Duration) -> Said {
        Said {
            bucket: Some(bucket.to_owned()),
            limit,
            remaining,
            reset_after,
        }
    }

    fn route(n: u32) -> Route {
        Route::of(&format!("/guilds/{n}/members/7"))
    }

    #[test]
    fn a_bucket_that_is_used_up_waits_for_its_reset_and_no_other_waits_for_it() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let bucket = limits.bucket(&route(1), now);
        assert_eq!(limits.try_take(&route(1), &bucket, now), Turn::Go);
        limits.on_answer(&route(1), &bucket, Some(&said("b", 5, 1, SECOND)), now);
        assert!(
            Arc::ptr_eq(&bucket, &limits.bucket(&route(1), now)),
            "its name is new, not its state"
        );
        assert_eq!(limits.try_take(&route(1), &bucket, now), Turn::Go);
        assert_eq!(
            limits.try_take(&route(1), &bucket, now),
            Turn::At(now + SECOND)
        );
        let other = limits.bucket(&route(2), now);
        assert_eq!(limits.try_take(&route(2), &other, now), Turn::Go);
        for _ in 0..5 {
            assert_eq!(limits.try_take(&route(1), &bucket, now + SECOND), Turn::Go);
        }
        assert!(matches!(
            limits.try_take(&route(1), &bucket, now + SECOND),
            Turn::At(_)
        ));
    }

    #[test]
    fn an_older_answer_gives_no_calls_back() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let bucket = limits.bucket(&route(1), now);
        limits.on_answer(&route(1), &bucket, Some(&said("b", 5, 2, SECOND)), now);
        limits.on_answer(&route(1), &bucket, Some(&said("b", 5, 4, SECOND)), now);
        for turn in [Turn::Go, Turn::Go, Turn::At(now + SECOND)] {
            assert_eq!(limits.try_take(&route(1), &bucket, now), turn);
        }
    }

    #[test]
    fn routes_that_discord_counts_together_share_what_is_left() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let paths = [
            Route::of("/channels/1/messages"),
            Route::of("/channels/1/messages/2"),
        ];
        for path in &paths {
            let bucket = limits.bucket(path, now);
            assert_eq!(limits.try_take(path, &bucket, now), Turn::Go);
            limits.on_answer(path, &bucket, Some(&said("same", 5, 1, SECOND)), now);
        }
        let [first, second] = &paths;
        let bucket = limits.bucket(first, now);
        assert!(Arc::ptr_eq(&bucket, &limits.bucket(second, now)));
        assert_eq!(limits.try_take(first, &bucket, now), Turn::Go);
        assert_eq!(
            limits.try_take(second, &bucket, now),
            Turn::At(now + SECOND)
        );
    }

    #[test]
    fn no_second_has_more_than_fifty_calls() {
        let (mut limits, begun) = (Limits::default(), Instant::now());
        let mut taken = Vec::new();
        for ms in 0..3_000 {
            let now = begun + Duration::from_millis(ms);
            let route = Route::of(&format!("/guilds/{}", ms + 1));
            let bucket = limits.bucket(&route, now);
            if limits.try_take(&route, &bucket, now) == Turn::Go {
                taken.push(now);
            }
        }
        for (index, at) in taken.iter().enumerate() {
            let within = taken
                .iter()
                .skip(index)
                .take_while(|other| **other < *at + SECOND);
            assert!(within.count() <= 50);
        }
        assert!(taken.len() > 100, "{}", taken.len());
    }

    #[test]
    fn a_429_stops_those_whose_limit_it_is() {
        let now = Instant::now();
        for (scope, stops_others) in [
            (Scope::User, false),
            (Scope::Shared, false),
            (Scope::Global, true),
        ] {
            let mut limits = Limits::default();
            let (one, two) = (limits.bucket(&route(1), now), limits.bucket(&route(2), now));
            limits.on_too_many(
                &one,
                TooMany {
                    scope,
                    wait: SECOND,
                },
                now,
            );
            assert_eq!(
                limits.try_take(&route(1), &one, now),
                Turn::At(now + SECOND)
            );
            let other = limits.try_take(&route(2), &two, now);
            assert_eq!(other != Turn::Go, stops_others, "{scope:?}");
            assert_eq!(limits.try_take(&route(1), &one, now + SECOND), Turn::Go);
            assert_eq!(limits.refused, u32::from(scope != Scope::Shared));
        }
    }

    #[test]
    fn refused_calls_stop_all_calls_until_their_window_is_over() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let bucket = limits.bucket(&route(1), now);
        let spent: u32 = (0..REFUSED_MAX)
            .map(|_| u32::from(limits.on_refused(now)))
            .sum();
        assert_eq!(spent, 1, "it is said once");
        let end = now + REFUSED_WINDOW;
        assert_eq!(
            limits.try_take(&route(1), &bucket, now + SECOND),
            Turn::Spent(end)
        );
        assert_eq!(limits.try_take(&route(1), &bucket, end), Turn::Go);
        limits.on_refused(end);
        assert_eq!(limits.try_take(&route(1), &bucket, end + SECOND), Turn::Go);
    }

    #[test]
    fn a_refused_token_is_tried_again_after_a_while() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let bucket = limits.bucket(&route(1), now);
        limits.on_unauthorized(now);
        assert_eq!(limits.try_take(&route(1), &bucket, now), Turn::Unauthorized);
        assert_eq!(
            limits.try_take(&route(1), &bucket, now + UNAUTHORIZED),
            Turn::Go
        );
    }
}
