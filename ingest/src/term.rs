//! One term of leadership: the gateway, the publisher, the archive and the desk for members, wired together.
//!
//! A lost lease stops all of it at once; an orderly end leaves the gateway with a resumable close, drains the
//! buffer, saves the session and finishes the archive's batch. Whatever ends it, nothing of it is left.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerError, StreamState};
use runtime::Health;
use store::{Store, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::backfill::Gaps;
use crate::backoff::Backoff;
use crate::buffer::Buffer;
use crate::erasures::Erasures;
use crate::exclusions::Exclusions;
use crate::gateway::session::load;
use crate::gateway::{Commands, Fatal, Saved};
use crate::leader::{Missing, Tenure, bounded};
use crate::links;
use crate::members::Chunks;
use crate::places::Places;
use crate::publish::Reached;
use crate::rest::Rest;
use crate::roster::Roster;
use crate::settings::IngestSettings;
use crate::status::Status;
use crate::typing;
use wiring::Wiring;

mod wiring;

/// Members that wait to be published; whoever asks waits for a place.
const SUBMISSIONS_MAX: usize = 64;
/// What is to be repaired, likewise.
const REPAIRS_MAX: usize = 64;
/// How long the buffer may take to drain at an orderly end. What is left is replayed by the next RESUME.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the session and the archive's batch may take after that.
const FINISH: Duration = Duration::from_secs(5);
/// How often the stream is asked whether it is still the same.
const GENERATION_CHECK: Duration = Duration::from_secs(2);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);
/// The first wait before the broker is asked again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What a term works with, beyond what it makes itself.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) settings: IngestSettings,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) store: Store,
    pub(crate) rest: Rest,
    pub(crate) exclusions: Exclusions,
    /// Signatures of links that were had, also in the terms before.
    pub(crate) links: links::Known,
    pub(crate) health: Health,
    pub(crate) status: Status,
}

impl Parts {
    /// Who was erased, for a term that begins and while it runs.
    fn erasures(&self) -> Erasures {
        Erasures {
            store: self.store.clone(),
            exclusions: self.exclusions.clone(),
        }
    }
}

/// How a term ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was told to.
    Stopped,
    /// The lease is another's.
    Lost,
    /// Discord will not have us back.
    Fatal(Fatal),
    /// Something that should run for ever did not.
    Broken(&'static str),
}

/// Which task ended.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Gateway(Result<(), Fatal>),
    Publisher,
    Head,
    Teller,
    Recorder,
    Archive,
    Members,
    Chunks,
    Retention,
    Sweeper,
    Erasures,
    RollCall,
    Links,
    History,
    Backfill,
}

/// The tokens, in the order in which they are used.
#[derive(Debug, Default)]
struct Stops {
    gateway: CancellationToken,
    members: CancellationToken,
    recorder: CancellationToken,
    archive: CancellationToken,
}

/// What ends a term from outside.
#[derive(Debug)]
pub(crate) struct Ends<'a> {
    /// In order.
    pub(crate) soft: &'a CancellationToken,
    /// At once.
    pub(crate) lost: &'a CancellationToken,
}

/// Leads until told to stop, or until it can't.
pub(crate) async fn run(parts: Parts, tenure: Tenure, ends: Ends<'_>) -> Ended {
    let begun = tokio::select! {
        () = ends.soft.cancelled() => return Ended::Stopped,
        () = ends.lost.cancelled() => return Ended::Lost,
        begun = begin(&parts) => begun,
    };
    let (stream, saved, _) = &begun;
    let (resumable, generation) = (saved.sessions.len(), stream.generation);
    tracing::info!(resumable, last = stream.last, "leading");
    let stops = Stops::default();
    let mut tasks = spawn(&parts, &tenure, begun, &stops);
    let ended = tokio::select! {
        biased;
        () = ends.lost.cancelled() => Ended::Lost,
        () = ends.soft.cancelled() => tokio::select! {
            () = finish(&stops, &mut tasks) => Ended::Stopped,
            () = ends.lost.cancelled() => Ended::Lost,
        },
        () = another_generation(&*parts.broker, generation) => {
            Ended::Broken("the stream is gone, or another one")
        }
        Some(ended) = tasks.join_next() => early(ended),
    };
    tasks.shutdown().await;
    parts.status.outcomes.on_handed_over();
    ended
}

/// Where the stream is, the sessions to resume with their rolls, and what they leave to be made good.
async fn begin(parts: &Parts) -> Begun {
    let mut retry = Backoff::new(RETRY.0, RETRY.1);
    loop {
        match try_begin(parts).await {
            Ok(begun) => return begun,
            Err(error) => tracing::warn!(%error, "the term can't begin"),
        }
        sleep(retry.next()).await;
    }
}

async fn try_begin(parts: &Parts) -> Result<Begun, BrokerError> {
    let stream = bounded(CALL, parts.broker.state()).await?;
    parts.erasures().begin().await;
    let (broker, exclusions) = (&*parts.broker, &parts.exclusions);
    let gaps = Gaps::default();
    let saved = load(broker, stream, exclusions, &gaps).await?;
    if saved.shards.is_none() {
        gaps.load_none(last_stored_ms(&parts.store).await);
    }
    Ok((stream, saved, gaps))
}

/// When the newest message was made that SQL has, in milliseconds since 1970; none where nobody ever listened. A broker
/// that lost its disk has lost the sessions' records too: what was said since then is to be read from Discord.
async fn last_stored_ms(store: &Store) -> Option<i64> {
    let asked = timeout(CALL, async {
        // Without its tables it has nothing.
        let is_migrated = store.is_migrated().await?;
        Ok::<_, StoreError>(if is_migrated {
            store.newest_message().await?
        } else {
            None
        })
    });
    let why = match asked.await {
        Ok(Ok(newest)) => return newest.map(|newest| newest.created_ms().cast_signed()),
        Ok(Err(error)) => error.to_string(),
        Err(late) => late.to_string(),
    };
    tracing::error!(
        why,
        "no session is recorded, and SQL does not say since when"
    );
    None
}

/// What a term begins with; the terms before have left it.
type Begun = (StreamState, Saved, Gaps);

fn spawn(
    parts: &Parts,
    tenure: &Tenure,
    (stream, saved, gaps): Begun,
    stops: &Stops,
) -> JoinSet<Task> {
    let (used, bytes) = watch::channel(0);
    parts.status.on_buffer(bytes);
    let (buffer, frames) = Buffer::new(parts.settings.buffer_bytes_max, used);
    let (submissions, submitted) = mpsc::channel(SUBMISSIONS_MAX);
    let epochs = saved.sessions.values().map(|session| session.epoch);
    let loaded = epochs.collect();
    let (repairs, repaired) = mpsc::channel(REPAIRS_MAX);
    let (snapshots, snapshots_seen) = mpsc::unbounded_channel();
    let (reached, reached_seen) = watch::channel(Reached::new());
    let (acknowledged, acknowledged_seen) = watch::channel(stream.last);
    let (archived, archived_seen) = watch::channel(0);
    let commands = Commands::default();
    let wiring = Wiring {
        parts,
        tenure,
        stream,
        places: Places::default(),
        roster: Roster::default(),
        chunks: Chunks::new(rand::random(), commands.clone(), parts.status.clone()),
        commands,
        rolls: watch::Sender::new(saved.rolls),
        gaps,
        loaded,
        sessions: watch::Sender::new(saved.sessions),
        reached: reached_seen,
        acknowledged: acknowledged_seen,
        archived: archived_seen,
    };
    let fleet = wiring.fleet(buffer, saved.shards);
    let chunks = wiring.chunks.clone();
    let (typist, teller) = typing::new(&parts.broker, parts.status.outcomes.clone());
    let publisher = wiring.publisher(reached, acknowledged, typist, snapshots);
    let archive = wiring.archive(archived);
    let roll_call = wiring.roll_call(submissions.clone());
    let members = wiring.members(submissions);

    let mut tasks = JoinSet::new();
    let stop = stops.gateway.clone();
    tasks.spawn(async move { Task::Gateway(fleet.run(stop).await) });
    spawn_as(
        &mut tasks,
        Task::Publisher,
        publisher.run(frames, submitted, repaired),
    );
    spawn_as(&mut tasks, Task::Head, wiring.heads());
    spawn_as(&mut tasks, Task::Teller, teller.run());
    let recorder = wiring.recorder().run(stops.recorder.clone());
    spawn_as(&mut tasks, Task::Recorder, recorder);
    spawn_as(
        &mut tasks,
        Task::Archive,
        archive.run(stops.archive.clone()),
    );
    spawn_as(
        &mut tasks,
        Task::Members,
        members.run(stops.members.clone()),
    );
    spawn_as(&mut tasks, Task::Chunks, chunks.run(stops.members.clone()));
    let roll_call = roll_call.run(stops.members.clone());
    spawn_as(&mut tasks, Task::RollCall, roll_call);
    let backfill = wiring.backfill(repairs);
    let backfill = backfill.run(snapshots_seen, stops.members.clone());
    spawn_as(&mut tasks, Task::Backfill, backfill);
    spawn_aside(&mut tasks, parts, &wiring, stops);
    tasks
}

/// What runs beside the events, and has nothing to say of them.
fn spawn_aside(tasks: &mut JoinSet<Task>, parts: &Parts, wiring: &Wiring<'_>, stops: &Stops) {
    let retention = wiring.retention().run(stops.members.clone());
    spawn_as(tasks, Task::Retention, retention);
    let sweeper = wiring.sweeper().run(stops.members.clone());
    spawn_as(tasks, Task::Sweeper, sweeper);
    // Until the end: what the buffer still holds is decoded after the gateway is left.
    let erasures = parts.erasures().run(stops.recorder.clone());
    spawn_as(tasks, Task::Erasures, erasures);
    let links = wiring.links().run(stops.members.clone());
    spawn_as(tasks, Task::Links, links);
    let history = wiring.history().run(stops.members.clone());
    spawn_as(tasks, Task::History, history);
}

fn spawn_as(
    tasks: &mut JoinSet<Task>,
    name: Task,
    task: impl Future<Output = ()> + Send + 'static,
) {
    tasks.spawn(async move {
        task.await;
        name
    });
}

/// What the end of a task means that nobody asked to end.
fn early(ended: Result<Task, JoinError>) -> Ended {
    match ended {
        Ok(Task::Gateway(Err(fatal))) => Ended::Fatal(fatal),
        Ok(task) => {
            tracing::error!(?task, "a task ended early");
            Ended::Broken("a task ended early")
        }
        Err(_) => Ended::Broken("a task crashed"),
    }
}

/// Returns once the stream is another one, or none: all numbers that are known of it mean nothing then.
async fn another_generation(broker: &dyn Broker, generation: u64) {
    let mut missing = Missing::default();
    loop {
        sleep(GENERATION_CHECK).await;
        let state = bounded(CALL, broker.state()).await;
        if missing.is_certain(&state) {
            return;
        }
        match state {
            Ok(stream) if stream.generation != generation => return,
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the stream's state can't be read"),
        }
    }
}

/// Ends what runs, in the order of the data: gateway, publisher, session and archive.
async fn finish(stops: &Stops, tasks: &mut JoinSet<Task>) {
    stops.gateway.cancel();
    stops.members.cancel();
    let drained = wait_for(tasks, Instant::now() + DRAIN, |task| {
        *task == Task::Publisher
    })
    .await;
    if !drained {
        tracing::warn!("the buffer did not drain in time; the next start replays the rest");
    }
    stops.recorder.cancel();
    stops.archive.cancel();
    // A publisher that did not drain is left over; it ends with the set.
    let mut left = 2;
    let finished = wait_for(tasks, Instant::now() + FINISH, |task| {
        left -= i32::from(matches!(task, Task::Recorder | Task::Archive));
        left == 0
    });
    if !finished.await {
        tracing::warn!("the session or the archive did not finish in time");
    }
}

/// Waits until a task ends that was waited for; false if the deadline comes first.
async fn wait_for(
    tasks: &mut JoinSet<Task>,
    deadline: Instant,
    mut is_it: impl FnMut(&Task) -> bool,
) -> bool {
    while let Ok(Some(ended)) = timeout_at(deadline, tasks.join_next()).await {
        match ended {
            Ok(task) if is_it(&task) => return true,
            Ok(_) => {}
            Err(_) => tracing::error!("a task crashed while the term ended"),
        }
    }
    tasks.is_empty()
}
