//! What is deleted stays deleted, whatever is replayed.

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::{Client, Home, Plan, World};

async fn look(world: &World, phase: &str, mark: &str, offset: &Value) -> anyhow::Result<Value> {
    let mut settings = crate::scenario::settings(world)?;
    settings["phase"] = json!(phase);
    settings["mark"] = json!(mark);
    settings["offset"] = offset.clone();
    let client = Client::start("gone.mjs", &settings)?;
    client.result().await.with_context(|| world.output())
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
    let first = look(&world, "delete", "anew", &Value::Null).await?;
    let offset = &first["offset"];
    // The archive goes back to the stream's start, over a database that is full.
    let told = world.archived()?;
    world.kill_ingest().await?;
    world.sql("UPDATE archive_position SET sequence = 0")?;
    world.start_ingest()?;
    world.is_archived(told).await?;
    look(&world, "after the archive began anew", "anew", offset).await?;
    // And a fanout that knows nothing but SQL and the stream.
    world.kill_fanout(0).await?;
    world.restart_fanout(0).await?;
    look(&world, "on a new instance", "anew", offset).await?;
    // And an archive that begins with nothing.
    world.kill_ingest().await?;
    world.sql("DELETE FROM messages; UPDATE archive_position SET sequence = 0")?;
    world.start_ingest()?;
    world.is_archived(told).await?;
    look(&world, "after all was archived again", "anew", offset).await?;
    Ok(())
}
