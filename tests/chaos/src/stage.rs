//! The stage: everything that runs, each part killable, each link cuttable.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::link::Link;
use crate::mariadb_server::MariaDb;
use crate::postgres_server::Postgres;
use crate::posts::Discord;
use crate::process::{PATIENCE, Process, program};
use crate::redis_server::RedisServer;
use crate::service::{Links, Service};
use crate::sql::Sql;

/// The secret that all tokens are signed with.
const JWT_SECRET: &str = "a secret of the fault suite that is longer than 32 bytes";
/// What opens the details of the status routes.
const OPS_TOKEN: &str = "the operators' token of the fault suite";

/// Viewers ping so often, and are given up so long after: a cut that nobody says is noticed within seconds.
const PINGS: [(&str, &str); 2] = [
    ("SOCKET_PING_INTERVAL", "4000"),
    ("SOCKET_PING_TIMEOUT", "4000"),
];

/// Viewers are many and come from one address: nothing is limited.
const UNLIMITED: [&str; 4] = [
    "RATE_LIMIT_MAX_REQUESTS",
    "CONNECT_RATE_PER_ADDRESS",
    "CONNECTIONS_PER_USER_MAX",
    "CONNECTIONS_PER_ADDRESS_MAX",
];

/// How long it may take to read from Discord what was missed in a gap.
const GAPS: Duration = Duration::from_mins(2);

/// Events that may be on their way to the stream while it takes them.
const PENDING_MAX: u64 = 50;

/// What the services stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// One NATS server, MariaDB.
    MariaDb,
    /// One NATS server, PostgreSQL.
    Postgres,
    /// Three NATS servers as a cluster, MariaDB.
    Cluster,
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) discord: Discord,
    pub(crate) guild: String,
    people: Vec<(String, String)>,
    /// A token of each of them.
    pub(crate) tokens: Vec<String>,
    pub(crate) nats: Cluster,
    pub(crate) redis: RedisServer,
    pub(crate) sql: Sql,
    pub(crate) ingests: Vec<Service>,
    pub(crate) fanouts: Vec<Service>,
    folder: TempDir,
    _sim: Process,
}

impl Stage {
    /// Starts all of it, with these settings beside the usual ones, and waits until it is ready.
    pub(crate) async fn start(
        home: Home,
        fanouts: usize,
        settings: &[(String, String)],
    ) -> anyhow::Result<Self> {
        // The first one of a process wins; the others find what they want.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut command = program("discord-sim")?;
        command.args(["--port", "0", "--quiet"]);
        let mut sim = Process::start("discord-sim", command)?;
        let url = sim.line_after("listening on ").await?;
        // The server ends idle connections after 5 s: one that is used at that very moment would fail a request.
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(1));
        let http = http.build()?;
        let world: Value = http
            .get(format!("{url}/sim/world"))
            .send()
            .await?
            .json()
            .await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let guild = &world["guilds"][0];
        let people = guild["members"]
            .as_array()
            .context("it has members")?
            .iter();
        let people = people.filter(|member| member["bot"] == false);
        let servers = if home == Home::Cluster { 3 } else { 1 };
        let sql = match home {
            Home::Postgres => Sql::Postgres(Postgres::start()),
            Home::MariaDb | Home::Cluster => Sql::MariaDb(MariaDb::start()),
        };
        let mut stage = Self {
            guild: text(&guild["id"]),
            people: people
                .map(|member| (text(&member["id"]), text(&member["username"])))
                .collect(),
            discord: Discord {
                url,
                token: text(&world["token"]),
                http,
            },
            tokens: Vec::new(),
            nats: Cluster::start(servers),
            redis: RedisServer::start(),
            sql,
            ingests: Vec::new(),
            fanouts: Vec::new(),
            folder: tempfile::tempdir()?,
            _sim: sim,
        };
        for _ in 0..2 {
            let service = stage.service("ingest", settings).await?;
            stage.ingests.push(service);
        }
        for _ in 0..fanouts {
            let service = stage.service("fanout", settings).await?;
            stage.fanouts.push(service);
        }
        stage.start_services(home).await?;
        stage.tokens = stage.sign().await?;
        Ok(stage)
    }

    async fn start_services(&mut self, home: Home) -> anyhow::Result<()> {
        let folder = self.folder.path();
        for ingest in &mut self.ingests {
            ingest.start(folder)?;
        }
        self.leader().await?;
        if home == Home::Cluster {
            self.nats.replicate()?;
        }
        let folder = self.folder.path();
        for fanout in &mut self.fanouts {
            fanout.start(folder)?;
        }
        self.is_settled().await
    }

    /// A service with links of its own.
    async fn service(
        &self,
        name: &'static str,
        settings: &[(String, String)],
    ) -> anyhow::Result<Service> {
        let is_ingest = name == "ingest";
        let sim = port_of(&self.discord.url)?;
        let links = Links {
            gateway: link_if(is_ingest, sim).await?,
            api: link_if(is_ingest, sim).await?,
            nats: link_if(self.nats.servers.len() == 1, self.nats.port(0)?).await?,
            sql: Link::to(port_of(&self.sql.url())?).await?,
            redis: link_if(!is_ingest, port_of(&self.redis.url())?).await?,
        };
        let through = |url: &str, link: &Link| -> anyhow::Result<String> {
            Ok(url.replace(&format!(":{}", port_of(url)?), &format!(":{}", link.port())))
        };
        let mut all = vec![
            ("JWT_SECRET".to_owned(), JWT_SECRET.to_owned()),
            ("OPS_TOKEN".to_owned(), OPS_TOKEN.to_owned()),
            (
                "DATABASE_URL".to_owned(),
                through(&self.sql.url(), &links.sql)?,
            ),
            ("DISCORD_BOT_TOKEN".to_owned(), self.discord.token.clone()),
        ];
        let nats = match &links.nats {
            Some(link) => through(&self.nats.url(), link)?,
            None => self.nats.url(),
        };
        all.push(("NATS_URL".to_owned(), nats));
        let mut set = |name: &str, value: &str| all.push((name.to_owned(), value.to_owned()));
        for name in ["METRICS_PORT", "PEER_PORT", "SHUTDOWN_GRACE_MS"] {
            set(name, "0");
        }
        set("DRAIN_SECONDS", "2");
        for name in UNLIMITED {
            set(name, "0");
        }
        // Whoever looks for the cause of a failure wants to read more.
        if let Ok(filter) = std::env::var("RUST_LOG") {
            set("RUST_LOG", &filter);
        }
        for (name, value) in PINGS {
            set(name, value);
        }
        if let Some(link) = &links.redis {
            set("REDIS_URL", &through(&self.redis.url(), link)?);
        }
        if let Some(link) = &links.gateway {
            set(
                "DISCORD_GATEWAY_URL",
                &format!("ws://127.0.0.1:{}/gateway", link.port()),
            );
        }
        if let Some(link) = &links.api {
            set(
                "DISCORD_API_URL",
                &format!("http://127.0.0.1:{}/api/v10", link.port()),
            );
        }
        all.extend(settings.iter().cloned());
        Service::new(name, links, all).await
    }

    /// Makes so many public channels; their ids.
    pub(crate) async fn channels(&self, count: usize, name: &str) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        for number in 0..count {
            let path = format!("/guilds/{}/channels", self.guild);
            let body = json!({ "name": format!("{name}-{number}"), "type": 0 });
            let made = self
                .discord
                .call(reqwest::Method::POST, &path, Some(body))
                .await?;
            ids.push(
                made["id"]
                    .as_str()
                    .context("a channel has an id")?
                    .to_owned(),
            );
        }
        Ok(ids)
    }

    /// A token of each person, printed by `fanout token`.
    async fn sign(&self) -> anyhow::Result<Vec<String>> {
        let mut tokens = Vec::new();
        for (id, name) in &self.people {
            let mut command = program("fanout")?;
            command.args(["token", "--discord-id", id, "--username", name]);
            command
                .env("JWT_SECRET", JWT_SECRET)
                .current_dir(self.folder.path());
            let token = Process::start("fanout token", command)?.success().await?;
            tokens.push(token.trim().to_owned());
        }
        Ok(tokens)
    }

    /// Starts a killed service again.
    pub(crate) fn start_ingest(&mut self, number: usize) -> anyhow::Result<()> {
        let folder = self.folder.path();
        self.ingests[number].start(folder)
    }

    /// Starts a killed fanout again.
    pub(crate) fn start_fanout(&mut self, number: usize) -> anyhow::Result<()> {
        let folder = self.folder.path();
        self.fanouts[number].start(folder)
    }

    /// The number of the ingest that leads.
    pub(crate) async fn leader(&self) -> anyhow::Result<usize> {
        let until = Instant::now() + PATIENCE;
        loop {
            for (number, ingest) in self.ingests.iter().enumerate() {
                let is_leader = match self.status(ingest).await {
                    Ok(status) => status["role"] == "leader",
                    Err(_) => false,
                };
                if is_leader {
                    return Ok(number);
                }
            }
            anyhow::ensure!(Instant::now() < until, "nobody leads:\n{}", self.output());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The ingest that leads, or where nobody does, one that runs.
    pub(crate) async fn any_ingest(&self) -> Option<usize> {
        let leader = self.known_leader().await;
        leader.or_else(|| self.ingests.iter().position(Service::runs))
    }

    /// What is wrong with services that have ended by themselves.
    pub(crate) fn ended(&mut self) -> Vec<String> {
        let services = self.ingests.iter_mut().chain(&mut self.fanouts);
        let ended = services.enumerate().filter_map(|(number, service)| {
            let has_ended = service.has_ended();
            has_ended.then(|| format!("{} {number} has ended by itself", service.name))
        });
        ended.collect()
    }

    /// The ingest that says now that it leads.
    pub(crate) async fn known_leader(&self) -> Option<usize> {
        for (number, ingest) in self.ingests.iter().enumerate() {
            let status = self.status(ingest).await;
            if status.is_ok_and(|status| status["role"] == "leader") {
                return Some(number);
            }
        }
        None
    }

    /// What a service says at `/api/status`.
    pub(crate) async fn status(&self, service: &Service) -> anyhow::Result<Value> {
        anyhow::ensure!(service.runs(), "it does not run");
        let url = format!("{}/api/status", service.url());
        let request = self.discord.http.get(url).bearer_auth(OPS_TOKEN);
        let answer = request.timeout(Duration::from_secs(2)).send().await?;
        Ok(answer.json().await?)
    }

    /// Waits until every fanout is ready and hears ingest, Discord is connected, and what comes in flows.
    pub(crate) async fn is_settled(&self) -> anyhow::Result<()> {
        self.is_settled_within(PATIENCE).await
    }

    /// The same, for as long as what was held may take.
    pub(crate) async fn is_settled_within(&self, patience: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + patience;
        while !self.settled().await {
            anyhow::ensure!(
                Instant::now() < until,
                "not settled in time:\n{}",
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Waits until every gap is closed; what is wrong with one that is not repaired.
    pub(crate) async fn gaps(&self) -> anyhow::Result<Vec<String>> {
        let until = Instant::now() + GAPS;
        loop {
            let leader = self.leader().await?;
            let status = self.status(&self.ingests[leader]).await?;
            let gaps = status["gaps"].as_array().cloned().unwrap_or_default();
            let open = gaps.iter().filter(|gap| gap["repaired"].is_null()).count();
            if open == 0 {
                let lost = gaps.iter().filter(|gap| gap["repaired"] == false);
                return Ok(lost.map(|gap| format!("not repaired: {gap}")).collect());
            }
            anyhow::ensure!(
                Instant::now() < until,
                "{open} gaps are still open: {gaps:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn settled(&self) -> bool {
        let Ok(leader) = self.leader().await else {
            return false;
        };
        let Ok(status) = self.status(&self.ingests[leader]).await else {
            return false;
        };
        // A cluster whose leader died elects another within 4 to 9 s (the server's own clocks): until then what comes
        // in is held.
        let pending = status["outcomes"]["pending"].as_u64();
        let is_flowing = pending.is_some_and(|pending| pending < PENDING_MAX);
        if status["discord"]["connected"] != true || !is_flowing {
            return false;
        }
        for fanout in self.fanouts.iter().filter(|fanout| fanout.runs()) {
            let ready = self
                .discord
                .http
                .get(format!("{}/api/ready", fanout.url()))
                .send();
            let is_ready = ready.await.is_ok_and(|answer| answer.status().is_success());
            let health = self
                .discord
                .http
                .get(format!("{}/api/health", fanout.url()));
            let is_heard = match health.send().await {
                Ok(answer) => answer
                    .json::<Value>()
                    .await
                    .is_ok_and(|health| health["checks"]["ingest"] == "up"),
                Err(_) => false,
            };
            if !is_ready || !is_heard {
                return false;
            }
        }
        true
    }

    /// What the services wrote, for a run that fails.
    pub(crate) fn output(&self) -> String {
        let services = self.ingests.iter().chain(&self.fanouts);
        let outputs = services.enumerate().map(|(number, service)| {
            format!("---- {} {number}\n{}", service.name, service.output())
        });
        outputs.collect::<Vec<_>>().join("\n")
    }
}

async fn link_if(is_needed: bool, port: u16) -> anyhow::Result<Option<Link>> {
    Ok(if is_needed {
        Some(Link::to(port).await?)
    } else {
        None
    })
}

fn port_of(url: &str) -> anyhow::Result<u16> {
    let rest = url.rsplit_once(':').context("a URL has a port")?.1;
    let digits = rest.split('/').next().unwrap_or_default();
    Ok(digits.parse()?)
}
