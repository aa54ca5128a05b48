//! What of the fault suite every change goes through; `make chaos` runs all of it, optimised and larger.
#![expect(clippy::print_stdout, reason = "what was measured is shown")]

use std::time::Duration;

use chaos::{Fault, Home, Plan, Sequence, report};

const AWAY: Duration = Duration::from_secs(3);

async fn holds(home: Home, fault: Fault) -> anyhow::Result<()> {
    let run = Plan::small(home).run(&[fault]).await?;
    let line = report::line(&fault.to_string(), &run);
    println!("{}\n{line}", report::HEADING);
    run.good().map(drop)
}

/// One sequence of faults, as `make chaos` draws it from this seed.
async fn seed_holds(seed: u64) -> anyhow::Result<()> {
    let sequence = Sequence::draw(seed);
    let run = Plan::small(sequence.home).run_sequence(&sequence).await?;
    let line = report::line(&format!("seed {seed}: {sequence}"), &run);
    println!("{}\n{line}", report::HEADING);
    run.good().map(drop)
}

macro_rules! tests {
    ($($name:ident: $run:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() -> anyhow::Result<()> {
            $run.await
        }
    )*};
}

tests! {
    a_killed_leader_is_followed_by_the_other: holds(Home::MariaDb, Fault::LeaderKilled(Duration::from_secs(8)));
    a_killed_fanout_loses_nobody_anything: holds(Home::MariaDb, Fault::FanoutKilled(AWAY));
    a_killed_nats_server_loses_nothing: holds(Home::MariaDb, Fault::NatsKilled(AWAY));
    a_killed_redis_loses_nothing: holds(Home::MariaDb, Fault::RedisKilled(AWAY));
    a_killed_mariadb_loses_nothing: holds(Home::MariaDb, Fault::SqlKilled(AWAY));
    a_killed_postgres_loses_nothing: holds(Home::Postgres, Fault::SqlKilled(AWAY));
    a_reset_gateway_is_resumed: holds(Home::MariaDb, Fault::Reset);
    a_gap_is_filled_when_a_resume_is_refused: holds(Home::MariaDb, Fault::SessionGone(AWAY));
    a_cluster_whose_leader_steps_down_loses_nothing: holds(Home::Cluster, Fault::StepDowns(5));
    the_faults_of_seed_1_lose_nothing: seed_holds(1);
    the_faults_of_seed_4_lose_nothing: seed_holds(4);
    the_faults_of_seed_13_lose_nothing: seed_holds(13);
    the_faults_of_seed_14_lose_nothing: seed_holds(14);
    the_faults_of_seed_19_lose_nothing: seed_holds(19);
}
