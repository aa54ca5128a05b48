//! Tokens that were taken back: the whole list in this process's memory, kept true by the database, by what is
//! cached in Redis and by what instances tell each other.
//!
//! A token is taken back where it is told last as well as where it is told first: it is in memory and its sockets
//! close before anything is written, and an instance that missed the telling reads the list again when it is
//! connected again. Knows nothing of sockets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use parking_lot::RwLock;
use prost::Message as _;
use proto::event::Revoked;
use proto::subject;
use registry::{Registry, State};
use runtime::Health;
use runtime::time::now_ms;
use store::Store;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::token::{Principal, Revocation};
use crate::notices;

/// Revocations that a worker may be behind by; one that is further behind looks at the whole list.
const TOLD_MAX: usize = 1_024;

/// A database that takes longer is away: somebody waits for the logout.
const WRITE_TIME_MAX: Duration = Duration::from_secs(2);

/// Between two tries to load the list.
const RETRY: Duration = Duration::from_millis(500);

/// The list is read again after so long: a telling that nobody heard is made up for.
const RELOAD: Duration = Duration::from_mins(1);

/// Nobody could write it down: it holds on the instances that were told, until they restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither the database nor Redis took the revocation")]
pub struct Forgetful;

/// The list. Clones share it.
#[derive(Debug, Clone)]
pub struct Revocations(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    list: RwLock<HashMap<String, Revocation>>,
    told: broadcast::Sender<Revocation>,
}

/// What the list is kept true by.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Where instances tell each other.
    pub broker: Arc<dyn Broker>,
    /// Where the list is kept.
    pub store: Store,
    /// Where it is cached.
    pub registry: Registry,
}

impl Default for Revocations {
    fn default() -> Self {
        Self(Arc::new(Shared {
            list: RwLock::default(),
            told: broadcast::Sender::new(TOLD_MAX),
        }))
    }
}

impl Revocations {
    /// Whether a token was taken back.
    pub fn is_revoked(&self, principal: &Principal) -> bool {
        let list = self.0.list.read();
        if list.is_empty() {
            return false;
        }
        let keys = principal.revocation_keys();
        let mut named = keys.iter().filter_map(|key| list.get(key));
        named.any(|revocation| principal.is_revoked_by(revocation))
    }

    /// What is taken back from now on.
    pub fn told(&self) -> broadcast::Receiver<Revocation> {
        self.0.told.subscribe()
    }

    /// Adds a revocation; of two of one key the later times hold. Workers are told of what is new.
    pub fn add(&self, revocation: Revocation) {
        let mut list = self.0.list.write();
        let known = list
            .entry(revocation.key.clone())
            .or_insert_with(|| Revocation {
                until: i64::MIN,
                not_before: i64::MIN,
                ..revocation.clone()
            });
        let is_news = revocation.until > known.until || revocation.not_before > known.not_before;
        known.until = known.until.max(revocation.until);
        known.not_before = known.not_before.max(revocation.not_before);
        drop(list);
        if is_news && self.0.told.send(revocation).is_err() {
            tracing::trace!("no worker listens for revocations");
        }
    }

    /// Forgets what has ended.
    fn prune(&self, now: i64) {
        self.0.list.write().retain(|_, one| one.until > now);
    }

    /// Takes a token back: here at once, on the other instances as they hear it, and for good.
    ///
    /// # Errors
    /// It could be written down nowhere.
    pub async fn revoke(&self, revocation: Revocation, to: &Sources) -> Result<(), Forgetful> {
        self.add(revocation.clone());
        let told = Revoked {
            key: revocation.key.clone(),
            until: revocation.until,
            not_before: revocation.not_before,
        };
        let telling = to
            .broker
            .notify(subject::REVOKED, told.encode_to_vec().into());
        let not_before = Some(revocation.not_before).filter(|at| *at > 0);
        let storing = to.store.revoke(
            &revocation.key,
            revocation.until.saturating_mul(1_000),
            not_before.map(|at| at.saturating_mul(1_000)),
        );
        let (until, not_before) = (revocation.until, revocation.not_before);
        let caching = to
            .registry
            .put_revocation(&revocation.key, until, not_before);
        let (telling, storing, caching) = tokio::join!(
            timeout(WRITE_TIME_MAX, telling),
            timeout(WRITE_TIME_MAX, storing),
            timeout(WRITE_TIME_MAX, caching),
        );
        if !matches!(telling, Ok(Ok(()))) {
            tracing::warn!("the other instances could not be told of a revocation");
        }
        // What only this process knows is forgotten at its end.
        let is_cached = matches!(caching, Ok(Ok(()))) && to.registry.state() == State::Up;
        let is_stored = matches!(storing, Ok(Ok(())));
        if !is_stored {
            tracing::warn!("a revocation could not be stored");
        }
        (is_stored || is_cached).then_some(()).ok_or(Forgetful)
    }

    /// Keeps the list true until told to stop. Holds the service's readiness until it was loaded once.
    pub async fn run(self, from: Sources, health: Health, stop: CancellationToken) {
        health.hold("revocations", "not loaded");
        let hearing = notices::listen(from.broker.clone(), subject::REVOKED, stop.clone(), {
            let list = self.clone();
            move |notice| list.on_notice(&notice.payload)
        });
        let loading = async {
            let mut connected = from.broker.is_connected();
            let mut registry = from.registry.watch();
            loop {
                let pause = if self.load(&from).await {
                    health.release("revocations");
                    RELOAD
                } else {
                    RETRY
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    // What was told while nobody here listened.
                    () = is_back(&mut connected) => {}
                    Ok(()) = registry.changed() => {}
                    () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.8..1.2))) => {}
                }
            }
        };
        tokio::join!(hearing, loading);
    }

    fn on_notice(&self, payload: &[u8]) {
        match Revoked::decode(payload) {
            Ok(told) => self.add(Revocation {
                key: told.key,
                until: told.until,
                not_before: told.not_before,
            }),
            Err(error) => tracing::warn!(%error, "a revocation can't be read"),
        }
    }

    /// Reads the whole list. True if the database answered.
    async fn load(&self, from: &Sources) -> bool {
        let now = now_ms();
        self.prune(now / 1_000);
        let cached = from.registry.revocations(now / 1_000);
        let stored = from.store.revocations(now);
        let (cached, stored) = tokio::join!(
            timeout(WRITE_TIME_MAX, cached),
            timeout(WRITE_TIME_MAX, stored)
        );
        for one in cached.ok().and_then(Result::ok).unwrap_or_default() {
            self.add(Revocation {
                key: one.key,
                until: one.until,
                not_before: one.not_before,
            });
        }
        let Ok(Ok(stored)) = stored else {
            return false;
        };
        for one in stored {
            self.add(Revocation {
                key: one.key,
                until: one.until_ms / 1_000,
                not_before: one.not_before_ms.unwrap_or(0) / 1_000,
            });
        }
        true
    }
}

/// Waits until the broker is connected after it was not.
async fn is_back(connected: &mut watch::Receiver<bool>) {
    while connected.changed().await.is_ok() {
        if *connected.borrow_and_update() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(key: &str, until: i64, not_before: i64) -> Revocation {
        Revocation {
            key: key.to_owned(),
            until,
            not_before,
        }
    }

    #[test]
    fn of_two_revocations_of_one_key_the_later_times_hold_and_only_news_are_told() {
        let list = Revocations::default();
        let mut told = list.told();
        list.add(revocation("a", 10, 5));
        list.add(revocation("a", 10, 5));
        list.add(revocation("a", 9, 7));
        let kept = list.0.list.read().get("a").cloned();
        assert_eq!(kept, Some(revocation("a", 10, 7)));
        assert_eq!(told.try_recv().ok(), Some(revocation("a", 10, 5)));
        assert_eq!(told.try_recv().ok(), Some(revocation("a", 9, 7)));
        assert!(told.try_recv().is_err());
        list.prune(10);
        assert!(list.0.list.read().is_empty());
    }
}
