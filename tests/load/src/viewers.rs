//! All sockets of a run, each a task of its own.
//! It promises that they join a few at a time, that one which ends is told to the scoreboard, and that all of them
//! end with this value.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::scoreboard::Scoreboard;
use crate::viewer::{Seat, Viewer};

/// How many join at a time: enough to keep both sides busy, and less than the queue of any listening socket.
const JOINING_MAX: usize = 64;

/// The sockets. Dropping it cuts them.
#[derive(Debug)]
pub(crate) struct Viewers {
    #[expect(dead_code, reason = "owns the tasks, which end with it")]
    tasks: JoinSet<()>,
}

impl Viewers {
    /// Puts a socket on each seat, and waits until all have joined.
    pub(crate) async fn join(
        seats: Vec<Seat>,
        board: &Arc<Scoreboard>,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let wanted = seats.len();
        let doors = Arc::new(Semaphore::new(JOINING_MAX));
        let mut tasks = JoinSet::new();
        for (socket, seat) in seats.into_iter().enumerate() {
            tasks.spawn(run(socket, seat, Arc::clone(&doors), Arc::clone(board)));
        }
        let joined = board.until_joined(patience).await;
        let why = board.read(|scores| scores.reasons.join("; "));
        ensure!(
            joined == wanted && why.is_empty(),
            "{joined} of {wanted} sockets joined within {} s: {why}",
            patience.as_secs()
        );
        Ok(Self { tasks })
    }
}

/// A socket's whole life: it answers pings while the others still join.
async fn run(socket: usize, seat: Seat, doors: Arc<Semaphore>, board: Arc<Scoreboard>) {
    let joined = {
        let _door = doors.acquire().await;
        Viewer::join(&seat).await
    };
    drop(seat);
    let ended = match joined {
        Ok(viewer) => {
            board.on_joined();
            viewer.watch(socket, &board).await
        }
        Err(error) => error,
    };
    board.on_ended(socket, &ended.to_string());
}
