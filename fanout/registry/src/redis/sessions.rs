//! Recovery sessions in Redis: a hash of owner and value, which ends with its window.

use std::time::Duration;

use async_trait::async_trait;

use super::{Arguments, Redis, milliseconds};
use crate::{Away, Sessions};

#[async_trait]
impl Sessions for Redis {
    async fn save(
        &self,
        pid: &str,
        owner: &str,
        value: &[u8],
        window: Duration,
    ) -> Result<(), Away> {
        let arguments = Arguments::of("session", pid)
            .and(owner)
            .and(milliseconds(window))
            .and(value);
        self.link.run(&self.scripts.save_session, arguments).await
    }

    async fn take(
        &self,
        pid: &str,
        new_owner: &str,
        window: Duration,
    ) -> Result<Option<Vec<u8>>, Away> {
        let arguments = Arguments::of("session", pid)
            .and(new_owner)
            .and(milliseconds(window));
        self.link.run(&self.scripts.take_session, arguments).await
    }

    async fn renew(
        &self,
        pid: &str,
        owner: &str,
        value: Option<&[u8]>,
        window: Duration,
    ) -> Result<bool, Away> {
        let arguments = Arguments::of("session", pid)
            .and(owner)
            .and(milliseconds(window));
        let arguments = match value {
            Some(value) => arguments.and(value),
            None => arguments,
        };
        let script = &self.scripts.renew_session;
        match self.link.run::<i64>(script, arguments).await? {
            1 => Ok(true),
            0 => Ok(false),
            _ => Err(Away),
        }
    }

    async fn drop(&self, pid: &str, owner: &str) -> Result<(), Away> {
        let arguments = Arguments::of("session", pid).and(owner);
        self.link.run(&self.scripts.drop_session, arguments).await
    }
}
