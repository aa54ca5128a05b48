//! `make run`'s binary, started as `make run` starts it: with nothing at all.

use std::collections::HashSet;

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::world::program;
use tests::{Client, Process};

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
