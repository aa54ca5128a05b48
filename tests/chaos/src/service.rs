//! A service of ours, with a link of its own to each thing that it needs, so that one instance can be cut off alone.

use std::path::Path;

use anyhow::Context as _;

use crate::link::{Link, Way};
use crate::port::free_port;
use crate::process::{Process, program};

/// A service that runs, or was killed.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    /// To the simulated Discord: its gateway and its API. Ingest alone has them.
    pub(crate) gateway: Option<Link>,
    pub(crate) api: Option<Link>,
    pub(crate) nats: Option<Link>,
    pub(crate) sql: Link,
    pub(crate) redis: Option<Link>,
    /// From viewers to here; a fanout alone has it.
    pub(crate) viewers: Option<Link>,
    settings: Vec<(String, String)>,
    process: Option<Process>,
}

/// Its links, before it is made.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) gateway: Option<Link>,
    pub(crate) api: Option<Link>,
    pub(crate) nats: Option<Link>,
    pub(crate) sql: Link,
    pub(crate) redis: Option<Link>,
}

impl Service {
    /// A service that has a port and is not started yet.
    pub(crate) async fn new(
        name: &'static str,
        links: Links,
        settings: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        let port = free_port();
        let viewers = if name == "fanout" {
            Some(Link::to(port).await?)
        } else {
            None
        };
        Ok(Self {
            name,
            port,
            gateway: links.gateway,
            api: links.api,
            nats: links.nats,
            sql: links.sql,
            redis: links.redis,
            viewers,
            settings,
            process: None,
        })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it, for the first time or again.
    pub(crate) fn start(&mut self, folder: &Path) -> anyhow::Result<()> {
        let mut command = program(self.name)?;
        command
            .current_dir(folder)
            .env("PORT", self.port.to_string())
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start(self.name, command)?);
        Ok(())
    }

    /// It runs.
    pub(crate) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// It was started, and has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::has_ended)
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("it runs")?.kill().await
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(&mut self) -> anyhow::Result<()> {
        self.process.take().context("it runs")?.terminate().await
    }

    /// Sends its process a signal (`-STOP`, `-CONT`).
    pub(crate) async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        self.process
            .as_ref()
            .context("it runs")?
            .signal(signal)
            .await
    }

    /// Bytes of memory that it has now (`/proc/<pid>/statm`).
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let process = self.process.as_ref().context("it runs")?;
        let id = process.id().context("it has not ended")?;
        let told = std::fs::read_to_string(format!("/proc/{id}/statm"))?;
        let pages: u64 = told
            .split(' ')
            .nth(1)
            .context("it has a second number")?
            .parse()?;
        Ok(pages * 4096)
    }

    /// What it wrote.
    pub(crate) fn output(&self) -> String {
        self.process
            .as_ref()
            .map(Process::output)
            .unwrap_or_default()
    }

    /// Its link of this kind does this from now on.
    ///
    /// # Errors
    /// It has none.
    pub(crate) fn set(&self, wire: crate::Wire, way: Way) -> anyhow::Result<()> {
        let link = match wire {
            crate::Wire::Gateway => self.gateway.as_ref(),
            crate::Wire::Api => self.api.as_ref(),
            crate::Wire::Nats => self.nats.as_ref(),
            crate::Wire::Sql => Some(&self.sql),
            crate::Wire::Redis => self.redis.as_ref(),
            crate::Wire::Viewers => self.viewers.as_ref(),
        };
        let link = link.with_context(|| format!("{} has no link {wire:?}", self.name))?;
        link.set(way);
        Ok(())
    }
}
