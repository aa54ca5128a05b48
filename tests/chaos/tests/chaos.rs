//! What of the fault suite every change goes through; `make chaos` runs all of it, optimised and larger.
#![expect(clippy::print_stdout, reason = "what was measured is shown")]

use std::time::Duration;

use chaos::{Fault, Home, Plan, report};

async fn holds(home: Home, fault: Fault) -> anyhow::Result<()> {
    let run = Plan::small(home).run(&[fault]).await?;
    println!(
        "{}\n{}",
        report::HEADING,
        report::line(&fault.to_string(), &run)
    );
    run.good().map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_loses_nothing() -> anyhow::Result<()> {
    holds(Home::MariaDb, Fault::LeaderKilled(Duration::from_secs(8))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_fanout_loses_nothing() -> anyhow::Result<()> {
    holds(Home::MariaDb, Fault::FanoutKilled(Duration::from_secs(2))).await
}
