//! Limits in Redis: debts, and slots.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::redis::{self, Script};

use super::{Arguments, Redis, milliseconds};
use crate::{Away, Limiter, Quota, Slot, Verdict};

/// Keys that are renewed in one go; a full one takes Redis about 5 ms.
const RENEWED_MAX: usize = 512;

/// Nobody waits for a renewal.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(2);

impl Redis {
    /// Spends one event of a key that is known to owe something. The verdict, and what it owes now.
    pub(crate) async fn spend_from(
        &self,
        key: &str,
        quota: Quota,
        known: Duration,
    ) -> Result<(Verdict, Duration), Away> {
        let arguments = Arguments::of("limit", key)
            .and(microseconds(quota.interval()))
            .and(microseconds(quota.burst()))
            .and(microseconds(known));
        let (is_allowed, debt, wait): (bool, u64, u64) =
            self.link.run(&self.scripts.spend, arguments).await?;
        let verdict = if is_allowed {
            Verdict::Allowed
        } else {
            let retry_after = Duration::from_micros(wait);
            Verdict::Refused { retry_after }
        };
        Ok((verdict, Duration::from_micros(debt)))
    }
}

#[async_trait]
impl Limiter for Redis {
    async fn spend(&self, key: &str, quota: Quota) -> Result<Verdict, Away> {
        let spent = self.spend_from(key, quota, Duration::ZERO).await;
        spent.map(|(verdict, _)| verdict)
    }

    async fn hold(&self, key: &str, slot: &str, max: u32) -> Result<Verdict, Away> {
        let arguments = Arguments::of("slots", key)
            .and(slot)
            .and(max)
            .and(milliseconds(self.slot_ttl));
        let wait = self.link.run(&self.scripts.hold, arguments).await?;
        if wait == 0 {
            return Ok(Verdict::Allowed);
        }
        let retry_after = Duration::from_millis(wait);
        Ok(Verdict::Refused { retry_after })
    }

    async fn renew(&self, slots: &[Slot]) -> Result<(), Away> {
        let of_keys: Vec<&[Slot]> = slots
            .chunk_by(|(one, _), (next, _)| one == next)
            .flat_map(|of_one_key| of_one_key.chunks(RENEWED_MAX))
            .collect();
        let mut batch: Vec<&[Slot]> = Vec::new();
        let mut size = 0;
        for of_one_key in of_keys {
            if size + of_one_key.len() > RENEWED_MAX && size > 0 {
                self.renew_batch(&batch).await?;
                batch.clear();
                size = 0;
            }
            size += of_one_key.len();
            batch.push(of_one_key);
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.renew_batch(&batch).await
    }

    async fn release(&self, key: &str, slot: &str) -> Result<(), Away> {
        let arguments = Arguments::of("slots", key).and(slot);
        self.link.run(&self.scripts.release, arguments).await
    }
}

impl Redis {
    /// One round trip for many keys: the script, which Redis may have forgotten, and a call for each key.
    async fn renew_batch(&self, batch: &[&[Slot]]) -> Result<(), Away> {
        let code = self.scripts.renew_slots;
        let script = Script::new(code);
        let mut pipe = redis::pipe();
        pipe.cmd("SCRIPT").arg("LOAD").arg(code).ignore();
        for of_one_key in batch {
            let Some((key, _)) = of_one_key.first() else {
                continue;
            };
            let slots = of_one_key.iter().map(|(_, slot)| slot.as_str());
            let arguments = Arguments::of("slots", key).and(milliseconds(self.slot_ttl));
            let arguments = slots.fold(arguments, Arguments::and);
            let call = pipe.cmd("EVALSHA").arg(script.get_hash());
            call.arg(arguments.keys.len()).arg(arguments.keys);
            call.arg(arguments.values).ignore();
        }
        self.link
            .call(RENEWAL_PATIENCE, async move |mut connection| {
                pipe.query_async(&mut connection).await
            })
            .await
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
