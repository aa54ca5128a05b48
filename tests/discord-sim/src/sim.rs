//! What all parts of the simulator share: one lock around the world, the sessions and the faults.
//! A change and its dispatches happen under that lock together, so every session sees one order: the order of the changes.

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::application::Application;
use crate::event::withhold;
use crate::faults::Faults;
use crate::gateway::entrance::Entrance;
use crate::gateway::line::Lines;
use crate::gateway::members::{Asked, WholeLists};
use crate::gateway::session::Sessions;
use crate::limits::Limits;
use crate::oauth2::logins::Logins;
use crate::object::set;
use crate::refusal::Refusal;
use crate::world::{BOT_ID, World};

/// Everything behind the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) application: Application,
    pub(crate) logins: Logins,
    pub(crate) limits: Limits,
    pub(crate) entrance: Entrance,
    pub(crate) whole_lists: WholeLists,
    pub(crate) sessions: Sessions,
    pub(crate) lines: Lines,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
}

/// What was asked of the gateway since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) identifies: u64,
    pub(crate) resumes: u64,
    pub(crate) commands: u64,
    /// By op 8.
    pub(crate) members: Asked,
    /// Loads that are running.
    pub(crate) loads: usize,
}

/// The simulator, as its handlers and tasks hold it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Shared {
    pub(crate) fn new(world: World, application: Application, shards: u64) -> Self {
        Self {
            state: Mutex::new(State {
                world,
                application,
                logins: Logins::default(),
                limits: Limits::default(),
                entrance: Entrance::new(shards),
                whole_lists: WholeLists::default(),
                sessions: Sessions::default(),
                lines: Lines::default(),
                faults: Faults::default(),
                counters: Counters::default(),
            }),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// The state, locked. Never held over an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Cancelled when the simulator stops.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Changes the world and dispatches what came of it, in one step.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut World) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let state = &mut *self.state();
        let outcome = change(&mut state.world);
        for event in state.world.take_events() {
            state.sessions.dispatch(&event, BOT_ID);
        }
        outcome
    }

    /// A message as REST shows it to the bot: without what its application may not read.
    pub(crate) fn shown(&self, mut message: Value) -> Value {
        if !self.state().application.has_content_intent {
            withhold(&mut message, BOT_ID);
        }
        message
    }

    /// `GET /sim/stats`.
    pub(crate) fn stats(&self) -> Value {
        let state = self.state();
        let mut told = json!({
            "connections": state.lines.len(),
            "sessions": state.sessions.len(),
            "identifies": state.counters.identifies,
            "identifiesTooSoon": state.entrance.too_soon(),
            "resumes": state.counters.resumes,
            "commands": state.counters.commands,
            "members": state.counters.members.stats(),
            "messages_posted": state.world.posted(),
            "dispatched": state.sessions.dispatched(),
        });
        for (name, value) in state.limits.stats() {
            set(&mut told, name, value);
        }
        told
    }
}
