//! What a viewer can see and do (contract.md §1), on both columns of the seam table.

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::{
    Client, Home, World,
    world::{JWT_SECRET, OPS_TOKEN},
};

/// What every client is told of its world.
pub(crate) fn settings(world: &World) -> anyhow::Result<Value> {
    Ok(json!({
        "sim": world.sim_url,
        "world": world.overview,
        "urls": world.urls,
        "page": world.page_url(),
        "ops": OPS_TOKEN,
        "secret": JWT_SECRET,
        "channel": world.public_channel()?,
        "role": crew(world).context("one role opens the private channel")?,
    }))
}

async fn everything(home: Home) -> anyhow::Result<()> {
    let mut world = World::start(home).await?;
    let result = Client::start("everything.mjs", &settings(&world)?)?
        .result()
        .await?;
    assert_eq!(result["clients"], 3);
    if home != Home::Standalone {
        world.is_archived(1).await?;
    }
    Ok(())
}

async fn privacy(home: Home) -> anyhow::Result<()> {
    let world = World::start(home).await?;
    let result = Client::start("privacy.mjs", &settings(&world)?)?
        .result()
        .await?;
    println!("privacy on {home:?}: {result}");
    Ok(())
}

/// One client script on a world of a home; what it found is printed.
async fn shown_by(script: &str, home: Home) -> anyhow::Result<Value> {
    let world = World::start(home).await?;
    let client = Client::start(script, &settings(&world)?)?;
    let result = client.result().await.with_context(|| world.output())?;
    println!("{script} on {home:?}: {result}");
    Ok(result)
}

/// The role that three members share and that opens the private channel.
fn crew(world: &World) -> Option<Value> {
    let roles = world.guild()["roles"].as_array()?;
    roles
        .iter()
        .find(|role| role["name"] == "Crew")
        .map(|role| role["id"].clone())
}

#[tokio::test]
async fn official_clients_go_through_everything_on_the_standalone_binary() -> anyhow::Result<()> {
    everything(Home::Standalone).await
}

#[tokio::test]
async fn official_clients_go_through_everything_on_two_fanouts() -> anyhow::Result<()> {
    everything(Home::Distributed).await
}

#[tokio::test]
async fn official_clients_go_through_everything_on_postgres() -> anyhow::Result<()> {
    everything(Home::DistributedOnPostgres).await
}

#[tokio::test]
async fn a_private_channel_leaves_no_trace_with_who_may_not_see_it_standalone() -> anyhow::Result<()>
{
    privacy(Home::Standalone).await
}

#[tokio::test]
async fn a_private_channel_leaves_no_trace_with_who_may_not_see_it_on_two_fanouts()
-> anyhow::Result<()> {
    privacy(Home::Distributed).await
}

#[tokio::test]
async fn a_burst_of_directory_changes_delays_nobody_for_long() -> anyhow::Result<()> {
    let world = World::start(Home::Standalone).await?;
    let result = Client::start("burst.mjs", &settings(&world)?)?
        .result()
        .await?;
    println!("burst: {result}");
    Ok(())
}

async fn races(home: Home) -> anyhow::Result<()> {
    let world = World::start(home).await?;
    let mut settings = settings(&world)?;
    settings["count"] = json!(1_000);
    let mut client = Client::start("races.mjs", &settings)?;
    client.ready().await?;
    world.load(world.public_channel()?, 200, 1_000).await?;
    let result = client.result().await?;
    assert_eq!(result["joins"], 120);
    // Pages that held something: else the race was not one.
    assert!(result["pages"].as_u64() > Some(20), "{result}");
    Ok(())
}

#[tokio::test]
async fn joins_that_race_with_messages_have_no_gap_and_no_double_standalone() -> anyhow::Result<()>
{
    races(Home::Standalone).await
}

#[tokio::test]
async fn joins_that_race_with_messages_have_no_gap_and_no_double_on_two_fanouts()
-> anyhow::Result<()> {
    races(Home::Distributed).await
}

#[tokio::test]
async fn what_breaks_the_rules_is_closed_and_nobody_else_notices() -> anyhow::Result<()> {
    let world = World::start(Home::Standalone).await?;
    Client::start("hostile.mjs", &settings(&world)?)?
        .result()
        .await?;
    Ok(())
}

#[tokio::test]
async fn reactions_typing_channels_threads_and_viewers_are_told_standalone() -> anyhow::Result<()> {
    shown_by("state.mjs", Home::Standalone).await.map(drop)
}

#[tokio::test]
async fn reactions_typing_channels_threads_and_viewers_are_told_on_two_fanouts()
-> anyhow::Result<()> {
    shown_by("state.mjs", Home::Distributed).await.map(drop)
}

#[tokio::test]
async fn every_other_way_to_watch_shows_the_same_standalone() -> anyhow::Result<()> {
    shown_by("ways.mjs", Home::Standalone).await.map(drop)
}

#[tokio::test]
async fn every_other_way_to_watch_shows_the_same_on_two_fanouts() -> anyhow::Result<()> {
    shown_by("ways.mjs", Home::Distributed).await.map(drop)
}

#[tokio::test]
async fn a_token_ends_is_renewed_and_is_revoked_on_open_sockets_standalone() -> anyhow::Result<()> {
    shown_by("tokens.mjs", Home::Standalone).await.map(drop)
}

#[tokio::test]
async fn a_token_ends_is_renewed_and_is_revoked_on_open_sockets_of_two_fanouts()
-> anyhow::Result<()> {
    shown_by("tokens.mjs", Home::Distributed).await.map(drop)
}

#[tokio::test]
async fn a_member_logs_in_through_discord_standalone() -> anyhow::Result<()> {
    shown_by("login.mjs", Home::Standalone).await.map(drop)
}

#[tokio::test]
async fn a_member_logs_in_through_discord_on_two_fanouts() -> anyhow::Result<()> {
    shown_by("login.mjs", Home::Distributed).await.map(drop)
}

/// The simulated Discord is what the most used library of others makes of it, and ingest sees what that one sees.
#[tokio::test]
async fn discord_js_and_ingest_see_the_same_of_one_script() -> anyhow::Result<()> {
    let result = shown_by("same.mjs", Home::Distributed).await?;
    assert!(result["events"].as_u64() >= Some(140), "{result}");
    Ok(())
}

#[tokio::test]
async fn what_was_posted_before_anybody_listened_is_on_the_first_page_standalone()
-> anyhow::Result<()> {
    shown_by("before.mjs", Home::Standalone).await.map(drop)
}

#[tokio::test]
async fn what_was_posted_before_anybody_listened_is_on_the_first_page_on_two_fanouts()
-> anyhow::Result<()> {
    shown_by("before.mjs", Home::Distributed).await.map(drop)
}
