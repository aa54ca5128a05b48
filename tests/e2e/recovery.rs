//! Connection state recovery with the official client (contract.md §1), on both columns of the seam table.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
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

/// A client is cut; `missed` messages are posted, and `fault` happens. Back at the other instance it is not recovered,
/// and all that was posted is there for it.
async fn comes_anew(
    plan: Plan,
    missed: u32,
    fault: impl AsyncFnOnce(&mut World) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut world = plan.start().await?;
    let mut settings = settings(&world)?;
    settings["count"] = json!(missed);
    let mut client = Client::start("refused.mjs", &settings)?;
    client.ready().await?;
    let channel = world.public_channel()?.to_owned();
    let before = world.archived()?;
    world.load(&channel, 1_000, missed).await?;
    world.is_archived(before + u64::from(missed)).await?;
    fault(&mut world).await?;
    let aside = aside(&world).to_owned();
    let path = format!("/api/v10/channels/{aside}/messages");
    world.sim(&path, json!({ "content": "come back" })).await?;
    client.result().await.with_context(|| world.output())?;
    Ok(())
}

/// A public text channel beside the usual one.
fn aside(world: &World) -> &str {
    let usual = world.public_channel().unwrap_or_default();
    let channels = world.guild()["channels"].as_array().into_iter().flatten();
    let mut others = channels.filter(|one| one["private"] == false && one["type"] == 0);
    let other = others.find(|one| one["id"] != usual);
    other.and_then(|one| one["id"].as_str()).unwrap_or_default()
}

#[tokio::test]
async fn who_comes_back_after_the_window_comes_anew() -> anyhow::Result<()> {
    let window = Duration::from_secs(2);
    let plan = Plan::new(Home::Distributed).with("RECOVERY_WINDOW_MS", window.as_millis());
    comes_anew(plan, 3, async |_| {
        tokio::time::sleep(window + Duration::from_millis(500)).await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn who_has_missed_more_than_five_thousand_comes_anew() -> anyhow::Result<()> {
    comes_anew(Plan::new(Home::Distributed), 5_001, async |_| Ok(())).await
}

#[tokio::test]
async fn who_has_missed_what_the_stream_no_longer_holds_comes_anew() -> anyhow::Result<()> {
    comes_anew(Plan::new(Home::Distributed), 3, async |world| {
        world.jetstream("STREAM.PURGE.DISCORD", &Value::Null)?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn who_comes_back_to_a_stream_that_was_made_anew_comes_anew() -> anyhow::Result<()> {
    comes_anew(Plan::new(Home::Distributed), 3, async |world| {
        world.renew_stream().await
    })
    .await
}

#[tokio::test]
async fn who_comes_back_without_redis_comes_anew() -> anyhow::Result<()> {
    comes_anew(Plan::new(Home::Distributed), 3, async |world| {
        world.kill_redis()
    })
    .await
}
