//! `make run`'s binary, started as `make run` starts it: with nothing at all.

use std::collections::HashSet;

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::process::program;
use tests::world::JWT_SECRET;
use tests::{Client, Home, Process, World};

/// Starts the demo on a data folder, and reads its page until some messages have arrived.
async fn visit(folder: &std::path::Path) -> anyhow::Result<Value> {
    let mut command = program("discord-stream")?;
    command
        .current_dir(folder)
        .env("PORT", "0")
        .env("DRAIN_SECONDS", "0")
        .env("SHUTDOWN_GRACE_MS", "0");
    let mut demo = Process::start("discord-stream", command)?;
    let page = demo.line_after("Discord Stream is at ").await?;
    let (url, token) = page
        .split_once("/#token=")
        .context("the address carries a token")?;
    assert!(
        url.starts_with("http://127.0.0.1:"),
        "the demo is for this machine alone: {url}"
    );
    let settings = json!({ "url": url, "token": token, "live": 3 });
    let result = Client::start("page.mjs", &settings)?.result().await?;
    demo.terminate().await?;
    Ok(result)
}

fn ids(result: &Value, field: &str) -> HashSet<String> {
    let ids = result[field].as_array().into_iter().flatten();
    ids.filter_map(|id| id.as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn the_demo_shows_channels_and_messages_and_finds_its_history_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let first = visit(folder.path()).await?;
    assert!(first["channels"].as_u64() >= Some(5), "{first}");
    let live = ids(&first, "live");
    assert!(live.len() >= 3, "{first}");
    let second = visit(folder.path()).await?;
    let pages = ids(&second, "pages");
    // The demo edits and deletes as people do: a deleted message is rightly gone.
    let found = live.iter().filter(|id| pages.contains(*id)).count();
    assert!(
        found + 1 >= live.len(),
        "{found} of {} are found again",
        live.len()
    );
    Ok(())
}

/// A service as an operator starts it who points it at the simulator: how it ends, and what it says.
async fn start_in_production(
    name: &str,
    world: &World,
    environment: &str,
) -> anyhow::Result<(Option<i32>, String)> {
    let folder = tempfile::tempdir()?;
    let text = |name: &str| world.overview[name].as_str().unwrap_or_default();
    let nobody = "127.0.0.1:9";
    let started = program(name)?
        .current_dir(folder.path())
        .env("APP_ENV", environment)
        .env("PORT", "0")
        .env("METRICS_PORT", "0")
        .env("DATA_DIR", folder.path())
        .env("JWT_SECRET", JWT_SECRET)
        .env("NATS_URL", format!("nats://{nobody}"))
        // Whoever goes on beyond the credentials stops here.
        .env("DATABASE_URL", "none://none")
        .env("DISCORD_API_URL", format!("{}/api/v10", world.sim_url))
        .env("DISCORD_OAUTH_URL", format!("{}/oauth2", world.sim_url))
        .env("DISCORD_BOT_TOKEN", text("token"))
        .env("DISCORD_CLIENT_ID", text("client_id"))
        .env("DISCORD_CLIENT_SECRET", text("client_secret"))
        .output()
        .await?;
    let said = String::from_utf8_lossy(&started.stderr).into_owned()
        + &String::from_utf8_lossy(&started.stdout);
    for secret in [text("token"), text("client_secret")] {
        assert!(!said.contains(secret), "{said}");
    }
    Ok((started.status.code(), said))
}

#[tokio::test]
async fn no_service_takes_the_simulated_discord_in_production() -> anyhow::Result<()> {
    let world = World::start(Home::Standalone).await?;
    for (name, setting) in [
        ("fanout", "DISCORD_CLIENT_SECRET"),
        ("ingest", "DISCORD_BOT_TOKEN"),
    ] {
        let (code, said) = start_in_production(name, &world, "production").await?;
        assert_eq!(code, Some(64), "{name}: {said}");
        assert!(said.contains(setting), "{name}: {said}");
        // Elsewhere it is the next setting that stops it.
        let (code, said) = start_in_production(name, &world, "staging").await?;
        assert_eq!(code, Some(64), "{name}: {said}");
        assert!(said.contains("DATABASE_URL"), "{name}: {said}");
    }
    // The standalone binary refuses its demo and the credentials that it would have.
    let (code, said) = start_in_production("discord-stream", &world, "production").await?;
    assert_eq!(code, Some(64), "{said}");
    Ok(())
}
