//! Clients: JavaScript and Python programs of `tests/clients`, with the world described on their command line.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

use crate::process::Process;

/// A running client.
#[derive(Debug)]
pub struct Client {
    process: Process,
}

/// A program of `tests/clients`: one for Node, or, ending in `.py`, one for Python.
///
/// # Errors
/// The packages that it stands on are missing.
pub(crate) fn command(script: &str) -> anyhow::Result<Command> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tests.join("clients");
    let python = tools(tests).join("venv-clients/bin/python");
    // A folder with a package of its own stands on its own packages.
    let own = folder.join(Path::new(script).with_file_name("package.json"));
    let packages = if own.exists() {
        own.with_file_name("node_modules")
    } else {
        folder.join("node_modules")
    };
    let is_python = Path::new(script)
        .extension()
        .is_some_and(|kind| kind == "py");
    let (interpreter, needed) = if is_python {
        (python.clone(), python)
    } else {
        (PathBuf::from("node"), packages)
    };
    anyhow::ensure!(
        needed.exists(),
        "{} is missing: `make test` installs it",
        needed.display()
    );
    let mut command = Command::new(interpreter);
    command.current_dir(folder);
    if is_python {
        // Nothing beside the sources, and lines as they are printed.
        command.args(["-B", "-u"]);
    }
    command.arg(script);
    Ok(command)
}

/// Where `make test` installs programs.
fn tools(tests: &Path) -> PathBuf {
    std::env::var_os("TOOLS_DIR").map_or_else(|| tests.join("../.tools"), PathBuf::from)
}

impl Client {
    /// Starts `tests/clients/<script>` with its settings as one JSON argument.
    ///
    /// # Errors
    /// Node or Python is missing, or the client's packages are.
    pub fn start(script: &str, settings: &Value) -> anyhow::Result<Self> {
        let mut command = command(script)?;
        command.arg(settings.to_string());
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
