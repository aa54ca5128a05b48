//! The binary `load`: the benches, and, as child processes of itself, their floors.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use load::{ChurnPlan, CostPlan, MemoryPlan, Outcome, PagesPlan, Plan, RevocationPlan, SlowPlan};
use tokio::signal::unix::{SignalKind, signal};

/// Puts sockets into one channel of a fanout, sends messages, and prints what each delivery and each socket costs.
/// Its other commands measure access that changes, the Socket.IO server alone, and the store.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    plan: Plan,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// How late members are told, on two fanouts, that access was taken from them or given to them.
    Revocation(RevocationPlan),
    /// What a delivery costs a Socket.IO server: ours, the floor below it, and what others run.
    Cost(CostPlan),
    /// What a connected socket costs a Socket.IO server in memory.
    Memory(MemoryPlan),
    /// What one client that reads nothing does to the others.
    Slow(SlowPlan),
    /// What clients that come and go leave behind.
    Churn(ChurnPlan),
    /// What a page of the history takes each database.
    Pages(PagesPlan),
    /// The floor of the Socket.IO servers; the bench starts it itself.
    #[command(hide = true)]
    FloorRoom {
        /// Where it listens on loopback.
        #[arg(long)]
        port: u16,
        /// How many sockets it waits for.
        #[arg(long)]
        sockets: usize,
    },
    /// The server that the fanout is measured against; the bench starts it itself.
    #[command(hide = true)]
    Floor {
        /// How many sockets it waits for.
        #[arg(long)]
        sockets: usize,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.command {
        Some(Command::Floor { sockets }) => load::serve_floor(sockets),
        Some(Command::FloorRoom { port, sockets }) => load::serve_room(port, sockets),
        Some(Command::Revocation(plan)) => run(load::revocation(&plan)),
        Some(Command::Cost(plan)) => run(load::cost(&plan)),
        Some(Command::Memory(plan)) => run(load::memory(&plan)),
        Some(Command::Slow(plan)) => run(load::slow(&plan)),
        Some(Command::Churn(plan)) => run(load::churn(&plan)),
        Some(Command::Pages(plan)) => run(load::pages(&plan)),
        None => run(bench(&arguments.plan)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn bench(plan: &Plan) -> anyhow::Result<Outcome> {
    let report = load::run(plan).await?;
    Ok(Outcome {
        table: report.to_string(),
        failures: report.failures(),
    })
}

/// One thread for all clients: the cores belong to what is measured.
fn run(bench: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            outcome = bench => outcome,
            _ = terminate.recv() => Err(anyhow::anyhow!("stopped by SIGTERM")),
            _ = interrupt.recv() => Err(anyhow::anyhow!("stopped by SIGINT")),
        }
    })?;
    print(&outcome.table);
    let failures = outcome.failures;
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn print(table: &str) {
    println!("{table}");
}

#[expect(clippy::print_stderr, reason = "the last words of a main")]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
