//! Connection state recovery with the official client (contract.md §1), on both columns of the seam table.

use serde_json::json;
use tests::exposition::Page;
use tests::{Client, Home, Plan, World};

use crate::metrics::scrape;
use crate::scenario::settings;

fn recovered(page: &Page) -> f64 {
    let key = r#"discord_stream_recoveries_total{outcome="recovered"}"#;
    page.value(key).unwrap_or_default()
}

#[tokio::test]
async fn a_client_that_is_cut_goes_on_where_it_was_standalone() -> anyhow::Result<()> {
    let world = World::start(Home::Standalone).await?;
    Client::start("recovery.mjs", &settings(&world)?)?
        .result()
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_cut_goes_on_at_either_of_two_fanouts_and_anew_without_redis()
-> anyhow::Result<()> {
    let mut world = World::start(Home::Distributed).await?;
    let mut settings = settings(&world)?;
    Client::start("recovery.mjs", &settings)?.result().await?;
    for url in &world.metrics {
        let page = scrape(url).await?;
        assert!(recovered(&page) >= 3.0, "each has taken some");
    }
    world.kill_redis()?;
    settings["phase"] = json!("away");
    Client::start("recovery.mjs", &settings)?.result().await?;
    Ok(())
}

#[tokio::test]
async fn a_crowd_whose_fanout_is_killed_goes_on_at_the_other() -> anyhow::Result<()> {
    const COUNT: u32 = 1_000;
    let plan = Plan::new(Home::Distributed).with("CONNECTIONS_PER_USER_MAX", 100);
    let mut world = plan.start().await?;
    let mut settings = settings(&world)?;
    settings["count"] = json!(COUNT);
    let mut client = Client::start("moved.mjs", &settings)?;
    client.ready().await?;
    let channel = world.public_channel()?.to_owned();
    world.load(&channel, 200, COUNT).await?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    world.kill_fanout(0).await?;
    client.result().await?;
    let page = scrape(&world.metrics[1]).await?;
    assert!(recovered(&page) >= 60.0);
    Ok(())
}
