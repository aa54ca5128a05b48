//! A child process: where it is found, what it says, and that it ends with us.
//! It promises that a dropped process is killed and waited for, and that one which ended early is reported with its
//! last words. What it prints goes to a file, so that it never waits for a reader.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, bail};

/// Lines of a log that are repeated in an error.
const LAST_WORDS: usize = 8;

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with a folder of its own below `home`, which is where it runs.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        home: &Path,
    ) -> anyhow::Result<Self> {
        let folder = home.join(name);
        std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        let log = folder.join("log");
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let program = command.get_program().display().to_string();
        let child = command
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn();
        let child = child.with_context(|| format!("{program} can't be started"))?;
        Ok(Self { name, child, log })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The system's number for it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens to orders.
    pub(crate) fn stdin(&mut self) -> Option<&mut ChildStdin> {
        self.child.stdin.as_mut()
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// An error if it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "{} ended early with {status}; {}",
                self.name,
                self.last_words()
            );
        }
        Ok(())
    }

    /// The end of what it has printed.
    pub(crate) fn last_words(&self) -> String {
        let printed = self.printed();
        let mut lines: Vec<&str> = printed.lines().rev().take(LAST_WORDS).collect();
        lines.reverse();
        format!("its log ends with:\n{}", lines.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A child that has ended already can't be killed, only waited for: both errors mean that it is gone.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_dropped_process_is_gone_and_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let process = Process::start("sleeper", Command::new("sleep").arg("600"), home.path());
        let mut process = process.unwrap();
        assert!(process.check().is_ok());
        let proc = format!("/proc/{}", process.id());
        assert!(Path::new(&proc).exists());
        drop(process);
        assert!(!Path::new(&proc).exists());
    }

    #[test]
    fn one_that_ended_early_is_quoted() {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo last words; exit 3"]);
        let mut process = Process::start("speaker", &mut command, home.path()).unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        let error = loop {
            match process.check() {
                Err(error) => break error.to_string(),
                Ok(()) => assert!(Instant::now() < until, "it never ended"),
            }
            std::thread::yield_now();
        };
        assert!(error.contains("speaker ended early"), "{error}");
        assert!(error.ends_with("first\nlast words"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let home = tempfile::tempdir().unwrap();
        let missing = Process::start(
            "missing",
            &mut Command::new("/no/such/program"),
            home.path(),
        );
        assert!(
            missing
                .unwrap_err()
                .to_string()
                .contains("/no/such/program")
        );
    }
}
