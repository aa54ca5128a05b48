//! One child process: its output is read line by line and kept, its end is ours. Where the workspace's programs are.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long anything in a test may take, on a busy machine, before it counts as failed.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A program of the workspace, from the folder that this one was built into, with an empty environment.
///
/// # Errors
/// It was not built.
pub fn program(name: &str) -> anyhow::Result<Command> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a program is in a folder")?;
    // A test lies one folder deeper than the programs.
    let folder = if folder.ends_with("deps") {
        folder.parent().context("deps is in a folder")?
    } else {
        folder
    };
    let path = folder.join(name);
    anyhow::ensure!(
        path.exists(),
        "{} is missing: `make test` builds it",
        path.display()
    );
    let mut command = Command::new(path);
    command.env_clear();
    Ok(command)
}

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Lines,
    readers: JoinSet<()>,
}

/// What it has written so far, and a sign of life for who waits for a line.
#[derive(Debug, Clone)]
struct Lines {
    text: Arc<Mutex<Vec<String>>>,
    count: watch::Sender<usize>,
}

impl Process {
    /// Starts a program with exactly these variables beside `PATH`.
    ///
    /// # Errors
    /// It is not there.
    pub fn start(name: &str, mut command: Command) -> anyhow::Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("{name} can't be started"))?;
        let lines = Lines {
            text: Arc::default(),
            count: watch::Sender::new(0),
        };
        let out = child.stdout.take().context("stdout is piped")?;
        let err = child.stderr.take().context("stderr is piped")?;
        let mut readers = JoinSet::new();
        readers.spawn(lines.clone().read(out));
        readers.spawn(lines.clone().read(err));
        Ok(Self {
            name: name.to_owned(),
            child,
            lines,
            readers,
        })
    }

    /// Waits for a line that holds this text, and returns what follows the text in it.
    ///
    /// # Errors
    /// The program ends, or writes no such line in time.
    pub async fn line_after(&mut self, text: &str) -> anyhow::Result<String> {
        let mut seen = self.lines.count.subscribe();
        let found = async {
            loop {
                if let Some(rest) = self.lines.find(text) {
                    return Some(rest);
                }
                tokio::select! {
                    changed = seen.changed() => changed.ok()?,
                    _ = self.child.wait() => {
                        // What it wrote last may still be on its way through the pipe.
                        tokio::time::timeout(Duration::from_millis(200), seen.changed()).await.ok()?.ok()?;
                    }
                }
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(Some(rest)) => Ok(rest),
            Ok(None) => bail!(
                "{} ended without saying {text:?}:\n{}",
                self.name,
                self.output()
            ),
            Err(_) => bail!("{} never said {text:?}:\n{}", self.name, self.output()),
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end by itself; everything that it has written.
    ///
    /// # Errors
    /// It fails, or does not end in time.
    pub async fn success(self) -> anyhow::Result<String> {
        let name = self.name.clone();
        let (status, output) = self.end().await?;
        anyhow::ensure!(status.success(), "{name} failed with {status}:\n{output}");
        Ok(output)
    }

    /// Waits for its end by itself; how it ended, and everything that it has written.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn end(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let ended = tokio::time::timeout(PATIENCE * 3, self.child.wait()).await;
        let Ok(status) = ended else {
            bail!("{} did not end:\n{}", self.name, self.output());
        };
        // What it wrote last may still be on its way through the pipes.
        let reading = async { while self.readers.join_next().await.is_some() {} };
        drop(tokio::time::timeout(PATIENCE, reading).await);
        let status = status.with_context(|| format!("{} can't be waited for", self.name))?;
        Ok((status, self.output()))
    }

    /// Ends it as a crash would (SIGKILL).
    ///
    /// # Errors
    /// It can't be ended.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("{} can't be killed", self.name))
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// It does not end in time, or not with success.
    pub async fn terminate(mut self) -> anyhow::Result<()> {
        self.signal("-TERM").await?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} did not end", self.name))??;
        anyhow::ensure!(
            status.success(),
            "{} ended with {status}:\n{}",
            self.name,
            self.output()
        );
        Ok(())
    }

    /// Sends it a signal (`-STOP`).
    ///
    /// # Errors
    /// It has ended.
    pub async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let id = self.id().context("it has ended already")?;
        let sent = Command::new("kill")
            .args([signal, &id.to_string()])
            .status()
            .await?;
        anyhow::ensure!(sent.success(), "{} can't be signalled", self.name);
        Ok(())
    }

    /// The system's number for it; none once it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Everything that it has written.
    pub fn output(&self) -> String {
        self.lines
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join("\n")
    }
}

impl Lines {
    async fn read(self, pipe: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.text
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
            self.count.send_modify(|count| *count += 1);
        }
    }

    fn find(&self, text: &str) -> Option<String> {
        let lines = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .find_map(|line| Some(line.split_once(text)?.1.to_owned()))
    }
}
