//! The workers' end of the feed: what they ask, and the queue that answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker::Broker;
use parking_lot::Mutex;
use proto::ChannelId;
use runtime::Health;
use store::Store;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Command, Feed, Item};
use crate::object::Cdn;
use crate::offset::Offset;

/// A watched channel is a bit a worker, in 64.
pub(crate) const WORKERS_MAX: usize = 64;

/// Items that may wait for one worker; a full queue holds the feed back until the worker has gone on.
const INBOX_ITEMS: usize = 16_384;

/// Questions of workers that may wait; a full queue makes the asking worker's task wait.
const COMMANDS: usize = 4_096;

/// Names a question, so that its answer finds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// How everybody but the feed's task reaches the feed.
#[derive(Debug, Clone)]
pub struct FeedHandle {
    commands: mpsc::Sender<Command>,
    position: watch::Receiver<Offset>,
    tickets: Arc<AtomicU64>,
    pulse: Arc<Pulse>,
}

/// When the feed last heard what.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// The ingest's time of the last event that was read, in milliseconds since 1970; 0 before the first.
    event_ms: AtomicI64,
    head: Mutex<Option<Instant>>,
    /// The last sequence that the leader announced.
    head_sequence: AtomicU64,
    catch_ups: AtomicU64,
    unreadable: AtomicU64,
}

impl Pulse {
    pub(super) fn on_event(&self, received_ms: i64) {
        self.event_ms.store(received_ms, Ordering::Relaxed);
    }

    pub(super) fn on_head(&self, sequence: u64) {
        *self.head.lock() = Some(Instant::now());
        self.head_sequence.store(sequence, Ordering::Relaxed);
    }

    pub(super) fn on_catch_up(&self) {
        self.catch_ups.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn on_unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }
}

/// A worker's place at the feed.
#[derive(Debug)]
pub struct Inbox {
    /// The worker's number.
    pub worker: usize,
    /// What comes, in order.
    pub items: mpsc::Receiver<Item>,
}

/// The feed has ended: the service is stopping.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the feed has ended")]
pub struct Ended;

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let position = *self.position.borrow();
        f.debug_struct("Feed")
            .field("position", &position)
            .finish_non_exhaustive()
    }
}

impl Feed {
    /// A feed that has not begun, and its handle.
    pub fn new(
        broker: Arc<dyn Broker>,
        store: Store,
        health: Health,
        stop: CancellationToken,
    ) -> (Self, FeedHandle) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let nowhere = Offset {
            generation: 0,
            sequence: 0,
        };
        let position = watch::Sender::new(nowhere);
        let handle = FeedHandle {
            commands: sender,
            position: position.subscribe(),
            tickets: Arc::default(),
            pulse: Arc::default(),
        };
        let feed = Self {
            broker,
            store,
            health,
            stop,
            commands,
            position,
            workers: Vec::new(),
            watched: super::Watched::default(),
            waiting: Vec::new(),
            directory: None,
            cdn: Cdn::default(),
            is_open: false,
            head: None,
            pulse: handle.pulse.clone(),
        };
        (feed, handle)
    }

    /// The same, whose directory's images are here.
    #[must_use]
    pub fn with_cdn(self, cdn: Cdn) -> Self {
        Self { cdn, ..self }
    }
}

impl FeedHandle {
    /// Where the feed stands.
    pub fn position(&self) -> Offset {
        *self.position.borrow()
    }

    /// The ingest's time of the last event that was read here, in milliseconds since 1970.
    pub fn last_event_ms(&self) -> Option<i64> {
        Some(self.pulse.event_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0)
    }

    /// How long ago the leader last announced its head.
    pub fn head_age(&self) -> Option<Duration> {
        self.pulse.head.lock().map(|at| at.elapsed())
    }

    /// Sequences that the leader has announced and the feed has not delivered yet.
    pub fn lag(&self) -> u64 {
        let head = self.pulse.head_sequence.load(Ordering::Relaxed);
        head.saturating_sub(self.position().sequence)
    }

    /// Holes that were read from the stream so far.
    pub fn catch_ups(&self) -> u64 {
        self.pulse.catch_ups.load(Ordering::Relaxed)
    }

    /// Events that could not be read so far.
    pub fn unreadable(&self) -> u64 {
        self.pulse.unreadable.load(Ordering::Relaxed)
    }

    /// Takes a place at the feed.
    ///
    /// # Errors
    /// The feed has ended, or has no place for another worker.
    pub async fn register(&self) -> Result<Inbox, Ended> {
        let (queue, items) = mpsc::channel(INBOX_ITEMS);
        let (reply, number) = oneshot::channel();
        self.ask(Command::Register(queue, reply)).await?;
        let worker = number.await.map_err(|_| Ended)?;
        Ok(Inbox { worker, items })
    }

    /// A name for the next question.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.tickets.fetch_add(1, Ordering::Relaxed))
    }

    /// From the answer's position on, the worker gets this channel's events.
    ///
    /// # Errors
    /// The feed has ended.
    pub async fn watch(
        &self,
        worker: usize,
        channel: ChannelId,
        ticket: Ticket,
    ) -> Result<(), Ended> {
        self.ask(Command::Watch(worker, channel, ticket)).await
    }

    /// The worker needs this channel no longer.
    ///
    /// # Errors
    /// The feed has ended.
    pub async fn unwatch(&self, worker: usize, channel: ChannelId) -> Result<(), Ended> {
        self.ask(Command::Unwatch(worker, channel)).await
    }

    /// Answered when the feed has reached this sequence.
    ///
    /// # Errors
    /// The feed has ended.
    pub async fn reach(&self, worker: usize, sequence: u64, ticket: Ticket) -> Result<(), Ended> {
        self.ask(Command::Reach(worker, sequence, ticket)).await
    }

    async fn ask(&self, command: Command) -> Result<(), Ended> {
        self.commands.send(command).await.map_err(|_| Ended)
    }
}
