//! Numbered messages at a steady rate: `n=<1..count>;t=<unix nanoseconds>;`, padded to a size.
//! Each operation has its own deadline, counted from the start, so that being late once delays nothing after it.
//! With `mix`, of every ten operations seven create, two edit and one deletes, all numbered; reactions come between.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use crate::message::{Draft, Edit, Emoji};
use crate::object::id_of;
use crate::refusal::Refusal;
use crate::sim::Shared;
use crate::snowflake::{Snowflake, unix_ns};
use crate::world::World;

/// Loads at once. More would share one lock and measure it alone.
const LOADS_MAX: usize = 16;
/// Operations a second: beyond this the simulator itself is the limit.
const RATE_MAX: f64 = 100_000.0;
const COUNT_MAX: u64 = 100_000_000;
/// Discord's longest message.
const BYTES_MAX: usize = 4_000;
/// How many of its own messages a mixed load remembers, to edit and delete them.
const REMEMBERED_MAX: usize = 100;
/// How many operations are applied before other tasks get a turn.
const BURST: u64 = 64;

/// The body of `POST /sim/load`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoadRequest {
    channel_id: Snowflake,
    rate: f64,
    count: u64,
    #[serde(default)]
    bytes: usize,
    #[serde(default)]
    mix: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Create,
    Edit,
    Delete,
}

struct Load {
    request: LoadRequest,
    author_ids: Vec<Snowflake>,
    remembered: VecDeque<Snowflake>,
}

/// Starts a load, which runs until it is through or the simulator stops.
pub(crate) fn start(sim: &Arc<Shared>, request: LoadRequest) -> Result<(), Refusal> {
    check(request)?;
    let author_ids = {
        let state = &mut *sim.state();
        let channel = state.world.channel(request.channel_id)?;
        if !channel.kind.holds_messages() {
            return Err(Refusal::WrongChannelType);
        }
        if state.counters.loads >= LOADS_MAX {
            return Err(Refusal::TooManyLoads);
        }
        state.counters.loads += 1;
        state.world.humans_of(channel.guild_id)
    };
    let load = Load {
        request,
        author_ids,
        remembered: VecDeque::new(),
    };
    sim.tasks().spawn(load.run(Arc::clone(sim)));
    Ok(())
}

fn check(request: LoadRequest) -> Result<(), Refusal> {
    let text = if !(request.rate > 0.0 && request.rate <= RATE_MAX) {
        "rate: more than 0 and at most 100000 a second"
    } else if request.count > COUNT_MAX {
        "count: at most 100000000"
    } else if request.bytes > BYTES_MAX {
        "bytes: at most 4000"
    } else {
        return Ok(());
    };
    Err(Refusal::Form(text.to_owned()))
}

impl Load {
    async fn run(mut self, sim: Arc<Shared>) {
        let start = Instant::now();
        for number in 1..=self.request.count {
            let due = start + self.offset(number);
            if due > Instant::now() {
                tokio::select! {
                    biased;
                    () = sim.stopping().cancelled() => break,
                    () = sleep_until(due) => {}
                }
            } else if number.is_multiple_of(BURST) {
                tokio::task::yield_now().await;
            }
            if sim.stopping().is_cancelled() {
                break;
            }
            if let Err(refusal) = sim.change(|world| self.apply(world, number)) {
                tracing::warn!(%refusal, number, "the load ends early");
                break;
            }
        }
        sim.state().counters.loads -= 1;
    }

    /// When the operation is due, counted from the start; the first at once.
    fn offset(&self, number: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a count is far below 2^52")]
        Duration::from_secs_f64((number - 1) as f64 / self.request.rate)
    }

    fn apply(&mut self, world: &mut World, number: u64) -> Result<(), Refusal> {
        let channel_id = self.request.channel_id;
        match self.operation(number) {
            Operation::Create => {
                let draft = Draft {
                    content: Some(self.content(number)),
                    author_id: self.author(number),
                    ..Draft::default()
                };
                let posted = world.post(channel_id, draft)?;
                let id = id_of(&posted);
                self.remembered.extend(id.filter(|_| self.request.mix));
                if self.remembered.len() > REMEMBERED_MAX {
                    self.remembered.pop_front();
                }
            }
            Operation::Edit => {
                let edit = Edit {
                    content: Some(self.content(number)),
                    ..Edit::default()
                };
                if let Some(id) = self.remembered.back() {
                    forgive(world.edit(channel_id, *id, edit).map(drop))?;
                }
            }
            Operation::Delete => {
                if let Some(id) = self.remembered.pop_front() {
                    forgive(world.delete(channel_id, id))?;
                }
            }
        }
        self.react(world, number)
    }

    /// A deterministic pattern, so that a test can tell what number did what: 4 and 8 of ten edit, 10 deletes.
    fn operation(&self, number: u64) -> Operation {
        match number % 10 {
            4 | 8 if self.request.mix => Operation::Edit,
            0 if self.request.mix => Operation::Delete,
            _ => Operation::Create,
        }
    }

    /// In a mixed load, one reaction after every fifth operation.
    fn react(&self, world: &mut World, number: u64) -> Result<(), Refusal> {
        let (Some(id), Some(author)) = (self.remembered.back(), self.author(number)) else {
            return Ok(());
        };
        if !number.is_multiple_of(5) {
            return Ok(());
        }
        let emoji = Emoji {
            id: None,
            name: "👍".to_owned(),
        };
        forgive(world.react(self.request.channel_id, *id, &emoji, author))
    }

    fn author(&self, number: u64) -> Option<Snowflake> {
        let count = u64::try_from(self.author_ids.len()).unwrap_or(1).max(1);
        self.author_ids
            .get(usize::try_from(number % count).unwrap_or(0))
            .copied()
    }

    fn content(&self, number: u64) -> String {
        let mut content = format!("n={number};t={};", unix_ns());
        while content.len() < self.request.bytes {
            content.push('x');
        }
        content
    }
}

/// Somebody else may have deleted the message, or kicked its author: the load goes on.
fn forgive(outcome: Result<(), Refusal>) -> Result<(), Refusal> {
    match outcome {
        Err(Refusal::UnknownMessage | Refusal::UnknownMember) => Ok(()),
        outcome => outcome,
    }
}
