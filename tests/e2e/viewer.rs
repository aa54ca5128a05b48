//! The viewer page: the built files are those that the sources give, its unit tests pass, and Chromium reads
//! it on a running world. Node, npm and Chromium are required: a missing one is a failure, never a skip.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use tests::{Client, Home, Plan, Process, World};
use tokio::process::Command;

fn folder() -> PathBuf {
    crate::sources::root().join("fanout/viewer")
}

/// `npm <arguments>` in a folder, to its successful end.
async fn npm(folder: &Path, arguments: &[&str], output: Option<&Path>) -> anyhow::Result<String> {
    let mut command = Command::new("npm");
    command.current_dir(folder).args(arguments);
    if let Some(output) = output {
        command.env("VIEWER_OUT", output);
    }
    Process::start("npm", command)?.success().await
}

/// Every file below a folder, by its path within it.
fn files(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root)?.to_owned(), std::fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

/// The sources without what was installed or built from them.
fn copy_sources(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().context("an entry has a name")?;
        if name == "node_modules" || name == "dist" {
            continue;
        }
        let target = to.join(name);
        if path.is_dir() {
            copy_sources(&path, &target)?;
        } else {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_committed_page_is_what_its_sources_give_and_its_tests_pass() -> anyhow::Result<()> {
    // In a folder of its own, as deep as in the project, for its tests read the corpus of messages: nothing that a
    // developer installed or left lying about takes part.
    let copy = tempfile::tempdir()?;
    let sources = copy.path().join("fanout/viewer");
    copy_sources(&folder(), &sources)?;
    let corpus = Path::new("tests/corpus");
    copy_sources(
        &crate::sources::root().join(corpus),
        &copy.path().join(corpus),
    )?;
    npm(
        &sources,
        &["ci", "--no-audit", "--no-fund", "--loglevel=error"],
        None,
    )
    .await?;
    let built = sources.join("built");
    npm(&sources, &["run", "build"], Some(&built)).await?;
    let (fresh, committed) = (files(&built)?, files(&folder().join("dist"))?);
    assert_eq!(
        fresh.keys().collect::<Vec<_>>(),
        committed.keys().collect::<Vec<_>>(),
        "fanout/viewer/dist is stale: `make viewer`"
    );
    for (path, bytes) in &fresh {
        assert!(
            committed.get(path) == Some(bytes),
            "fanout/viewer/dist/{} is stale: `make viewer`",
            path.display()
        );
    }
    assert!(
        fresh
            .keys()
            .all(|path| path.extension() != Some("map".as_ref())),
        "source maps are not shipped"
    );
    npm(&sources, &["run", "check"], None).await?;
    let tests = npm(&sources, &["test"], None).await?;
    assert!(tests.contains("passed"), "{tests}");
    Ok(())
}

#[test]
fn the_committed_page_has_nothing_inline() -> anyhow::Result<()> {
    let html = std::fs::read_to_string(folder().join("dist/index.html"))?;
    assert!(!html.contains("<style"), "an inline style");
    assert!(!html.contains(" style="), "an inline style");
    for script in html.split("<script").skip(1) {
        let tag = script.split('>').next().unwrap_or_default();
        assert!(tag.contains("src=\"./assets/"), "an inline script: {tag}");
    }
    Ok(())
}

/// With SCREENSHOTS=<folder> it also takes the README's pictures (`make screenshots`).
#[tokio::test]
async fn chromium_reads_the_page_and_what_happens_while_its_instance_is_killed()
-> anyhow::Result<()> {
    let mut world = World::start(Home::Distributed).await?;
    let mut settings = json!({
        "url": world.page_url(),
        "urls": world.urls,
        "sim": world.sim_url,
        "world": world.overview,
    });
    if let Ok(folder) = std::env::var("SCREENSHOTS") {
        settings["screenshots"] = json!(folder);
    }
    let mut client = Client::start("browser/page.mjs", &settings)?;
    let number = client.line_after("kill ").await?.parse()?;
    world.kill_fanout(number).await?;
    let result = client.result().await.with_context(|| world.output())?;
    println!("{result}");
    let done = result["done"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(done, 15, "every step was gone through: {result}");
    Ok(())
}

/// The site that may embed a channel of that world.
const SITE: &str = "http://blog.example";

/// With SCREENSHOTS=<folder> it also takes pictures of what it sees.
#[tokio::test]
async fn chromium_shows_an_embedded_channel_to_the_named_site_alone() -> anyhow::Result<()> {
    let plan = Plan::new(Home::Distributed).with("EMBED_ORIGINS", SITE);
    let world = plan.start().await?;
    let named = |name: &str| -> anyhow::Result<String> {
        let channels = world.guild()["channels"].as_array().context("channels")?;
        let mut channels = channels.iter();
        let channel = channels.find(|channel| channel["name"] == name);
        let id = channel.and_then(|channel| channel["id"].as_str());
        Ok(id.with_context(|| name.to_owned())?.to_owned())
    };
    let (open, hidden) = (named("general")?, named("crew-room")?);
    let both = format!("{open},{hidden}");
    let page = |more: Vec<&'static str>| {
        let arguments = [vec!["--channels", both.as_str()], more].concat();
        let world = &world;
        async move { world.token_with("1", "blog", &arguments).await }
    };
    let mut settings = json!({
        "url": world.page_url(),
        "site": SITE,
        "sim": world.sim_url,
        "world": world.overview,
        "open": open,
        "hidden": hidden,
        "token": page(vec![]).await?,
        "private": page(vec!["--private"]).await?,
    });
    if let Ok(folder) = std::env::var("SCREENSHOTS") {
        settings["screenshots"] = json!(folder);
    }
    let client = Client::start("browser/embed.mjs", &settings)?;
    let result = client.result().await.with_context(|| world.output())?;
    println!("{result}");
    let done = result["done"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(done, 9, "every step was gone through: {result}");
    Ok(())
}

#[tokio::test]
async fn chromium_logs_in_and_out_and_is_refused_what_is_not_its_own_login() -> anyhow::Result<()> {
    let world = World::start(Home::Distributed).await?;
    let settings = json!({
        "url": world.page_url(),
        "urls": world.urls,
        "sim": world.sim_url,
        "world": world.overview,
    });
    let client = Client::start("browser/oauth.mjs", &settings)?;
    let result = client.result().await.with_context(|| world.output())?;
    println!("{result}");
    let done = result["done"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(done, 8, "every step was gone through: {result}");
    Ok(())
}
