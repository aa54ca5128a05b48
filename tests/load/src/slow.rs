//! What one client that does not read costs the others, and our server: runs with it and without it, in turn.
//! It promises that the slow client answers the server's heartbeat and reads nothing, and that a server which does
//! not close it for the bytes that wait for it has failed.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::cores::Cores;
use crate::limit;
use crate::link::{Link, LinkError};
use crate::outcome::{Outcome, Spread, machine};
use crate::packet::Namespace;
use crate::peer::{Peer, Server};
use crate::percentile::percentile;
use crate::stage::{Burst, Stage};
use crate::usage::Memory;

/// The server's ping interval, after which the slow client sends the pong that it never read the ping of.
const PONG_EVERY: Duration = Duration::from_secs(25);
/// The slow client's receive buffer: a phone's rather than this kernel's, which would take 32 MiB for it.
const RECEIVE_BYTES: u32 = 64 * 1024;
/// How the server names a client that does not keep up.
const TOO_SLOW: &str = "slow";

/// What `load slow` measures.
#[derive(Clone, Debug, clap::Args)]
pub struct SlowPlan {
    /// How many clients read, beside the one that orders.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub sockets: u32,
    /// The length of a message.
    #[arg(long, default_value_t = 16 * 1024, value_parser = clap::value_parser!(u32).range(10..=65_536))]
    pub bytes: u32,
    /// Messages a second.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rate: u32,
    /// How long a run is: long enough to fill the kernel's send buffer of the slow client (4 MiB by `tcp_wmem`, `tcp(7)`)
    /// and its queue, and less than the 60 s that a stalled write may take, so that only the queue's bytes can close it.
    #[arg(long, default_value_t = 45, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub seconds: u32,
    /// How often a run without the slow client and one with it take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub pairs: u32,
}

/// Whether the slow client is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    Absent,
    Slow,
}

impl Guest {
    const BOTH: [Self; 2] = [Self::Absent, Self::Slow];

    fn title(self) -> &'static str {
        match self {
            Self::Absent => "without",
            Self::Slow => "with",
        }
    }
}

/// One run.
#[derive(Clone, Copy, Debug)]
struct Run {
    guest: Guest,
    p50_ms: f64,
    p99_ms: f64,
    most_ms: f64,
    before_kib: u64,
    after_kib: u64,
    /// When the server was first seen to have closed one that was too slow.
    closed_after: Option<Duration>,
}

/// Runs the pairs.
///
/// # Errors
/// The server could not be started, or lost, doubled or delayed something beyond its bound.
pub async fn slow(plan: &SlowPlan) -> anyhow::Result<Outcome> {
    limit::raise(plan.sockets)?;
    let cores = Cores::take()?;
    let peer = Peer::find(Server::Ours, &PathBuf::new())?;
    let mut runs = Vec::new();
    for pair in 0..plan.pairs {
        let mut guests = Guest::BOTH;
        // The other one begins each time.
        guests.rotate_left(pair as usize % Guest::BOTH.len());
        for guest in guests {
            runs.push(run(plan, &peer, cores, guest).await?);
        }
    }
    Ok(Outcome {
        table: table(plan, &runs)?,
        failures: failures(&runs),
    })
}

/// What a slow client may cost the others at p99, of the medians: a fifth, or so many milliseconds where that is more.
const RATIO_MAX: f64 = 1.2;
const MORE_MS_MAX: f64 = 2.0;

async fn run(plan: &SlowPlan, peer: &Peer, cores: Cores, guest: Guest) -> anyhow::Result<Run> {
    let mut stage = Stage::start(peer, plan.sockets, cores).await?;
    stage.fill().await?;
    let before = Memory::of(stage.process())?;
    let guest_task = match guest {
        Guest::Absent => None,
        Guest::Slow => Some(SlowClient::join(&stage).await?),
    };
    let closed_after = send_all(plan, &mut stage).await?;
    let after = Memory::of(stage.process())?;
    stage.settle().await?;
    drop(guest_task);
    let mut latencies = stage.tally().read(|state| state.latencies_us.clone());
    latencies.sort_unstable();
    let ms = |percent| percentile(&latencies, percent).map(|us| f64::from(us) / 1e3);
    Ok(Run {
        guest,
        p50_ms: ms(50).context("no message came")?,
        p99_ms: ms(99).context("no message came")?,
        most_ms: ms(100).context("no message came")?,
        before_kib: before.rss_kib,
        after_kib: after.rss_kib,
        closed_after,
    })
}

/// Orders each message when it is due, however late the one before was, and looks at the counters once a second.
async fn send_all(plan: &SlowPlan, stage: &mut Stage) -> anyhow::Result<Option<Duration>> {
    let began = Instant::now();
    let mut closed_after = None;
    let burst = Burst {
        count: 1,
        bytes: plan.bytes,
    };
    for number in 0..plan.rate * plan.seconds {
        let due = began + Duration::from_secs(1) * number / plan.rate;
        stage.rest_until(due).await?;
        stage.order(burst, due).await?;
        if number % plan.rate == plan.rate - 1 && closed_after.is_none() {
            closed_after = has_closed_one(stage).await?.then(|| began.elapsed());
        }
    }
    stage.complete().await?;
    if closed_after.is_none() {
        closed_after = has_closed_one(stage).await?.then(|| began.elapsed());
    }
    Ok(closed_after)
}

async fn has_closed_one(stage: &mut Stage) -> anyhow::Result<bool> {
    let stats = stage.stats().await?;
    Ok(stats.closes.get(TOO_SLOW).is_some_and(|count| *count > 0))
}

/// A client that reads nothing any more. Dropped, it is cut.
struct SlowClient(JoinHandle<()>);

impl SlowClient {
    async fn join(stage: &Stage) -> anyhow::Result<Self> {
        let mut link = Link::open_narrow(stage.address(), Namespace::Root, RECEIVE_BYTES).await?;
        link.connect("").await?;
        Ok(Self(tokio::spawn(async move {
            // An error is the end that it waits for.
            while beat(&mut link).await.is_ok() {}
        })))
    }
}

impl Drop for SlowClient {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn beat(link: &mut Link) -> Result<(), LinkError> {
    sleep(PONG_EVERY).await;
    link.send("3").await
}

fn failures(runs: &[Run]) -> Vec<String> {
    let wrong = runs.iter().enumerate().filter_map(|(index, run)| {
        let what = match (run.guest, run.closed_after) {
            (Guest::Slow, None) => "the slow client was not closed",
            (Guest::Absent, Some(_)) => "a client that reads was closed as too slow",
            _ => return None,
        };
        Some(format!("run {}: {what}", index + 1))
    });
    let mut wrong: Vec<String> = wrong.collect();
    let median = |guest| Spread::of(p99s(runs, guest)).map(|spread| spread.median);
    if let (Some(without), Some(with)) = (median(Guest::Absent), median(Guest::Slow)) {
        let most = (without * RATIO_MAX).max(without + MORE_MS_MAX);
        if with > most {
            wrong.push(format!(
                "the others' p99 is {with:.2} ms, more than {most:.2} ms"
            ));
        }
    }
    wrong
}

fn table(plan: &SlowPlan, runs: &[Run]) -> anyhow::Result<String> {
    let mut out = String::new();
    writeln!(out, "{}", machine())?;
    writeln!(
        out,
        "{} sockets that read, {} messages a second of {} bytes for {} s, {} pairs of runs without and with one client \
         that reads nothing\n",
        plan.sockets, plan.rate, plan.bytes, plan.seconds, plan.pairs
    )?;
    writeln!(
        out,
        "{:<22}{:>10}{:>10}{:>10}{:>14}{:>14}{:>12}",
        "latency of the others",
        "p50, ms",
        "p99, ms",
        "max, ms",
        "RSS before",
        "RSS after",
        "closed at"
    )?;
    for run in runs {
        let closed = run.closed_after.map_or_else(
            || "-".to_owned(),
            |after| format!("{:.0} s", after.as_secs_f64()),
        );
        writeln!(
            out,
            "{:<22}{:>10.2}{:>10.2}{:>10.2}{:>10} KiB{:>10} KiB{:>12}",
            run.guest.title(),
            run.p50_ms,
            run.p99_ms,
            run.most_ms,
            run.before_kib,
            run.after_kib,
            closed
        )?;
    }
    for guest in Guest::BOTH {
        let p99 = Spread::of(p99s(runs, guest)).context("no run")?;
        writeln!(
            out,
            "p99 {:<8} median{:>8.2}, least{:>8.2}, most{:>8.2} ms",
            guest.title(),
            p99.median,
            p99.least,
            p99.most
        )?;
    }
    write!(
        out,
        "latency: from the moment that a message was due. closed at: when the server was first seen to have closed one \
         as\n{TOO_SLOW}; a stalled write alone would do that after 60 s. Nothing was lost or doubled."
    )?;
    Ok(out)
}

fn p99s(runs: &[Run], guest: Guest) -> impl Iterator<Item = f64> {
    let of_guest = runs.iter().filter(move |run| run.guest == guest);
    of_guest.map(|run| run.p99_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(guest: Guest, p99_ms: f64, closed_after: Option<u64>) -> Run {
        Run {
            guest,
            p50_ms: 1.0,
            p99_ms,
            most_ms: 90.0,
            before_kib: 10_000,
            after_kib: 11_000,
            closed_after: closed_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_slow_client_must_be_closed_and_no_other_one() {
        let good = [
            run(Guest::Absent, 2.0, None),
            run(Guest::Slow, 2.0, Some(9)),
        ];
        assert!(failures(&good).is_empty());
        let bad = [
            run(Guest::Slow, 2.0, None),
            run(Guest::Absent, 2.0, Some(9)),
        ];
        let said = [
            "run 1: the slow client was not closed",
            "run 2: a client that reads was closed as too slow",
        ];
        assert_eq!(failures(&bad), said);
    }

    #[test]
    fn the_others_must_hardly_notice() {
        let with = |p99_ms| {
            let runs = [
                run(Guest::Absent, 20.0, None),
                run(Guest::Slow, p99_ms, Some(9)),
            ];
            failures(&runs)
        };
        assert!(with(23.9).is_empty());
        assert_eq!(
            with(24.5),
            ["the others' p99 is 24.50 ms, more than 24.00 ms"]
        );
    }

    #[test]
    fn the_table_has_the_median_of_each_kind() {
        let plan = SlowPlan {
            sockets: 10,
            bytes: 16_384,
            rate: 10,
            seconds: 30,
            pairs: 1,
        };
        let runs = [
            run(Guest::Absent, 2.0, None),
            run(Guest::Slow, 3.0, Some(9)),
        ];
        let table = table(&plan, &runs).unwrap();
        for line in [
            "with                        1.00      3.00     90.00     10000 KiB     11000 KiB         9 s\n",
            "p99 without  median    2.00, least    2.00, most    2.00 ms\n",
            "p99 with     median    3.00, least    3.00, most    3.00 ms\n",
        ] {
            assert!(table.contains(line), "{line}{table}");
        }
    }
}
