//! What a delivery costs each server: the messages one at a time, and ten queued in one turn.
//! It promises rounds in which every server takes its turn on a core of its own, in another order each time, and
//! ratios of the same round alone. How a server is reached is the stage's.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::Instant;

use crate::cores::Cores;
use crate::limit;
use crate::outcome::{Outcome, Spread, machine};
use crate::peer::{Peer, Server, find_all};
use crate::stage::{Burst, Stage};
use crate::usage::{cpu_time, user_time};

/// Bursts of each kind before the clock runs: enough for a just-in-time compiler and for every buffer to have grown.
const WARM_BURSTS: u32 = 10;

/// How many messages are ordered at once, and what the table calls it.
const PHASES: [(u32, &str); 2] = [(1, "one at a time"), (10, "ten queued")];

/// What `load cost` measures.
#[derive(Clone, Debug, clap::Args)]
pub struct CostPlan {
    /// How many clients are in the room, beside the one that orders.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub sockets: u32,
    /// The length of a message.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(10..=4_000))]
    pub bytes: u32,
    /// How often each server has its turn.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// How long each half of a turn is. The kernel counts user time in ticks of 10 ms.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,
    /// Where the servers are that ours is compared with.
    #[arg(long, default_value = "tests/load/peers")]
    pub peers: PathBuf,
}

/// What a part of a turn used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sample {
    cpu: Duration,
    user: Duration,
    deliveries: u64,
}

impl Sample {
    #[expect(clippy::cast_precision_loss, reason = "deliveries are far below 2^52")]
    fn each_us(self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.deliveries as f64
    }

    fn cpu_us(self) -> f64 {
        self.each_us(self.cpu)
    }

    fn sum(samples: &[Self]) -> Self {
        Self {
            cpu: samples.iter().map(|sample| sample.cpu).sum(),
            user: samples.iter().map(|sample| sample.user).sum(),
            deliveries: samples.iter().map(|sample| sample.deliveries).sum(),
        }
    }
}

/// One server's samples: for each phase, one a round.
#[derive(Clone, Debug)]
struct Column {
    peer: Peer,
    phases: [Vec<Sample>; PHASES.len()],
}

/// Measures all servers that are there.
///
/// # Errors
/// A server could not be started, or lost, doubled or delayed something beyond its bound.
pub async fn cost(plan: &CostPlan) -> anyhow::Result<Outcome> {
    limit::raise(plan.sockets)?;
    let cores = Cores::take()?;
    let (peers, missing) = find_all(&Server::ALL, &plan.peers);
    ensure!(
        peers.iter().any(|peer| peer.server == Server::Ours),
        "ours is missing: build it with `cargo build --release -p actix-socketio --examples`"
    );
    let mut columns: Vec<Column> = peers
        .into_iter()
        .map(|peer| Column {
            peer,
            phases: Default::default(),
        })
        .collect();
    for round in 0..plan.rounds as usize {
        // Another one begins each time, so that no server always follows the same one.
        let begin = round % columns.len();
        let (later, earlier) = columns.split_at_mut(begin);
        for column in earlier.iter_mut().chain(later) {
            turn(plan, column, cores).await?;
        }
    }
    Ok(Outcome {
        table: table(plan, &columns, &missing)?,
        failures: Vec::new(),
    })
}

/// One server's turn: started, filled, warmed, measured, ended.
async fn turn(plan: &CostPlan, column: &mut Column, cores: Cores) -> anyhow::Result<()> {
    let mut stage = Stage::start(&column.peer, plan.sockets, cores).await?;
    stage.fill().await?;
    for (count, _) in PHASES {
        for _ in 0..WARM_BURSTS {
            let bytes = plan.bytes;
            stage.burst(Burst { count, bytes }).await?;
        }
    }
    for ((count, _), samples) in PHASES.into_iter().zip(&mut column.phases) {
        let bytes = plan.bytes;
        samples.push(sample(&mut stage, Burst { count, bytes }, plan.seconds).await?);
    }
    stage.settle().await
}

async fn sample(stage: &mut Stage, burst: Burst, seconds: u64) -> anyhow::Result<Sample> {
    let process = stage.process();
    let (cpu, user) = (cpu_time(process)?, user_time(process)?);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut messages = 0;
    while Instant::now() < until {
        stage.burst(burst).await?;
        messages += u64::from(burst.count);
    }
    Ok(Sample {
        cpu: cpu_time(process)?.saturating_sub(cpu),
        user: user_time(process)?.saturating_sub(user),
        deliveries: messages * stage.receivers(),
    })
}

fn table(plan: &CostPlan, columns: &[Column], missing: &[String]) -> anyhow::Result<String> {
    let mut out = String::new();
    writeln!(out, "{}", machine())?;
    writeln!(
        out,
        "{} sockets and the one that orders in one room, {} bytes of text each, {} rounds of {} s",
        plan.sockets, plan.bytes, plan.rounds, plan.seconds
    )?;
    let floor = columns
        .iter()
        .find(|column| column.peer.server == Server::Floor)
        .context("the floor is this program")?;
    for (phase, (_, title)) in PHASES.into_iter().enumerate() {
        writeln!(
            out,
            "\n{title:<15}{:>10}{:>10}{:>8}{:>8}{:>8}{:>14}",
            "CPU, µs", "user, µs", "ratio", "least", "most", "deliveries"
        )?;
        for column in columns {
            row(&mut out, column, floor, phase)?;
        }
    }
    writeln!(out)?;
    for column in columns {
        writeln!(out, "{}", column.peer)?;
    }
    for sentence in missing {
        writeln!(out, "{sentence}")?;
    }
    write!(
        out,
        "CPU and user: the server's process, a delivery, median of the rounds; user from all rounds together, as the \
         kernel's\nticks are 10 ms. ratio: to the floor of the same round; median, least and most. Nothing was lost or \
         doubled."
    )?;
    Ok(out)
}

fn row(out: &mut String, column: &Column, floor: &Column, phase: usize) -> anyhow::Result<()> {
    let own = column.phases.get(phase).context("all phases are there")?;
    let floor = floor.phases.get(phase).context("all phases are there")?;
    let sum = Sample::sum(own);
    let cpu = Spread::of(own.iter().map(|sample| sample.cpu_us())).context("no round")?;
    writeln!(
        out,
        "{:<15}{:>10.2}{:>10.2}{}{:>14}",
        column.peer.server.name(),
        cpu.median,
        sum.each_us(sum.user),
        ratios(own, floor).context("no round")?,
        sum.deliveries
    )?;
    Ok(())
}

/// Each round's cost over the floor's of the same round.
fn ratios(own: &[Sample], floor: &[Sample]) -> Option<Spread> {
    let pairs = own.iter().zip(floor);
    Spread::of(pairs.map(|(own, floor)| own.cpu_us() / floor.cpu_us()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu_us: u64) -> Sample {
        Sample {
            cpu: Duration::from_micros(cpu_us),
            user: Duration::from_micros(cpu_us / 10),
            deliveries: 100,
        }
    }

    #[test]
    fn a_ratio_is_of_one_round_and_never_of_two_medians() {
        let own = [sample(200), sample(600), sample(900)];
        let floor = [sample(100), sample(200), sample(600)];
        let ratios = ratios(&own, &floor).unwrap();
        assert_eq!(ratios.to_string(), "    2.00    1.50    3.00");
    }

    #[test]
    fn the_table_names_every_server_and_every_missing_one() {
        let (peers, _) = find_all(&[Server::Floor], std::path::Path::new("/nowhere"));
        let column = |server, cpu_us| {
            let mut peer = peers.first().unwrap().clone();
            peer.server = server;
            let phases = [vec![sample(cpu_us)], vec![sample(cpu_us / 2)]];
            Column { peer, phases }
        };
        let columns = [column(Server::Floor, 100), column(Server::Ours, 130)];
        let plan = CostPlan {
            sockets: 99,
            bytes: 400,
            rounds: 1,
            seconds: 1,
            peers: PathBuf::new(),
        };
        let missing = ["socket.io is left out: why".to_owned()];
        let table = table(&plan, &columns, &missing).unwrap();
        for line in [
            "one at a time     CPU, µs  user, µs   ratio   least    most    deliveries\n",
            "floor                1.00      0.10    1.00    1.00    1.00           100\n",
            "ours                 1.30      0.13    1.30    1.30    1.30           100\n",
            "socket.io is left out: why\n",
        ] {
            assert!(table.contains(line), "{line}{table}");
        }
    }
}
