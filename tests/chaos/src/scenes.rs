//! Two longer scenes: a deploy of all fanouts under load, and a broker that is away for minutes.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use crate::fault::Fault;
use crate::law::Law;
use crate::run::{Plan, Run};
use crate::scene::Scene;

/// How often NATS is killed, and for how long.
const RESTARTS: usize = 5;
const BROKER_AWAY: Duration = Duration::from_secs(3);

/// How soon after a broker's restart everything is live again, at the median.
const MEDIAN_MAX: Duration = Duration::from_secs(1);

/// Of a hundred viewers that were cut off by a deploy, so many may have to begin anew.
const ANEW_PERCENT_MAX: u32 = 1;

/// Kills NATS five times, one after the other: at the median everything is live within a second of its port accepting.
///
/// # Errors
/// The run itself failed.
pub async fn broker_restarts(plan: &Plan) -> anyhow::Result<Run> {
    let mut run = plan
        .run(&[Fault::NatsKilled(BROKER_AWAY); RESTARTS])
        .await?;
    run.live_again.sort_unstable();
    let median = run.live_again.get(RESTARTS / 2).copied();
    let median = median.context("each restart was measured")?;
    if median > MEDIAN_MAX {
        run.problems
            .push(format!("at the median live again after {median:?}"));
    }
    Ok(run)
}

/// Restarts every fanout in its turn, as a deploy does. Sockets are closed over `drain`.
///
/// # Errors
/// The run itself failed.
pub async fn rolling_restart(plan: &Plan, drain: Duration) -> anyhow::Result<Run> {
    let mut plan = plan.clone();
    let seconds = drain.as_secs().to_string();
    plan.settings.push(("DRAIN_SECONDS".to_owned(), seconds));
    let mut scene = Scene::begin(&plan, &[]).await?;
    for number in 0..plan.fanouts {
        scene.stage.fanouts[number].terminate().await?;
        scene.stage.start_fanout(number)?;
        scene.stage.is_settled().await?;
        scene.is_live().await?;
    }
    let mut run = scene.end(Law::Exact, &[]).await?;
    let returns = run.returns;
    if returns.cut < u32::try_from(plan.viewers)? {
        run.problems
            .push(format!("only {} viewers were cut off", returns.cut));
    }
    if returns.anew * 100 > returns.cut * ANEW_PERCENT_MAX {
        run.problems.push(format!(
            "{} of {} had to begin anew",
            returns.anew, returns.cut
        ));
    }
    if returns.away_max > drain {
        run.problems
            .push(format!("somebody was away for {:?}", returns.away_max));
    }
    Ok(run)
}

/// How long what was held over an outage may take to be published, while more comes in.
const CAUGHT_UP: Duration = Duration::from_mins(5);

/// Whether ingest can hold all that comes while NATS is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It fits into the buffer.
    Held,
    /// It does not: Discord's session is left for a while, and resumed.
    Overflowing,
}

/// NATS is away for so long. The memory that the leading ingest had at the most, in bytes.
///
/// # Errors
/// The run itself failed.
pub async fn outage(
    plan: &Plan,
    kind: Outage,
    long: Duration,
    bytes_max: u64,
) -> anyhow::Result<(Run, u64)> {
    let mut scene = Scene::begin(plan, &[]).await?;
    let leader = scene.stage.leader().await?;
    let resumes = scene.stage.discord.stats().await?["resumes"].as_u64();
    let broken = Fault::NatsKilled(long).strike(&mut scene.stage).await?;
    let (until, mut most) = (Instant::now() + long, 0);
    while Instant::now() < until {
        sleep(Duration::from_secs(1)).await;
        most = most.max(scene.stage.ingests[leader].resident_bytes()?);
    }
    broken.mend(&mut scene.stage).await?;
    let mended = Instant::now();
    let settled = scene.stage.is_settled_within(CAUGHT_UP).await;
    settled.context("after the outage")?;
    scene.is_live().await?;
    let caught_up = mended.elapsed();
    most = most.max(scene.stage.ingests[leader].resident_bytes()?);
    let after = scene.stage.discord.stats().await?["resumes"].as_u64();
    let mut run = scene.end(Law::Exact, &[]).await?;
    run.live_again.push(caught_up);
    if most > bytes_max {
        run.problems
            .push(format!("ingest had {} MiB of memory", most >> 20));
    }
    if (after > resumes) != (kind == Outage::Overflowing) {
        run.problems.push(format!(
            "{resumes:?} sessions were resumed before, {after:?} after"
        ));
    }
    Ok((run, most))
}
