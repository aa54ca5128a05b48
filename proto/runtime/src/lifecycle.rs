//! A service's life: running, then soft shutdown (finish what is begun), then hard (stop at once).
//!
//! The first SIGTERM or SIGINT is soft, a second one or the deadline is hard. Every task is spawned through
//! the tracker and takes a token.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tokens and the tasks of one service. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Cancelled when the service should end what it does.
    pub soft: CancellationToken,
    /// Cancelled when it must stop at once.
    pub hard: CancellationToken,
    tracker: TaskTracker,
}

impl Lifecycle {
    /// A life that has just begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns a task that belongs to this life. One that ends before the soft token is cancelled has
    /// crashed: that is logged, and the service is told to end, for a supervisor to start it anew.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let life = self.clone();
        self.tracker.spawn(async move {
            let crashed = tokio::spawn(task).await.is_err();
            if crashed || !life.soft.is_cancelled() {
                tracing::error!(task = name, panicked = crashed, "a task ended early");
                life.soft.cancel();
            }
        });
    }

    /// Cancels the tokens as signals come.
    ///
    /// # Errors
    /// The process can't listen to signals.
    pub fn listen_to_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let life = self.clone();
        tokio::spawn(async move {
            for token in [&life.soft, &life.hard] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                tracing::info!(hard = life.soft.is_cancelled(), "asked to stop");
                token.cancel();
            }
        });
        Ok(())
    }

    /// Waits until all tasks have ended; after `deadline` they are told to stop at once.
    pub async fn finish(&self, deadline: Duration) {
        self.tracker.close();
        tokio::select! {
            () = self.tracker.wait() => return,
            () = self.hard.cancelled() => {}
            () = tokio::time::sleep(deadline) => self.hard.cancel(),
        }
        tracing::warn!(tasks = self.tracker.len(), "stopped with tasks unfinished");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_early_ends_the_service() {
        let life = Lifecycle::new();
        life.spawn("early", async {});
        life.soft.cancelled().await;
    }

    #[tokio::test]
    async fn what_does_not_finish_in_time_is_told_to_stop() {
        let life = Lifecycle::new();
        let hard = life.hard.clone();
        life.spawn("stuck", async move { hard.cancelled().await });
        life.soft.cancel();
        life.finish(Duration::from_millis(10)).await;
        assert!(life.hard.is_cancelled());
    }
}
