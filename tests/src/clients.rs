//! JavaScript clients: programs of `tests/clients`, with the world described on their command line.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

use crate::process::Process;

/// A running client.
#[derive(Debug)]
pub struct Client {
    process: Process,
}

impl Client {
    /// Starts `tests/clients/<script>` with its settings as one JSON argument.
    ///
    /// # Errors
    /// Node is missing, or the client's packages are.
    pub fn start(script: &str, settings: &Value) -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        anyhow::ensure!(
            folder.join("node_modules").exists(),
            "the clients' packages are missing: `make test` installs them"
        );
        let mut command = Command::new("node");
        command
            .current_dir(folder)
            .arg(script)
            .arg(settings.to_string());
        Ok(Self {
            process: Process::start(script, command)?,
        })
    }

    /// Waits until it says so (a line `ready`).
    ///
    /// # Errors
    /// It ends first, or does not in time.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        self.line_after("ready").await.map(drop)
    }

    /// Waits until it says this; the rest of that line.
    ///
    /// # Errors
    /// It ends first, or does not in time.
    pub async fn line_after(&mut self, text: &str) -> anyhow::Result<String> {
        self.process.line_after(text).await
    }

    /// Waits for its end; the JSON that it printed as its last line.
    ///
    /// # Errors
    /// It fails: its output says where.
    pub async fn result(self) -> anyhow::Result<Value> {
        let output = self.process.success().await?;
        let last = output
            .lines()
            .rev()
            .find(|line| line.starts_with(['{', '[']));
        let last = last.with_context(|| format!("the client printed no result:\n{output}"))?;
        Ok(serde_json::from_str(last)?)
    }
}
