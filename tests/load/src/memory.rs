//! What a connected socket costs each server in memory: idle, and after it has been sent a burst.
//! It promises that each server is measured alone, from a process that has just started, and that a burst was read to
//! its end before the memory is looked at again.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::cores::Cores;
use crate::limit;
use crate::outcome::{Outcome, machine};
use crate::peer::{Peer, Server, find_all};
use crate::stage::{Burst, Stage};
use crate::usage::Memory;

/// Between the last join and the first look: what joining left behind is gone by then.
const CALM: Duration = Duration::from_secs(1);

/// What `load memory` measures.
#[derive(Clone, Debug, clap::Args)]
pub struct MemoryPlan {
    /// How many clients are in the room, beside the one that orders.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub sockets: u32,
    /// How many messages the burst has.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub count: u32,
    /// The length of a message.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(10..=4_000))]
    pub bytes: u32,
    /// How long after the burst the memory is looked at again.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub rest: u64,
    /// Where the servers are that ours is compared with.
    #[arg(long, default_value = "tests/load/peers")]
    pub peers: PathBuf,
}

/// Resident memory of one server, in KiB.
#[derive(Clone, Copy, Debug)]
struct Row {
    server: Server,
    empty: u64,
    idle: u64,
    rested: u64,
}

/// Measures all servers that are there, one after the other. The floor has no memory of its own.
///
/// # Errors
/// A server could not be started, or lost, doubled or delayed something beyond its bound.
pub async fn memory(plan: &MemoryPlan) -> anyhow::Result<Outcome> {
    limit::raise(plan.sockets)?;
    let cores = Cores::take()?;
    let servers = [Server::Ours, Server::Socketioxide, Server::Node];
    let (peers, missing) = find_all(&servers, &plan.peers);
    let mut rows = Vec::new();
    for peer in &peers {
        rows.push(measure(plan, peer, cores).await?);
    }
    Ok(Outcome {
        table: table(plan, &rows, &peers, &missing)?,
        failures: Vec::new(),
    })
}

async fn measure(plan: &MemoryPlan, peer: &Peer, cores: Cores) -> anyhow::Result<Row> {
    let mut stage = Stage::start(peer, plan.sockets, cores).await?;
    let empty = Memory::of(stage.process())?;
    stage.fill().await?;
    stage.rest(CALM).await?;
    let idle = Memory::of(stage.process())?;
    let MemoryPlan { count, bytes, .. } = *plan;
    stage.burst(Burst { count, bytes }).await?;
    stage.rest(Duration::from_secs(plan.rest)).await?;
    let rested = Memory::of(stage.process())?;
    stage.settle().await?;
    Ok(Row {
        server: peer.server,
        empty: empty.rss_kib,
        idle: idle.rss_kib,
        rested: rested.rss_kib,
    })
}

fn table(
    plan: &MemoryPlan,
    rows: &[Row],
    peers: &[Peer],
    missing: &[String],
) -> anyhow::Result<String> {
    let mut out = String::new();
    writeln!(out, "{}", machine())?;
    writeln!(
        out,
        "{} sockets and the one that orders; the burst is {} messages of {} bytes to all, then {} s of rest\n",
        plan.sockets, plan.count, plan.bytes, plan.rest
    )?;
    writeln!(
        out,
        "{:<15}{:>12}{:>16}{:>20}",
        "RSS, KiB", "empty", "a socket, idle", "more after burst"
    )?;
    for row in rows {
        writeln!(
            out,
            "{:<15}{:>12}{:>16.2}{:>20.2}",
            row.server.name(),
            row.empty,
            each(row.empty, row.idle, plan.sockets),
            each(row.idle, row.rested, plan.sockets)
        )?;
    }
    writeln!(out)?;
    for peer in peers {
        writeln!(out, "{peer}")?;
    }
    for sentence in missing {
        writeln!(out, "{sentence}")?;
    }
    write!(out, "Nothing was lost or doubled.")?;
    Ok(out)
}

/// What each socket added.
#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 KiB")]
fn each(before_kib: u64, after_kib: u64, sockets: u32) -> f64 {
    (after_kib as f64 - before_kib as f64) / f64::from(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_may_also_give_memory_back() {
        assert_eq!(format!("{:.2}", each(1_000, 3_500, 1_000)), "2.50");
        assert_eq!(format!("{:.2}", each(3_500, 3_000, 1_000)), "-0.50");
    }

    #[test]
    fn the_table_has_a_row_for_each_server() {
        let plan = MemoryPlan {
            sockets: 1_000,
            count: 100,
            bytes: 400,
            rest: 5,
            peers: PathBuf::new(),
        };
        let rows = [Row {
            server: Server::Ours,
            empty: 5_000,
            idle: 7_500,
            rested: 7_600,
        }];
        let table = table(&plan, &rows, &[], &[]).unwrap();
        let row = "ours                   5000            2.50                0.10\n";
        assert!(table.contains(row), "{table}");
    }
}
