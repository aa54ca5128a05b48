//! `make chaos`: the whole fault suite, or a part of it by name or seed.
#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::path::PathBuf;
use std::time::Duration;

use chaos::{
    Fault, Home, LINKS, Outage, Plan, Run, Sequence, broker_restarts, outage, report,
    rolling_restart,
};
use clap::{Args, Parser, Subcommand};

/// The fault suite.
#[derive(Debug, Parser)]
#[command(name = "chaos", version)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Keep what the services of a run that fails wrote, in this folder.
    #[arg(long, global = true)]
    keep: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum Part {
    /// Each fault for itself.
    Faults(Faults),
    /// Sequences of faults that are drawn from seeds.
    Seeds(Seeds),
    /// NATS is killed five times.
    Restarts,
    /// A deploy of all fanouts, with 3,000 sockets.
    Rolling,
    /// NATS is away for ten minutes; and for longer than the buffer holds.
    Outage,
}

#[derive(Args, Clone, Debug)]
struct Faults {
    /// Only those whose names hold this.
    #[arg(long, default_value = "")]
    only: String,
    /// Viewers of each run.
    #[arg(long, default_value_t = 500)]
    viewers: usize,
}

#[derive(Args, Clone, Debug)]
struct Seeds {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many.
    #[arg(long, default_value_t = 200)]
    count: u64,
}

/// What was run, and how often it failed.
struct Sheet {
    keep: Option<PathBuf>,
    failed: usize,
}

impl Sheet {
    /// Says what came of a run.
    fn say(&mut self, name: &str, run: anyhow::Result<Run>) -> anyhow::Result<()> {
        let run = match run {
            Ok(run) => run,
            Err(error) => {
                println!("{name:48} did not run: {}", error.root_cause());
                return self.fail(name, &format!("{error:#}"));
            }
        };
        println!("{}", report::line(name, &run));
        if run.is_good() {
            return Ok(());
        }
        self.fail(name, &run.output)
    }

    fn fail(&mut self, name: &str, output: &str) -> anyhow::Result<()> {
        self.failed += 1;
        if let Some(folder) = &self.keep {
            std::fs::create_dir_all(folder)?;
            let file = name.replace(|one: char| !one.is_alphanumeric(), "_");
            std::fs::write(folder.join(file), output)?;
        }
        Ok(())
    }

    async fn faults(&mut self, faults: &Faults) -> anyhow::Result<()> {
        for (home, fault) in each() {
            let name = format!("{home:?} {fault}");
            if name.contains(&faults.only) {
                let mut plan = Plan::whole(home);
                plan.viewers = faults.viewers;
                self.say(&name, plan.run(&[fault]).await)?;
            }
        }
        Ok(())
    }

    async fn restarts(&mut self) -> anyhow::Result<()> {
        let run = broker_restarts(&Plan::whole(Home::MariaDb)).await;
        self.say("NATS is killed five times", run)
    }

    async fn rolling(&mut self) -> anyhow::Result<()> {
        let mut plan = Plan::whole(Home::MariaDb);
        plan.viewers = 3_000;
        plan.pace.rate = 50;
        let run = rolling_restart(&plan, DRAIN).await;
        self.say("a deploy of three fanouts, 3,000 viewers", run)
    }

    async fn outage(&mut self) -> anyhow::Result<()> {
        let mut plan = Plan::whole(Home::MariaDb);
        plan.viewers = 60;
        plan.pace.bytes = 600;
        let name = "NATS is away for ten minutes";
        let long = Duration::from_mins(10);
        self.away(name, &plan, Outage::Held, long).await?;
        // It is full after some seconds: Discord's own buffer holds the rest.
        plan.settings
            .push(("PUBLISH_BUFFER_MAX".to_owned(), "8MiB".to_owned()));
        let name = "NATS is away for longer than the buffer holds";
        let long = Duration::from_mins(2);
        self.away(name, &plan, Outage::Overflowing, long).await
    }

    async fn away(
        &mut self,
        name: &str,
        plan: &Plan,
        kind: Outage,
        long: Duration,
    ) -> anyhow::Result<()> {
        let run = outage(plan, kind, long, MEMORY_MAX).await;
        if let Ok((_, most)) = &run {
            println!("ingest had {} MiB of memory at the most", most >> 20);
        }
        self.say(name, run.map(|(run, _)| run))
    }

    async fn seeds(&mut self, seeds: &Seeds) -> anyhow::Result<()> {
        for seed in seeds.from..seeds.from + seeds.count {
            let sequence = Sequence::draw(seed);
            let name = format!("seed {seed}: {sequence}");
            let run = Plan::drawn(sequence.home).run_sequence(&sequence).await;
            self.say(&name, run)?;
        }
        Ok(())
    }
}

/// Over how long a fanout closes its sockets, by default.
const DRAIN: Duration = Duration::from_secs(20);

/// Bytes of memory that ingest may have while NATS is away.
const MEMORY_MAX: u64 = 250 << 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { part, keep } = Arguments::parse();
    let mut sheet = Sheet { keep, failed: 0 };
    println!("{}", report::HEADING);
    match part {
        Some(Part::Faults(faults)) => sheet.faults(&faults).await?,
        Some(Part::Seeds(seeds)) => sheet.seeds(&seeds).await?,
        Some(Part::Restarts) => sheet.restarts().await?,
        Some(Part::Rolling) => sheet.rolling().await?,
        Some(Part::Outage) => sheet.outage().await?,
        None => {
            let faults = Faults {
                only: String::new(),
                viewers: 500,
            };
            sheet.faults(&faults).await?;
            let seeds = Seeds {
                from: 1,
                count: 200,
            };
            sheet.seeds(&seeds).await?;
            sheet.restarts().await?;
            sheet.rolling().await?;
            sheet.outage().await?;
        }
    }
    let failed = sheet.failed;
    anyhow::ensure!(failed == 0, "{failed} runs broke the law");
    Ok(())
}

/// Each fault for itself.
fn each() -> Vec<(Home, Fault)> {
    let seconds = Duration::from_secs;
    let mut all: Vec<(Home, Fault)> = [
        Fault::Nothing(seconds(5)),
        Fault::LeaderKilled(seconds(8)),
        Fault::LeaderRestarted,
        Fault::LeaderHalted(seconds(30)),
        Fault::FanoutKilled(seconds(3)),
        Fault::NatsKilled(seconds(3)),
        Fault::NatsKilled(seconds(30)),
        Fault::NatsEmptied(seconds(3)),
        Fault::RedisKilled(seconds(5)),
        Fault::SqlKilled(seconds(30)),
        Fault::Reconnect,
        Fault::SessionInterrupted,
        Fault::SessionGone(seconds(5)),
        Fault::Reset,
        Fault::Silence(seconds(60)),
        Fault::Zombie(seconds(90)),
        Fault::DeadResumeUrl(seconds(8)),
        Fault::StreamFull(seconds(20)),
    ]
    .map(|fault| (Home::MariaDb, fault))
    .to_vec();
    for (whose, wire) in LINKS {
        let stalled = Fault::Stalled(whose, wire, seconds(20));
        let cut = Fault::Cut(whose, wire, seconds(20));
        all.extend([(Home::MariaDb, stalled), (Home::MariaDb, cut)]);
    }
    all.extend([
        (Home::Postgres, Fault::SqlKilled(seconds(30))),
        (Home::Cluster, Fault::StepDowns(20)),
        (Home::Cluster, Fault::NatsKilled(seconds(5))),
        (Home::Cluster, Fault::LeaderKilled(seconds(8))),
    ]);
    all
}
