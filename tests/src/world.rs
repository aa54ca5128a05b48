//! A world: the simulated Discord, one home of the product, and its faults.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::nats_server::NatsServer;
use crate::process::{PATIENCE, Process};

/// The secret that all tokens of the tests are signed with.
pub const JWT_SECRET: &str = "a secret of the tests that is longer than 32 bytes";

/// Which column of the seam table a world is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// The standalone binary: embedded broker and store.
    Standalone,
    /// Ingest and two fanouts on NATS, with SQLite.
    Distributed,
}

/// Everything that runs for one test.
#[derive(Debug)]
pub struct World {
    /// The simulated Discord's base address.
    pub sim_url: String,
    /// Its `GET /sim/world`.
    pub overview: Value,
    /// The fanouts' base addresses.
    pub urls: Vec<String>,
    /// The broker, in the distributed home.
    nats: Option<NatsServer>,
    folder: TempDir,
    ingest: Option<Process>,
    /// The simulator and the fanouts: they live as long as the world.
    running: Vec<Process>,
    http: reqwest::Client,
}

impl World {
    /// Starts a world, and waits until all of it is ready and knows Discord's guilds.
    ///
    /// # Errors
    /// A part is missing, or not ready in time.
    pub async fn start(home: Home) -> anyhow::Result<Self> {
        // The first one of a process wins; the others find what they want.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::new();
        let mut sim_command = program("discord-sim")?;
        sim_command.args(["--port", "0", "--quiet"]);
        let mut sim = Process::start("discord-sim", sim_command)?;
        let sim_url = sim.line_after("listening on ").await?;
        let overview = http
            .get(format!("{sim_url}/sim/world"))
            .send()
            .await?
            .json()
            .await?;
        let mut world = Self {
            sim_url,
            overview,
            urls: Vec::new(),
            nats: (home == Home::Distributed).then(NatsServer::start),
            folder: tempfile::tempdir()?,
            ingest: None,
            running: vec![sim],
            http,
        };
        match home {
            Home::Standalone => world.start_fanout("discord-stream").await?,
            Home::Distributed => {
                world.start_ingest()?;
                world.start_fanout("fanout").await?;
                world.start_fanout("fanout").await?;
            }
        }
        world.is_settled().await?;
        Ok(world)
    }

    /// Starts ingest, again after [`Self::kill_ingest`].
    ///
    /// # Errors
    /// It can't be started.
    pub fn start_ingest(&mut self) -> anyhow::Result<()> {
        let command = self.service("ingest")?;
        self.ingest = Some(Process::start("ingest", command)?);
        Ok(())
    }

    /// Ends ingest as a crash would.
    ///
    /// # Errors
    /// There is none.
    pub async fn kill_ingest(&mut self) -> anyhow::Result<()> {
        let mut ingest = self.ingest.take().context("ingest runs")?;
        ingest.kill().await
    }

    /// Ends the broker's server as a crash would.
    ///
    /// # Errors
    /// This home has none.
    pub fn kill_nats(&mut self) -> anyhow::Result<()> {
        self.nats.as_mut().context("this home has a broker")?.kill();
        Ok(())
    }

    /// Starts the broker's server again, on its port and its data.
    ///
    /// # Errors
    /// This home has none.
    pub fn restart_nats(&mut self) -> anyhow::Result<()> {
        self.nats
            .as_mut()
            .context("this home has a broker")?
            .restart();
        Ok(())
    }

    async fn start_fanout(&mut self, name: &str) -> anyhow::Result<()> {
        let mut fanout = Process::start(name, self.service(name)?)?;
        let address = fanout.line_after("fanout listens address=").await?;
        let port = address.rsplit_once(':').context("an address has a port")?.1;
        self.urls.push(format!("http://127.0.0.1:{port}"));
        self.running.push(fanout);
        Ok(())
    }

    /// A service of ours with the settings of this world, on a port that it takes itself.
    fn service(&self, name: &str) -> anyhow::Result<Command> {
        let folder = self.folder.path();
        let mut command = program(name)?;
        command
            .current_dir(folder)
            .env("PORT", "0")
            .env("JWT_SECRET", JWT_SECRET)
            .env("DATA_DIR", folder)
            .env(
                "DATABASE_URL",
                format!("sqlite://{}", folder.join("store.db").display()),
            )
            .env("DISCORD_API_URL", format!("{}/api/v10", self.sim_url))
            .env(
                "DISCORD_BOT_TOKEN",
                self.overview["token"].as_str().unwrap_or_default(),
            )
            // All clients of a test come from one address, and ask as fast as they can.
            .env("CONNECT_RATE_PER_ADDRESS", "0")
            .env("RATE_LIMIT_MAX_REQUESTS", "0")
            .env("SHUTDOWN_GRACE_MS", "0")
            .env("DRAIN_SECONDS", "0")
            .env(
                "NATS_URL",
                self.nats.as_ref().map(NatsServer::url).unwrap_or_default(),
            );
        Ok(command)
    }

    /// Waits until every fanout is ready and shows the first guild's owner a channel of every guild of theirs.
    async fn is_settled(&self) -> anyhow::Result<()> {
        for url in &self.urls {
            eventually("a fanout is ready and hears ingest", async || {
                let ready = self.http.get(format!("{url}/api/ready")).send().await;
                let health = self.get(&format!("{url}/api/health")).await;
                let is_heard = health.is_ok_and(|health| health["checks"]["ingest"] == "up");
                ready.is_ok_and(|answer| answer.status().is_success()) && is_heard
            })
            .await?;
        }
        Ok(())
    }

    /// The JSON of an address.
    ///
    /// # Errors
    /// No answer, or no JSON.
    pub async fn get(&self, url: &str) -> anyhow::Result<Value> {
        Ok(self.http.get(url).send().await?.json().await?)
    }

    /// Drives the simulated Discord (contract.md §6).
    ///
    /// # Errors
    /// It refuses.
    pub async fn sim(&self, path: &str, body: Value) -> anyhow::Result<()> {
        let url = format!("{}{path}", self.sim_url);
        let token = self.overview["token"].as_str().unwrap_or_default();
        let request = self
            .http
            .post(url)
            .header("Authorization", format!("Bot {token}"));
        let answer = request.json(&body).send().await?;
        anyhow::ensure!(
            answer.status().is_success(),
            "{path}: {}",
            answer.text().await?
        );
        Ok(())
    }

    /// Messages at a rate, numbered from 1 (`n=<k>;…`).
    ///
    /// # Errors
    /// The simulator refuses.
    pub async fn load(&self, channel: &str, rate: u32, count: u32) -> anyhow::Result<()> {
        let load = json!({ "channelId": channel, "rate": rate, "count": count });
        self.sim("/sim/load", load).await
    }

    /// A token, printed by `fanout token`.
    ///
    /// # Errors
    /// The command fails.
    pub async fn token(&self, id: &str, username: &str) -> anyhow::Result<String> {
        let mut command = program("fanout")?;
        command.args(["token", "--discord-id", id, "--username", username]);
        command
            .env("JWT_SECRET", JWT_SECRET)
            .current_dir(self.folder.path());
        Ok(Process::start("fanout token", command)?
            .success()
            .await?
            .trim()
            .to_owned())
    }

    /// The first guild, as `/sim/world` shows it.
    pub fn guild(&self) -> &Value {
        &self.overview["guilds"][0]
    }

    /// A public text channel of the first guild.
    ///
    /// # Errors
    /// There is none.
    pub fn public_channel(&self) -> anyhow::Result<&str> {
        let channels = self.guild()["channels"]
            .as_array()
            .context("a guild has channels")?;
        let public = channels
            .iter()
            .find(|c| c["type"] == 0 && c["private"] == false);
        public
            .and_then(|channel| channel["id"].as_str())
            .context("one is public")
    }
}

/// Waits until a condition holds.
///
/// # Errors
/// It does not within [`PATIENCE`].
pub async fn eventually(
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    while !condition().await {
        if Instant::now() > until {
            bail!("not in time: {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A program of the workspace, from the folder that this test was built into, with an empty environment.
///
/// # Errors
/// It was not built.
pub fn program(name: &str) -> anyhow::Result<Command> {
    let test = std::env::current_exe()?;
    let folder = test.ancestors().find(|folder| folder.ends_with("deps"));
    let folder = folder
        .and_then(Path::parent)
        .context("a test lies in target/<profile>/deps")?;
    let path: PathBuf = folder.join(name);
    anyhow::ensure!(
        path.exists(),
        "{} is missing: `make test` builds it",
        path.display()
    );
    let mut command = Command::new(path);
    command.env_clear();
    Ok(command)
}
