//! What dies, and what viewers who stay connected see of it: nothing.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tests::{Client, Home, Plan, World};

/// Messages a second, as many as the issue asks for, for 16 s.
const RATE: u32 = 50;
const COUNT: u32 = 800;

/// How long a killed ingest stays away: it comes back while its own lease still stands.
const INGEST_AWAY: Duration = Duration::from_secs(2);

/// How long a killed broker stays away: nearly the 5 s within which nobody may notice.
const NATS_AWAY: Duration = Duration::from_millis(4_500);

/// Runs a load while `fault` happens to the world, and checks that every socket saw each message once, in order.
async fn unharmed_by(
    fault: impl AsyncFnOnce(&mut World) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut world = Plan::new(Home::Distributed)
        .with_one_ingest()
        .start()
        .await?;
    let channel = world.public_channel()?.to_owned();
    let mut settings = crate::scenario::settings(&world)?;
    settings["count"] = json!(COUNT);
    let mut client = Client::start("recorder.mjs", &settings)?;
    client.ready().await?;
    world.load(&channel, RATE, COUNT).await?;
    // A few seconds of the load before the fault, most of it behind.
    tokio::time::sleep(Duration::from_secs(3)).await;
    fault(&mut world).await?;
    let seen = client.result().await?;
    let sockets = seen.as_array().context("one entry a socket")?;
    assert_eq!(sockets.len(), 4);
    let expected: Vec<u32> = (1..=COUNT).collect();
    for socket in sockets {
        assert_eq!(socket["disconnects"], 0);
        assert_eq!(socket["numbers"], json!(expected));
    }
    Ok(())
}

#[tokio::test]
async fn a_killed_ingest_that_comes_back_loses_and_doubles_nothing() -> anyhow::Result<()> {
    unharmed_by(async |world| {
        world.kill_ingest().await?;
        tokio::time::sleep(INGEST_AWAY).await;
        world.start_ingest()
    })
    .await
}

#[tokio::test]
async fn ingest_and_nats_killed_together_and_again_lose_and_double_nothing() -> anyhow::Result<()> {
    unharmed_by(async |world| {
        for _ in 0..2 {
            world.kill_nats()?;
            world.kill_ingest().await?;
            tokio::time::sleep(INGEST_AWAY).await;
            world.start_ingest()?;
            world.restart_nats()?;
            tokio::time::sleep(INGEST_AWAY).await;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn who_comes_while_ingest_is_away_is_let_in_when_it_is_back() -> anyhow::Result<()> {
    let mut world = Plan::new(Home::Distributed)
        .with_one_ingest()
        .start()
        .await?;
    world.kill_ingest().await?;
    let mut client = Client::start("unresolved.mjs", &crate::scenario::settings(&world)?)?;
    client.ready().await?;
    world.start_ingest()?;
    client.result().await?;
    Ok(())
}

#[tokio::test]
async fn a_killed_nats_server_that_comes_back_loses_and_doubles_nothing() -> anyhow::Result<()> {
    unharmed_by(async |world| {
        world.kill_nats()?;
        tokio::time::sleep(NATS_AWAY).await;
        world.restart_nats()
    })
    .await
}

#[tokio::test]
async fn who_lost_a_right_while_the_session_was_lost_is_found_out() -> anyhow::Result<()> {
    let world = Plan::new(Home::Distributed)
        .with_one_ingest()
        .start()
        .await?;
    Client::start("missed.mjs", &crate::scenario::settings(&world)?)?
        .result()
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_close_for_good_ends_ingest_and_says_why() -> anyhow::Result<()> {
    let mut world = Plan::new(Home::Distributed)
        .with_one_ingest()
        .start()
        .await?;
    let close = json!({ "kind": "close", "code": 4014 });
    world.sim("/sim/faults", close).await?;
    let (status, said) = world.ended_ingest().await?;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("enable it in Discord's developer portal"),
        "{said}"
    );
    Ok(())
}
