//! Revocations in Redis: one ordered set, by the time until which each holds, and a hash of the other times.

use std::time::Duration;

use async_trait::async_trait;

use super::{Arguments, Redis};
use crate::{Away, Revocation, Revocations};

/// The last second of the year 9999: beyond it no token lives, and Redis' own arithmetic stays exact.
const LATEST: i64 = 253_402_300_799;

/// All of 100,000 take Redis about 100 ms and the wire as long; nobody's join waits for them.
const LIST_PATIENCE: Duration = Duration::from_secs(3);

#[async_trait]
impl Revocations for Redis {
    async fn put(&self, revocation: &Revocation) -> Result<(), Away> {
        let arguments = arguments()
            .and(&revocation.key)
            .and(revocation.until.min(LATEST))
            .and(revocation.not_before.min(LATEST));
        self.link.run(&self.scripts.put_revocation, arguments).await
    }

    async fn all(&self, now: i64) -> Result<Vec<Revocation>, Away> {
        let script = &self.scripts.revocations;
        let listed = self
            .link
            .run_within(LIST_PATIENCE, script, arguments().and(now));
        let all: Vec<(String, i64, i64)> = listed.await?;
        let all = all.into_iter().map(|(key, until, not_before)| Revocation {
            key,
            until,
            not_before,
        });
        Ok(all.collect())
    }
}

/// Both keys carry one word in braces: a cluster keeps them together.
fn arguments() -> Arguments {
    let mut arguments = Arguments::of("void-until", "revocations");
    let before = Arguments::of("void-before", "revocations");
    arguments.keys.extend(before.keys);
    arguments
}
