//! The binary `load`: the bench, and, as a child process of itself, the floor.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use load::{Plan, Report};
use tokio::signal::unix::{SignalKind, signal};

/// Puts sockets into one channel of a fanout, sends messages, and prints what each delivery and each socket costs.
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
        None => bench(&arguments.plan),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// One thread for all viewers: the cores belong to what is measured.
fn bench(plan: &Plan) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    let report = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            report = load::run(plan) => report,
            _ = terminate.recv() => Err(anyhow::anyhow!("stopped by SIGTERM")),
            _ = interrupt.recv() => Err(anyhow::anyhow!("stopped by SIGINT")),
        }
    })?;
    print(&report);
    let failures = report.failures();
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn print(report: &Report) {
    println!("{report}");
}

#[expect(clippy::print_stderr, reason = "the last words of a main")]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
