//! Limits over two instances: one, while Redis is there; one an instance, while it is not.

use serde_json::{Value, json};
use tests::world::eventually;
use tests::{Client, Home, Plan, World};

/// Requests of a user in a window: small, so that a flood is soon refused and a refusal soon over.
const MAX: u32 = 20;
const WINDOW_MS: u32 = 10_000;

async fn flood(world: &World, phase: &str, user: usize) -> anyhow::Result<Value> {
    let mut settings = crate::scenario::settings(world)?;
    settings["max"] = json!(MAX);
    settings["window"] = json!(WINDOW_MS);
    settings["phase"] = json!(phase);
    settings["user"] = json!(user);
    let result = Client::start("limits.mjs", &settings)?.result().await?;
    println!("{phase}: {result}");
    Ok(result)
}

async fn are_all(world: &World, status: &str, redis: &str) -> anyhow::Result<()> {
    for url in &world.urls {
        eventually("the instance tells how it is", async || {
            let health = world.get(&format!("{url}/api/health")).await;
            health.is_ok_and(|health| {
                health["status"] == status && health["checks"]["redis"] == redis
            })
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_instances_limit_as_one_and_each_for_itself_without_redis() -> anyhow::Result<()> {
    let plan = Plan::new(Home::Distributed)
        .with("RATE_LIMIT_MAX_REQUESTS", MAX)
        .with("RATE_LIMIT_WINDOW_MS", WINDOW_MS);
    let mut world = plan.start().await?;
    flood(&world, "shared", 0).await?;
    world.kill_redis()?;
    are_all(&world, "degraded", "down").await?;
    flood(&world, "alone", 1).await?;
    world.restart_redis()?;
    are_all(&world, "healthy", "up").await?;
    flood(&world, "shared", 2).await?;
    Ok(())
}
