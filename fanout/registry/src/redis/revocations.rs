//! Revocations in Redis: one ordered set, by the time until which each holds, and a hash of the other times.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{Arguments, Redis};
use crate::{Away, Revocation, Revocations};

/// The last second of the year 9999: beyond it no token lives, and Redis' own arithmetic stays exact.
const LATEST: i64 = 253_402_300_799;

/// Redis answers nobody else while it makes a page: about 1 ms.
const PAGE: u32 = 1_000;

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
        let mut all = HashMap::new();
        let mut begins: u64 = 0;
        loop {
            let arguments = arguments().and(begins).and(PAGE);
            let (next, page): (u64, Vec<(String, i64, i64)>) =
                self.link.run(script, arguments).await?;
            for (key, until, not_before) in page {
                all.insert(key, (until, not_before));
            }
            if next == 0 {
                break;
            }
            begins = next;
        }
        let all = all
            .into_iter()
            .map(|(key, (until, not_before))| Revocation {
                key,
                until,
                not_before,
            });
        Ok(all.filter(|one| one.until > now).collect())
    }
}

/// Both keys carry one word in braces: a cluster keeps them together.
fn arguments() -> Arguments {
    let mut arguments = Arguments::of("void-until", "revocations");
    let before = Arguments::of("void-before", "revocations");
    arguments.keys.extend(before.keys);
    arguments
}
