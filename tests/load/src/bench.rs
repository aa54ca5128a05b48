//! The bench itself: start, join, rounds of the fanout and the floor in turn, and what they came to.
//! It promises that every phase is bounded in time, that CPU time is counted from before the first message of a round
//! until its last delivery was read, and that a round which lost something is the last one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::floor::{Floor, Order};
use crate::limit;
use crate::plan::Plan;
use crate::scoreboard::Scoreboard;
use crate::services::{JWT_SECRET, Programs, Services, Size};
use crate::table::{Cost, Report, Setting};
use crate::usage::{Memory, cpu_time};
use crate::viewer::Seat;
use crate::viewers::Viewers;
use crate::world::Load;

/// How long is listened for doubles after the last message: far longer than any delivery takes.
const SETTLE: Duration = Duration::from_secs(1);

/// Runs the bench as planned.
///
/// # Errors
/// Something could not be started, did not answer in time, or ended early. What was lost or doubled is no error
/// here: the report says it.
pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    plan.check()?;
    // Each socket has its twin at the floor.
    limit::raise(2 * plan.sockets)?;
    let programs = Programs::find()?;
    let setting = Setting::of_this_machine(programs.nats_version()?)?;
    let mut services = Services::start(&programs, Size::default()).await?;
    let channel = services.world.channel()?.to_owned();
    let idle = Memory::of(services.fanout.process.id())?;

    let board = Arc::new(Scoreboard::new(plan.sockets as usize));
    let seats = seats(plan, &services, &channel)?;
    let viewers = Viewers::join(seats, &board, plan.join_patience()).await?;
    let joined = Memory::of(services.fanout.process.id())?;
    let mut floor = Floor::start(plan.sockets, services.folder()).await?;

    let mut ours = Vec::new();
    let mut floors = Vec::new();
    for _ in 0..plan.rounds {
        let turn = fanout_turn(plan, &channel, &services, &board).await;
        services.check()?;
        ours.push(turn?);
        if board.read(|scores| scores.counts.lost + scores.counts.ended) > 0 {
            break;
        }
        floors.push(floor_turn(plan, &board, &mut floor).await?);
    }
    sleep(SETTLE).await;
    services.check()?;
    let busy = Memory::of(services.fanout.process.id())?;
    drop(viewers);
    Ok(board.read(|scores| Report {
        setting,
        plan: plan.clone(),
        counts: scores.counts,
        reasons: scores.reasons.clone(),
        latencies_us: sorted(&scores.latencies_us),
        ours,
        floors,
        idle,
        joined,
        busy,
    }))
}

/// A seat for each socket; people take turns.
fn seats(plan: &Plan, services: &Services, channel: &str) -> anyhow::Result<Vec<Seat>> {
    let tokens = services.world.tokens(JWT_SECRET)?;
    let people = tokens.iter().cycle().take(plan.sockets as usize);
    let seats = people.map(|token| Seat {
        address: services.fanout.address,
        token: token.clone(),
        channel: channel.to_owned(),
    });
    Ok(seats.collect())
}

async fn fanout_turn(
    plan: &Plan,
    channel: &str,
    services: &Services,
    board: &Scoreboard,
) -> anyhow::Result<Cost> {
    let count = plan.messages_a_round();
    let load = Load {
        channel,
        rate: plan.rate,
        count,
        bytes: plan.bytes,
    };
    let deliveries = board.read(|scores| scores.counts.deliveries());
    board.begin_round(count);
    let before = cpu_time(services.fanout.process.id())?;
    load.begin(&services.http, &services.sim_url).await?;
    board.until_round_over(plan.round_patience()).await;
    let cpu = cpu_time(services.fanout.process.id())?.saturating_sub(before);
    board.end_round();
    let deliveries = board.read(|scores| scores.counts.deliveries()) - deliveries;
    Ok(Cost { cpu, deliveries })
}

/// As many messages as the fanout's turn had, each as long as its frames were.
async fn floor_turn(plan: &Plan, board: &Scoreboard, floor: &mut Floor) -> anyhow::Result<Cost> {
    let order = Order {
        bytes: board.read(|scores| scores.counts.frame_bytes()),
        rate: plan.rate,
        count: plan.messages_a_round(),
    };
    let before = cpu_time(floor.id())?;
    floor.take_turn(order, plan.round_patience()).await?;
    let cpu = cpu_time(floor.id())?.saturating_sub(before);
    Ok(Cost {
        cpu,
        deliveries: u64::from(order.count) * u64::from(plan.sockets),
    })
}

fn sorted(values: &[u32]) -> Vec<u32> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted
}
