//! From the broker to the workers: every stored event, in the stream's order, without a gap.
//!
//! One task holds one live subscription and one position P. The next event is P+1, or there is a hole, which
//! is read from the stream before anything later goes out. Channels that no worker watches are dropped by
//! subject, undecoded. What a worker asks of the feed is answered through its queue, at the place in the
//! order where it took effect: that is what joins a page and the live events without a gap or a double.
//! Knows nothing of viewers.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, LiveItem, Stored};
use proto::envelope::Opened;
use proto::{ChannelId, GuildId, Subject};
use runtime::{Check, Health};
use store::Store;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::Directory;
use crate::delivery::Delivery;
use crate::delivery::step::Step;
use crate::object::Cdn;
use crate::offset::Offset;

mod catchup;
mod handle;
mod start;
#[cfg(test)]
mod tests;
mod watched;

pub(crate) use handle::WORKERS_MAX;
pub use handle::{FeedHandle, Inbox, Ticket};
use watched::Watched;

/// A feed that is below the announced head for so long reads what is missing (decisions.md, "The tail").
const HEAD_PATIENCE: Duration = Duration::from_millis(100);

/// What a worker receives, in order.
#[derive(Debug, Clone)]
pub enum Item {
    /// The directory at a position; what follows continues from there.
    Start(Arc<Start>),
    /// An event of a channel that this worker watches.
    Event(Arc<Delivery>),
    /// An event of a guild's directory.
    Directory(Arc<DirectoryEvent>),
    /// What the worker asked for holds from this position on.
    Reached(Ticket, u64),
    /// The feed could not be continued: everything that is built on it is void until the next start.
    Broken,
}

/// The directory at a position.
#[derive(Debug)]
pub struct Start {
    /// Where the feed stands.
    pub offset: Offset,
    /// The directory there.
    pub directory: Directory,
}

/// A change of a guild's directory.
#[derive(Debug)]
pub struct DirectoryEvent {
    /// Its place in the stream.
    pub sequence: u64,
    /// The guild.
    pub guild: GuildId,
    /// What changed.
    pub event: proto::event::Event,
    /// When ingest read it, in milliseconds since 1970.
    pub received_ms: i64,
}

/// What workers ask.
#[derive(Debug)]
enum Command {
    Register(mpsc::Sender<Item>, oneshot::Sender<usize>),
    Watch(usize, ChannelId, Ticket),
    Unwatch(usize, ChannelId),
    Reach(usize, u64, Ticket),
}

/// The end of one stretch of following.
enum End {
    Stopped,
    Broken(&'static str),
}

/// The feed's task.
pub struct Feed {
    broker: Arc<dyn Broker>,
    store: Store,
    health: Health,
    stop: CancellationToken,
    commands: mpsc::Receiver<Command>,
    position: watch::Sender<Offset>,
    workers: Vec<Option<mpsc::Sender<Item>>>,
    watched: Watched,
    /// Who waits for which sequence.
    waiting: Vec<(usize, u64, Ticket)>,
    directory: Option<Directory>,
    cdn: Cdn,
    /// Workers have begun; before, nothing is sent to them.
    is_open: bool,
    /// What the stream should have by now, and until when its events may still come by themselves.
    head: Option<(u64, Instant)>,
    pulse: Arc<handle::Pulse>,
}

impl Feed {
    /// Runs until it is told to stop. Holds the service's readiness until the directory is loaded.
    pub async fn run(mut self) {
        self.health.hold("directory", "not loaded");
        loop {
            match self.follow().await {
                End::Stopped => return,
                End::Broken(why) => {
                    tracing::warn!(why, "the feed starts anew");
                    self.directory = None;
                    self.is_open = false;
                    self.watched.clear();
                    self.waiting.clear();
                    self.send_all(&Item::Broken).await;
                }
            }
        }
    }

    async fn follow(&mut self) -> End {
        let Some((mut live, head)) = self.start().await else {
            return End::Stopped;
        };
        if let Some(end) = self.catch_up(head).await {
            return end;
        }
        self.open().await;
        loop {
            let deadline = self.head.map(|(_, until)| until);
            tokio::select! {
                () = self.stop.cancelled() => return End::Stopped,
                Some(command) = self.commands.recv() => self.on_command(command).await,
                () = sleep_until(deadline) => {
                    let Some((head, _)) = self.head.take() else { continue };
                    if let Some(end) = self.catch_up(head).await {
                        return end;
                    }
                }
                item = live.next() => {
                    let Some(item) = item else { return End::Broken("the live feed ended") };
                    if let Some(end) = self.on_live(item).await {
                        return end;
                    }
                }
            }
        }
    }

    async fn on_live(&mut self, item: LiveItem) -> Option<End> {
        if let LiveItem::Head(_, sequence) = item {
            self.pulse.on_head(sequence);
        }
        match item {
            LiveItem::Event(stored) => self.on_event(stored).await,
            LiveItem::Head(generation, _) if generation != self.generation() => {
                Some(End::Broken("the stream was made anew"))
            }
            LiveItem::Head(_, sequence) => {
                self.expect(sequence);
                None
            }
            LiveItem::Disturbed(why) => {
                tracing::info!(why, "the live feed was disturbed");
                self.catch_up_to_last().await
            }
        }
    }

    async fn on_event(&mut self, stored: Stored) -> Option<End> {
        if stored.sequence > self.sequence() + 1 {
            let end = self.catch_up(stored.sequence).await;
            if end.is_some() {
                return end;
            }
        }
        if stored.sequence > self.sequence() {
            self.deliver(stored).await;
        }
        None
    }

    /// The stream should have this sequence by now.
    fn expect(&mut self, sequence: u64) {
        if sequence <= self.sequence() {
            return;
        }
        let until = self
            .head
            .map_or_else(|| Instant::now() + HEAD_PATIENCE, |(_, until)| until);
        let known = self.head.map_or(0, |(known, _)| known);
        self.head = Some((known.max(sequence), until));
    }

    /// Hands an event on and moves the position to it.
    async fn deliver(&mut self, stored: Stored) {
        let sequence = stored.sequence;
        match stored.subject {
            Subject::Guild(_) => self.deliver_directory(stored).await,
            Subject::Channel(channel) => {
                let mask = self.watched.of(channel, &stored.identity);
                if mask != 0 {
                    self.deliver_event(stored, mask).await;
                }
            }
        }
        self.advance(sequence).await;
    }

    async fn deliver_directory(&mut self, stored: Stored) {
        let Some(opened) = open(stored.sequence, stored.payload) else {
            self.pulse.on_unreadable();
            return;
        };
        self.pulse.on_event(opened.received_ms);
        if let Some(directory) = &mut self.directory {
            directory.apply(opened.guild, &opened.event);
        }
        if !self.is_open {
            return;
        }
        let item = Item::Directory(Arc::new(DirectoryEvent {
            sequence: stored.sequence,
            guild: opened.guild,
            event: opened.event,
            received_ms: opened.received_ms,
        }));
        self.send_all(&item).await;
    }

    async fn deliver_event(&mut self, stored: Stored, mask: u64) {
        let offset = Offset {
            generation: self.generation(),
            sequence: stored.sequence,
        };
        let step = Step::begin(&stored, mask.count_ones());
        let opened = open(stored.sequence, stored.payload);
        if opened.is_none() {
            self.pulse.on_unreadable();
        }
        let Some(delivery) = opened.and_then(|opened| Delivery::new(offset, opened)) else {
            return;
        };
        self.pulse.on_event(delivery.received_ms);
        let item = Item::Event(Arc::new(delivery.traced(step)));
        for worker in 0..self.workers.len() {
            if mask & (1 << worker) != 0 {
                self.send(worker, item.clone()).await;
            }
        }
    }

    /// Moves the position and tells those who waited for it.
    async fn advance(&mut self, sequence: u64) {
        self.position
            .send_modify(|offset| offset.sequence = sequence);
        if self.head.is_some_and(|(head, _)| head <= sequence) {
            self.head = None;
        }
        let (reached, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(_, wanted, _)| *wanted <= sequence);
        self.waiting = waiting;
        let reached: Vec<(usize, u64, Ticket)> = reached;
        for (worker, _, ticket) in reached {
            self.send(worker, Item::Reached(ticket, sequence)).await;
        }
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Register(queue, reply) => self.on_register(queue, reply).await,
            Command::Watch(worker, channel, ticket) => {
                self.watched.add(worker, channel);
                let position = self.sequence();
                self.send(worker, Item::Reached(ticket, position)).await;
            }
            Command::Unwatch(worker, channel) => self.watched.remove(worker, channel),
            Command::Reach(worker, sequence, ticket) => {
                let position = self.sequence();
                if sequence <= position {
                    self.send(worker, Item::Reached(ticket, position)).await;
                } else {
                    self.waiting.push((worker, sequence, ticket));
                    self.expect(sequence);
                }
            }
        }
    }

    async fn on_register(&mut self, queue: mpsc::Sender<Item>, reply: oneshot::Sender<usize>) {
        let free = self.workers.iter().position(Option::is_none);
        let worker = free.unwrap_or(self.workers.len());
        if worker >= handle::WORKERS_MAX || reply.send(worker).is_err() {
            return;
        }
        match self.workers.get_mut(worker) {
            Some(place) => *place = Some(queue),
            None => self.workers.push(Some(queue)),
        }
        if let Some(item) = self.start_item() {
            self.send(worker, item).await;
        }
    }

    /// The beginning for a worker that comes now.
    fn start_item(&self) -> Option<Item> {
        let directory = self.directory.clone().filter(|_| self.is_open)?;
        let offset = *self.position.borrow();
        Some(Item::Start(Arc::new(Start { offset, directory })))
    }

    async fn send_all(&mut self, item: &Item) {
        for worker in 0..self.workers.len() {
            self.send(worker, item.clone()).await;
        }
    }

    /// Waits where the worker's queue is full: order comes first, and a worker that stands still makes the
    /// instance unhealthy.
    async fn send(&mut self, worker: usize, item: Item) {
        let Some(Some(queue)) = self.workers.get(worker) else {
            return;
        };
        if queue.send(item).await.is_ok() {
            return;
        }
        // The worker has ended: nothing is watched for it any more.
        if let Some(place) = self.workers.get_mut(worker) {
            *place = None;
        }
        self.watched.forget(worker);
        self.waiting.retain(|(other, ..)| *other != worker);
    }

    fn sequence(&self) -> u64 {
        self.position.borrow().sequence
    }

    fn generation(&self) -> u64 {
        self.position.borrow().generation
    }

    /// Runs something that takes its time, while workers go on being answered.
    async fn meanwhile<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(command) = self.commands.recv() => self.on_command(command).await,
            }
        }
    }

    fn on_broker(&self, is_away: bool) {
        let check = if is_away { Check::Down } else { Check::Up };
        self.health.set("nats", check);
    }
}

/// An event that can't be read is counted by its log line and passed: the position goes on.
fn open(sequence: u64, payload: bytes::Bytes) -> Option<Opened> {
    let opened = Opened::decode(payload);
    if let Err(error) = &opened {
        tracing::warn!(sequence, %error, "an event of the stream can't be read");
    }
    opened.ok()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
