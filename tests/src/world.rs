//! A world: the simulated Discord, one column of the seam table, a load balancer, and their faults.

use std::fmt::Display;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::balancer::Balancer;
use crate::mariadb_server::MariaDb;
use crate::nats_server::NatsServer;
use crate::postgres_server::Postgres;
use crate::process::{PATIENCE, Process, program};
use crate::redis_server::RedisServer;
use crate::sql::Sql;

/// The secret that all tokens of the tests are signed with.
pub const JWT_SECRET: &str = "a secret of the tests that is longer than 32 bytes";

/// What opens the details of the status routes.
pub const OPS_TOKEN: &str = "the operators' token of the tests";

/// Which column of the seam table a world is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// The standalone binary: embedded broker and store, limits within the process.
    Standalone,
    /// Two ingests, of which one stands by, and two fanouts, on NATS, Redis and MariaDB.
    Distributed,
    /// The same on PostgreSQL.
    DistributedOnPostgres,
}

/// A world to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    home: Home,
    ingests: usize,
    members: usize,
    settings: Vec<(String, String)>,
}

impl Plan {
    /// The usual world of a home. Its clients are many and come from one address, so nothing is limited.
    #[must_use]
    pub fn new(home: Home) -> Self {
        let unlimited = [
            "RATE_LIMIT_MAX_REQUESTS",
            "CONNECT_RATE_PER_ADDRESS",
            "CONNECTIONS_PER_USER_MAX",
            "CONNECTIONS_PER_ADDRESS_MAX",
        ];
        Self {
            home,
            ingests: 2,
            members: 0,
            settings: unlimited
                .map(|name| (name.to_owned(), "0".to_owned()))
                .to_vec(),
        }
    }

    /// With this setting for every service of ours.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// With so many further members of whom Discord's greeting says nothing.
    #[must_use]
    pub fn with_members(mut self, members: usize) -> Self {
        self.members = members;
        self
    }

    /// With one ingest, and nobody to stand by for it.
    #[must_use]
    pub fn with_one_ingest(mut self) -> Self {
        self.ingests = 1;
        self
    }

    /// Starts it, and waits until all of it is ready and knows Discord's guilds.
    ///
    /// # Errors
    /// A part is missing, or not ready in time.
    pub async fn start(self) -> anyhow::Result<World> {
        World::of(self).await
    }
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
    /// Where each fanout, or the standalone binary, serves its metrics.
    pub metrics: Vec<String>,
    plan: Plan,
    servers: Option<Servers>,
    balancer: Balancer,
    folder: TempDir,
    _sim: Process,
    ingests: Vec<Process>,
    fanouts: Vec<Option<Process>>,
    http: reqwest::Client,
}

/// What the distributed home stands on.
#[derive(Debug)]
struct Servers {
    nats: NatsServer,
    redis: RedisServer,
    sql: Sql,
}

impl Servers {
    fn start(sql: Sql) -> Self {
        Self {
            nats: NatsServer::start(),
            redis: RedisServer::start(),
            sql,
        }
    }
}

impl World {
    /// The usual world of a home.
    ///
    /// # Errors
    /// A part is missing, or not ready in time.
    pub async fn start(home: Home) -> anyhow::Result<Self> {
        Plan::new(home).start().await
    }

    async fn of(plan: Plan) -> anyhow::Result<Self> {
        // The first one of a process wins; the others find what they want.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::new();
        let mut sim_command = program("discord-sim")?;
        sim_command.args(["--port", "0", "--quiet"]);
        if plan.members > 0 {
            sim_command.args(["--members", &plan.members.to_string()]);
        }
        let mut sim = Process::start("discord-sim", sim_command)?;
        let sim_url = sim.line_after("listening on ").await?;
        let overview = http.get(format!("{sim_url}/sim/world")).send().await?;
        let overview = overview.json().await?;
        let servers = match plan.home {
            Home::Standalone => None,
            Home::Distributed => Some(Servers::start(Sql::MariaDb(MariaDb::start()))),
            Home::DistributedOnPostgres => Some(Servers::start(Sql::Postgres(Postgres::start()))),
        };
        let mut world = Self {
            sim_url,
            overview,
            urls: Vec::new(),
            metrics: Vec::new(),
            servers,
            balancer: Balancer::start().await?,
            folder: tempfile::tempdir()?,
            _sim: sim,
            ingests: Vec::new(),
            fanouts: Vec::new(),
            http,
            plan,
        };
        match world.plan.home {
            Home::Standalone => world.start_fanout("0").await?,
            Home::Distributed | Home::DistributedOnPostgres => {
                for _ in 0..world.plan.ingests {
                    world.start_ingest()?;
                }
                world.start_fanout("0").await?;
                world.start_fanout("0").await?;
            }
        }
        world.is_settled().await?;
        Ok(world)
    }

    /// The load balancer's base address, which the page has for all instances.
    pub fn page_url(&self) -> String {
        self.balancer.url()
    }

    /// Cuts every connection that goes through the load balancer, and each new one, until [`Self::mend_connections`].
    pub fn cut_connections(&self) {
        self.balancer.cut();
    }

    /// Lets connections through the load balancer again.
    pub fn mend_connections(&self) {
        self.balancer.mend();
    }

    fn servers(&mut self) -> anyhow::Result<&mut Servers> {
        self.servers.as_mut().context("this home has no servers")
    }

    /// Starts an ingest, again after [`Self::kill_ingest`].
    ///
    /// # Errors
    /// It can't be started.
    pub fn start_ingest(&mut self) -> anyhow::Result<()> {
        let command = self.service("ingest", "0")?;
        self.ingests.push(Process::start("ingest", command)?);
        Ok(())
    }

    /// Ends every ingest as a crash would.
    ///
    /// # Errors
    /// One can't be ended.
    pub async fn kill_ingest(&mut self) -> anyhow::Result<()> {
        for mut ingest in self.ingests.drain(..) {
            ingest.kill().await?;
        }
        Ok(())
    }

    /// Waits until an ingest ends by itself; how it ended, and what it has written.
    ///
    /// # Errors
    /// It does not end in time, or none runs.
    pub async fn ended_ingest(&mut self) -> anyhow::Result<(ExitStatus, String)> {
        let ingest = self.ingests.pop().context("ingest runs")?;
        ingest.end().await
    }

    /// Ends the broker's server as a crash would.
    ///
    /// # Errors
    /// This home has none.
    pub fn kill_nats(&mut self) -> anyhow::Result<()> {
        self.servers()?.nats.kill();
        Ok(())
    }

    /// Starts the broker's server again, on its port and its data.
    ///
    /// # Errors
    /// This home has none.
    pub fn restart_nats(&mut self) -> anyhow::Result<()> {
        self.servers()?.nats.restart();
        Ok(())
    }

    /// Ends Redis as a crash would.
    ///
    /// # Errors
    /// This home has none.
    pub fn kill_redis(&mut self) -> anyhow::Result<()> {
        self.servers()?.redis.kill();
        Ok(())
    }

    /// Starts Redis again, empty, on its port.
    ///
    /// # Errors
    /// This home has none.
    pub fn restart_redis(&mut self) -> anyhow::Result<()> {
        self.servers()?.redis.restart();
        Ok(())
    }

    /// Runs a statement in the database.
    ///
    /// # Errors
    /// This home has none.
    pub fn sql(&mut self, statement: &str) -> anyhow::Result<()> {
        self.servers()?.sql.ask(statement);
        Ok(())
    }

    /// What the database answers, bare.
    ///
    /// # Errors
    /// This home has none.
    pub fn ask(&mut self, statement: &str) -> anyhow::Result<String> {
        Ok(self.servers()?.sql.ask(statement))
    }

    /// Runs a command of ingest's beside the services; what it prints.
    ///
    /// # Errors
    /// It fails.
    pub async fn ingest(&mut self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.service("ingest", "0")?;
        command.args(arguments).kill_on_drop(true);
        let done = tokio::time::timeout(3 * PATIENCE, command.output()).await;
        let done = done.context("the command does not end")??;
        let told = String::from_utf8_lossy(&done.stderr);
        anyhow::ensure!(done.status.success(), "{arguments:?}: {told}");
        Ok(String::from_utf8(done.stdout)?)
    }

    /// The broker's address.
    ///
    /// # Errors
    /// This home has none.
    pub fn nats_url(&mut self) -> anyhow::Result<String> {
        Ok(self.servers()?.nats.url())
    }

    /// Asks JetStream's API as an operator's tool does (`STREAM.PURGE.DISCORD`).
    ///
    /// # Errors
    /// It refuses, or this home has none.
    pub fn jetstream(&mut self, subject: &str, payload: &Value) -> anyhow::Result<Value> {
        let url = self.nats_url()?;
        let port = url.rsplit_once(':').context("a URL has a port")?.1;
        let answer = crate::jetstream::ask(port.parse()?, subject, payload)?;
        anyhow::ensure!(answer["error"].is_null(), "{subject}: {answer}");
        Ok(answer)
    }

    /// Removes the stream, and waits until it is made anew and every fanout has left the old one: whoever is connected
    /// is cut off then.
    ///
    /// # Errors
    /// Not in time, or this home has none.
    pub async fn renew_stream(&mut self) -> anyhow::Result<()> {
        self.jetstream("STREAM.DELETE.DISCORD", &Value::Null)?;
        for fanout in self.fanouts.iter_mut().flatten() {
            fanout.line_after("the stream was made anew").await?;
        }
        self.is_settled().await
    }

    /// How far the archive is, as the database says.
    ///
    /// # Errors
    /// This home has none.
    pub fn archived(&mut self) -> anyhow::Result<u64> {
        let told = self
            .servers()?
            .sql
            .ask("SELECT sequence FROM archive_position");
        told.parse().with_context(|| told.clone())
    }

    /// Waits until the archive has come so far.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn is_archived(&mut self, sequence: u64) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.archived()? < sequence {
            anyhow::ensure!(Instant::now() < until, "the archive does not catch up");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Ends a fanout as a crash would.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill_fanout(&mut self, number: usize) -> anyhow::Result<()> {
        let fanout = self.fanouts.get_mut(number).and_then(Option::take);
        fanout.context("it runs")?.kill().await
    }

    /// Starts a killed fanout again, on its port.
    ///
    /// # Errors
    /// It can't be started.
    pub async fn restart_fanout(&mut self, number: usize) -> anyhow::Result<()> {
        let url = self.urls.get(number).context("there was one")?;
        let port = url.rsplit_once(':').context("it has a port")?.1.to_owned();
        let mut fanout = Process::start("fanout", self.service("fanout", &port)?)?;
        fanout.line_after("fanout listens address=").await?;
        if let Some(place) = self.fanouts.get_mut(number) {
            *place = Some(fanout);
        }
        self.is_settled().await
    }

    async fn start_fanout(&mut self, port: &str) -> anyhow::Result<()> {
        let name = match self.plan.home {
            Home::Standalone => "discord-stream",
            Home::Distributed | Home::DistributedOnPostgres => "fanout",
        };
        let mut fanout = Process::start(name, self.service(name, port)?)?;
        self.metrics.push(metrics_of(&mut fanout).await?);
        let address = fanout.line_after("fanout listens address=").await?;
        let port = address.rsplit_once(':').context("an address has a port")?.1;
        self.urls.push(format!("http://127.0.0.1:{port}"));
        self.balancer.add(port.parse()?);
        self.fanouts.push(Some(fanout));
        Ok(())
    }

    /// A service of ours with the settings of this world.
    fn service(&self, name: &str, port: &str) -> anyhow::Result<Command> {
        let folder = self.folder.path();
        let text = |name: &str| self.overview[name].as_str().unwrap_or_default();
        let page = self.page_url();
        let mut command = program(name)?;
        command
            .current_dir(folder)
            .env("PORT", port)
            .env("JWT_SECRET", JWT_SECRET)
            .env("OPS_TOKEN", OPS_TOKEN)
            .env("DATA_DIR", folder)
            .env("FRONTEND_URL", &page)
            .env("DISCORD_API_URL", format!("{}/api/v10", self.sim_url))
            .env("DISCORD_OAUTH_URL", format!("{}/oauth2", self.sim_url))
            .env("DISCORD_CDN_URL", &self.sim_url)
            .env("DISCORD_BOT_TOKEN", text("token"))
            .env("DISCORD_CLIENT_ID", text("client_id"))
            .env("DISCORD_CLIENT_SECRET", text("client_secret"))
            .env(
                "DISCORD_REDIRECT_URI",
                format!("{page}/api/auth/discord/callback"),
            )
            .env("METRICS_PORT", "0")
            .env("PEER_PORT", "0")
            .env("SHUTDOWN_GRACE_MS", "0")
            .env("DRAIN_SECONDS", "0");
        if let Some(servers) = &self.servers {
            command
                .env("NATS_URL", servers.nats.url())
                .env("PEER_PORT", "0")
                .env("REDIS_URL", servers.redis.url())
                .env("DATABASE_URL", servers.sql.url());
        }
        command.envs(self.plan.settings.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Waits until every fanout is ready and hears ingest.
    async fn is_settled(&self) -> anyhow::Result<()> {
        for (url, _) in self.running() {
            eventually("a fanout is ready and hears ingest", async || {
                let ready = self.http.get(format!("{url}/api/ready")).send().await;
                let health = self.get(&format!("{url}/api/health")).await;
                let is_heard = health.is_ok_and(|health| health["checks"]["ingest"] == "up");
                ready.is_ok_and(|answer| answer.status().is_success()) && is_heard
            })
            .await
            .with_context(|| self.output())?;
        }
        Ok(())
    }

    /// Where the only ingest serves its metrics.
    ///
    /// # Errors
    /// It does not run.
    pub async fn ingest_metrics(&mut self) -> anyhow::Result<String> {
        metrics_of(self.ingests.first_mut().context("ingest runs")?).await
    }

    /// Asks the services to end, the fanouts first, and waits until they have.
    ///
    /// # Errors
    /// One of them does not end well.
    pub async fn terminate(mut self) -> anyhow::Result<()> {
        let fanouts = std::mem::take(&mut self.fanouts).into_iter().flatten();
        for service in fanouts.chain(std::mem::take(&mut self.ingests)) {
            service.terminate().await?;
        }
        Ok(())
    }

    fn running(&self) -> impl Iterator<Item = (&String, &Process)> {
        let fanouts = self.urls.iter().zip(&self.fanouts);
        fanouts.filter_map(|(url, fanout)| Some((url, fanout.as_ref()?)))
    }

    /// What each service has written so far: ingest, then the fanouts.
    pub fn outputs(&self) -> Vec<String> {
        let fanouts = self.running().map(|(_, fanout)| fanout);
        let services = self.ingests.iter().chain(fanouts);
        services.map(Process::output).collect()
    }

    /// All of it, for a test that fails.
    pub fn output(&self) -> String {
        self.outputs().join("\n----\n")
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
        self.token_with(id, username, &[]).await
    }

    /// A token with these further arguments.
    ///
    /// # Errors
    /// The command fails.
    pub async fn token_with(
        &self,
        id: &str,
        username: &str,
        more: &[&str],
    ) -> anyhow::Result<String> {
        let mut command = program("fanout")?;
        command.args(["token", "--discord-id", id, "--username", username]);
        command.args(more);
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

/// Where a service serves its metrics, as it says at its start.
async fn metrics_of(service: &mut Process) -> anyhow::Result<String> {
    let address = service.line_after("metrics are served address=").await?;
    let port = address.rsplit_once(':').context("an address has a port")?.1;
    Ok(format!("http://127.0.0.1:{port}/metrics"))
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
