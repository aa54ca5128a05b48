//! What is deleted stays deleted, whatever is replayed, and whoever is erased is nowhere.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use broker::{Broker as _, Freshness, Nats, NatsSettings};
use serde_json::{Value, json};
use tests::world::eventually;
use tests::{Client, Home, Plan, World};

async fn look(world: &World, phase: &str, mark: &str, state: &Value) -> anyhow::Result<Value> {
    let mut settings = crate::scenario::settings(world)?;
    settings["phase"] = json!(phase);
    settings["mark"] = json!(mark);
    settings["state"] = state.clone();
    let client = Client::start("gone.mjs", &settings)?;
    client.result().await.with_context(|| world.output())
}

/// How many living messages SQL has in the channels that are gone.
fn rows(world: &mut World, state: &Value) -> anyhow::Result<u64> {
    let channels = state["channels"].as_array().context("some are gone")?;
    let ids: Vec<_> = channels.iter().filter_map(Value::as_str).collect();
    ensure!(ids.len() == 2, "{state}");
    let ids = ids.join(", ");
    let count = "SELECT COUNT(*) FROM messages WHERE deleted = 0 AND channel_id IN";
    Ok(world.ask(&format!("{count} ({ids})"))?.parse()?)
}

async fn are_swept(world: &mut World, state: &Value) -> anyhow::Result<()> {
    eventually("the rows of what is gone are gone", async || {
        rows(world, state).is_ok_and(|rows| rows == 0)
    })
    .await
}

#[tokio::test]
async fn deleted_text_is_in_no_answer_standalone() -> anyhow::Result<()> {
    let world = World::start(Home::Standalone).await?;
    look(&world, "delete", "alone", &Value::Null)
        .await
        .map(drop)
}

#[tokio::test]
async fn deleted_text_is_in_no_answer_also_when_the_stream_is_archived_anew() -> anyhow::Result<()>
{
    let mut world = Plan::new(Home::Distributed)
        .with_one_ingest()
        .start()
        .await?;
    let state = &look(&world, "delete", "anew", &Value::Null).await?;
    are_swept(&mut world, state).await?;
    // The archive goes back to the stream's start, over a database that is full.
    let told = world.archived()?;
    world.kill_ingest().await?;
    world.sql("UPDATE archive_position SET sequence = 0")?;
    world.start_ingest()?;
    world.is_archived(told).await?;
    look(&world, "after the archive began anew", "anew", state).await?;
    // And a fanout that knows nothing but SQL and the stream.
    world.kill_fanout(0).await?;
    world.restart_fanout(0).await?;
    look(&world, "on a new instance", "anew", state).await?;
    // And an archive that begins with nothing.
    world.kill_ingest().await?;
    world.sql("DELETE FROM messages; UPDATE archive_position SET sequence = 0")?;
    world.start_ingest()?;
    world.is_archived(told).await?;
    look(&world, "after all was archived again", "anew", state).await?;
    are_swept(&mut world, state).await
}

fn messages_of(world: &mut World, guild: &str) -> anyhow::Result<u64> {
    let count = "SELECT COUNT(*) FROM messages WHERE deleted = 0 AND guild_id =";
    Ok(world.ask(&format!("{count} {guild}"))?.parse()?)
}

async fn holds(world: &mut World, what: &str, guild: &str, rows: u64) -> anyhow::Result<()> {
    eventually(what, async || {
        messages_of(world, guild).is_ok_and(|found| found == rows)
    })
    .await
}

#[tokio::test]
async fn an_outage_deletes_nothing_and_a_server_that_is_left_goes() -> anyhow::Result<()> {
    let plan = Plan::new(Home::Distributed).with_one_ingest();
    let mut world = plan.start().await?;
    let guild = world.guild()["id"].as_str().context("it has an id")?;
    let guild = guild.to_owned();
    let channel = world.public_channel()?.to_owned();
    world.load(&channel, 100, 20).await?;
    holds(&mut world, "the messages are archived", &guild, 20).await?;
    let path = format!("/sim/guilds/{guild}");
    let state = |state: &str| json!({ "state": state });
    world.sim(&path, state("unavailable")).await?;
    world.sim(&path, state("available")).await?;
    // Longer than the sweeper takes to look.
    world.load(&channel, 100, 1).await?;
    holds(&mut world, "the next message is archived", &guild, 21).await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    ensure!(
        messages_of(&mut world, &guild)? == 21,
        "an outage is no removal"
    );
    world.sim(&path, state("left")).await?;
    holds(&mut world, "the messages follow the server", &guild, 0).await?;
    world.sim(&path, state("available")).await?;
    world.load(&channel, 100, 3).await?;
    holds(&mut world, "a server that is back has messages", &guild, 3).await
}

/// Every event that the stream holds, as bytes.
async fn stream(world: &mut World) -> anyhow::Result<Vec<u8>> {
    let nats = Nats::connect(NatsSettings::new(world.nats_url()?, "test")).await?;
    let last = nats.state().await?.last;
    let (mut from, mut bytes) = (1, Vec::new());
    while from <= last {
        let read = nats.read(from, None, 500, Freshness::Leader).await?;
        for stored in &read.events {
            bytes.extend_from_slice(&stored.payload);
        }
        from = read.complete_to + 1;
    }
    nats.close().await;
    Ok(bytes)
}

fn count(receipt: &str, name: &str) -> anyhow::Result<u64> {
    let of = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
    let count = receipt.lines().find_map(of);
    count.with_context(|| format!("the receipt has no {name}: {receipt}"))
}

#[tokio::test]
async fn an_erased_user_is_nowhere() -> anyhow::Result<()> {
    let mut world = World::start(Home::Distributed).await?;
    let mut settings = crate::scenario::settings(&world)?;
    settings["mark"] = json!("e2e");
    let text = b"erased-e2e-";
    let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    let mut client = Client::start("erased.mjs", &settings)?;
    client.ready().await?;
    ensure!(
        holds(&stream(&mut world).await?),
        "the stream has it before"
    );
    let crew = settings["role"].clone();
    let members = world.guild()["members"].as_array().context("members")?;
    let is_human = |one: &&Value| {
        let roles = one["roles"].as_array();
        one["bot"] == false
            && one["id"] != world.guild()["owner_id"]
            && !roles.is_some_and(|roles| roles.contains(&crew))
    };
    let user = members.iter().rfind(is_human).context("a human")?;
    let user = user["id"].as_str().context("an id")?.to_owned();
    let receipt = world.ingest(&["erase", "--user", &user]).await?;
    // At least: the first look at the channel brought what they had posted before.
    for (name, least) in [("messages", 6), ("replies", 3), ("forwards", 1)] {
        ensure!(count(&receipt, name)? >= least, "{receipt}");
    }
    ensure!(count(&receipt, "events")? >= 11, "{receipt}");
    ensure!(!holds(receipt.as_bytes()), "{receipt}");
    let channel = world.public_channel()?.to_owned();
    world.load(&channel, 10, 1).await?;
    client.result().await.with_context(|| world.output())?;
    ensure!(!holds(&stream(&mut world).await?), "the stream tells it");
    let tables = [
        "messages",
        "channels",
        "members",
        "snapshots",
        "snapshot_parts",
    ];
    for table in tables {
        let found = format!("SELECT COUNT(*) FROM {table} WHERE body LIKE '%erased-e2e-%'");
        assert_eq!(world.ask(&found)?, "0", "{table}");
    }
    let again = world.ingest(&["erase", "--user", &user]).await?;
    for name in ["messages", "replies", "forwards", "events"] {
        assert_eq!(count(&again, name)?, 0, "{again}");
    }
    ensure!(world.ingest(&["erase", "--user", "nobody"]).await.is_err());
    Ok(())
}
