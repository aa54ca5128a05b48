//! What is measured, as real processes: nats-server, the simulated Discord, ingest, fanout, on loopback and free ports.
//! It promises that all are ready, that each has its own folder and only the settings that are written here, and that
//! dropping the value ends all of them and removes what they stored.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::Client;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::process::Process;
use crate::world::World;

/// How long each process may take until it is ready: a debug build on a busy core, with its first migration.
const READY_PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long one question over HTTP may take.
const HTTP_PATIENCE: Duration = Duration::from_secs(10);
/// Signs the viewers' tokens. It guards a server that lives for a minute on loopback.
pub(crate) const JWT_SECRET: &str = "a secret that the load generator and its fanout share";
/// The second fanout's folder, as other processes have their names for theirs.
const SECOND: &str = "fanout-2";
/// A generator is one user from one address who does a thousand times what a person does: all limits are off.
const NO_LIMITS: [(&str, &str); 4] = [
    ("CONNECTIONS_PER_ADDRESS_MAX", "0"),
    ("CONNECTIONS_PER_USER_MAX", "0"),
    ("CONNECT_RATE_PER_ADDRESS", "0"),
    ("RATE_LIMIT_MAX_REQUESTS", "0"),
];

/// The programs of a run.
#[derive(Debug)]
pub(crate) struct Programs {
    nats_server: PathBuf,
    folder: PathBuf,
}

impl Programs {
    /// Ours beside this program, and the nats-server of `$NATS_SERVER` or of the workspace's tools (`$TOOLS_DIR`, else
    /// `.tools`).
    pub(crate) fn find() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("our own program")?;
        let folder = own.parent().context("a program is in a folder")?;
        for name in ["discord-sim", "ingest", "fanout"] {
            ensure!(
                folder.join(name).exists(),
                "{} is missing: build it first with `cargo build -p discord-sim -p ingest -p fanout -p load`",
                folder.join(name).display()
            );
        }
        Ok(Self {
            nats_server: nats_server()?,
            folder: folder.to_owned(),
        })
    }

    /// What the nats-server calls itself.
    pub(crate) fn nats_version(&self) -> anyhow::Result<String> {
        let output = Command::new(&self.nats_server).arg("--version").output();
        let output = output.context("nats-server can't be started")?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim()
            .replace(": ", " "))
    }

    /// One of ours, with the settings that it gets and no others.
    fn ours(&self, name: &str, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(self.folder.join(name));
        command.env_clear().env("RUST_LOG", "warn");
        command.envs(settings.iter().copied());
        command
    }
}

fn nats_server() -> anyhow::Result<PathBuf> {
    if let Some(program) = std::env::var_os("NATS_SERVER") {
        return Ok(program.into());
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = here.ancestors();
    let root = folders.find(|folder| folder.join("Cargo.lock").exists());
    let root = root.context("the workspace has no Cargo.lock")?;
    let tools = std::env::var_os("TOOLS_DIR").map_or_else(|| root.join(".tools"), PathBuf::from);
    let program = tools.join("venv/bin/nats-server");
    ensure!(
        program.exists(),
        "{} is missing: point NATS_SERVER at a nats-server 2.11 or newer",
        program.display()
    );
    Ok(program)
}

impl Service {
    /// A number of its `/metrics`; 0 where it has none of this name.
    pub(crate) async fn metric(&self, http: &Client, name: &str) -> anyhow::Result<f64> {
        let url = format!("http://{}/metrics", self.metrics);
        let page = http.get(url).send().await?.error_for_status()?;
        let page = page.text().await?;
        let mut samples = page.lines().filter_map(|line| line.split_once(' '));
        let value = samples.find_map(|(own, value)| (own == name).then_some(value));
        Ok(value.map_or(Ok(0.0), str::parse)?)
    }
}

/// How much of it there is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    /// A second fanout, and Redis between the two.
    pub(crate) is_pair: bool,
    /// People of the first guild, beside those that it has by itself.
    pub(crate) members: u32,
}

/// A service of ours that runs.
#[derive(Debug)]
pub(crate) struct Service {
    /// Itself.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    metrics: SocketAddr,
}

/// The running processes. They end in the order of the fields, the readers first.
#[derive(Debug)]
pub(crate) struct Services {
    /// The fanout, or the first of the two.
    pub(crate) fanout: Service,
    /// The second one of a pair.
    pub(crate) other: Option<Service>,
    ingest: Process,
    sim: Process,
    redis: Option<Process>,
    nats: Process,
    /// The simulator's address, as a URL.
    pub(crate) sim_url: String,
    /// What the simulator simulates.
    pub(crate) world: World,
    /// For whoever has to ask over HTTP.
    pub(crate) http: Client,
    folder: TempDir,
}

impl Services {
    /// Starts all of them.
    pub(crate) async fn start(programs: &Programs, size: Size) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let home = folder.path();
        let http = http().timeout(HTTP_PATIENCE).build();
        let http = http.context("no HTTP client")?;
        let (nats, nats_url) = nats(programs, home).await?;
        let (sim, sim_url) = sim(programs, size.members, home).await?;
        let world = World::of(&http, &sim_url).await?;
        let database = format!("sqlite://{}", home.join("data.sqlite").display());
        let both = [("NATS_URL", nats_url.as_str()), ("DATABASE_URL", &database)];
        let api_url = format!("{sim_url}/api/v10");
        let discord = [
            ("DISCORD_API_URL", api_url.as_str()),
            ("DISCORD_BOT_TOKEN", &world.token),
        ];
        let settings = [both, discord].concat();
        let ingest = service(programs, "ingest", &settings, &http, home).await?;
        let mut settings = [&both[..], &[("JWT_SECRET", JWT_SECRET)], &NO_LIMITS].concat();
        let shared = if size.is_pair {
            Some(redis(home).await?)
        } else {
            None
        };
        settings.extend(shared.iter().map(|(_, url)| ("REDIS_URL", url.as_str())));
        let fanout = service(programs, "fanout", &settings, &http, home).await?;
        let other = if size.is_pair {
            Some(service(programs, SECOND, &settings, &http, home).await?)
        } else {
            None
        };
        Ok(Self {
            fanout,
            other,
            ingest: ingest.process,
            sim,
            redis: shared.map(|(process, _)| process),
            nats,
            sim_url,
            world,
            http,
            folder,
        })
    }

    /// An error if one of them has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let ours = [
            &mut self.fanout.process,
            &mut self.ingest,
            &mut self.sim,
            &mut self.nats,
        ];
        let other = self.other.as_mut().map(|fanout| &mut fanout.process);
        let mut all = ours.into_iter().chain(other).chain(self.redis.as_mut());
        all.try_for_each(Process::check)
    }

    /// Every fanout.
    pub(crate) fn fanouts(&self) -> impl Iterator<Item = &Service> {
        std::iter::once(&self.fanout).chain(&self.other)
    }

    /// Where processes may have their folders.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A client for loopback, without TLS; the library wants a provider all the same.
pub(crate) fn http() -> reqwest::ClientBuilder {
    // Another caller of this process may have installed it, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    Client::builder().no_proxy()
}

async fn nats(programs: &Programs, home: &Path) -> anyhow::Result<(Process, String)> {
    let address = free_address()?;
    let port = address.port().to_string();
    let mut command = Command::new(&programs.nats_server);
    command.args(["--jetstream", "--addr", "127.0.0.1", "--port", &port]);
    command.args(["--store_dir", "store"]);
    let mut process = Process::start("nats", &mut command, home)?;
    let answers = async || TcpStream::connect(address).await.is_ok().then_some(());
    until_ready(&mut process, answers).await?;
    Ok((process, format!("nats://{address}")))
}

async fn redis(home: &Path) -> anyhow::Result<(Process, String)> {
    let address = free_address()?;
    let program = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--save", "", "--appendonly", "no"]);
    let mut process = Process::start("redis", &mut command, home)?;
    let answers = async || TcpStream::connect(address).await.is_ok().then_some(());
    until_ready(&mut process, answers).await?;
    Ok((process, format!("redis://{address}")))
}

async fn sim(programs: &Programs, members: u32, home: &Path) -> anyhow::Result<(Process, String)> {
    let mut command = programs.ours("discord-sim", &[]);
    command.args(["--port", "0", "--quiet", "--members", &members.to_string()]);
    let mut process = Process::start("discord-sim", &mut command, home)?;
    let deadline = Instant::now() + READY_PATIENCE;
    while Instant::now() < deadline {
        if let Some(url) = announced(&process.printed()) {
            return Ok((process, url));
        }
        process.check()?;
        sleep(LOOK_EVERY).await;
    }
    bail!("discord-sim does not say where it listens")
}

/// The URL in `discord-sim is listening on http://…`, once the line is whole.
fn announced(printed: &str) -> Option<String> {
    let mut lines = printed
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    let url = lines.find_map(|line| line.trim_end().split_once("is listening on "));
    url.map(|(_, url)| url.to_owned())
}

/// Starts a service of ours on a free port and waits for its `/api/ready`.
async fn service(
    programs: &Programs,
    name: &'static str,
    settings: &[(&str, &str)],
    http: &Client,
    home: &Path,
) -> anyhow::Result<Service> {
    let (address, metrics) = (free_address()?, free_address()?);
    let program = if name == SECOND { "fanout" } else { name };
    let mut command = programs.ours(program, settings);
    command.env("PORT", address.port().to_string());
    command.env("METRICS_PORT", metrics.port().to_string());
    let mut process = Process::start(name, &mut command, home)?;
    let url = format!("http://{address}/api/ready");
    let answers = async || {
        let answer = http.get(&url).send().await.ok()?;
        answer.status().is_success().then_some(())
    };
    until_ready(&mut process, answers).await?;
    Ok(Service {
        process,
        address,
        metrics,
    })
}

async fn until_ready(
    process: &mut Process,
    is_ready: impl AsyncFn() -> Option<()>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_PATIENCE;
    while Instant::now() < deadline {
        process.check()?;
        if is_ready().await.is_some() {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
    let (name, seconds) = (process.name(), READY_PATIENCE.as_secs());
    bail!(
        "{name} is not ready after {seconds} s; {}",
        process.last_words()
    )
}

/// A port that is free now. Nothing is connected yet that could take it in the moment until it is used.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    listener.local_addr().context("a port has an address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulators_address_is_read_once_its_line_is_whole() {
        let line = "discord-sim is listening on http://127.0.0.1:4000";
        assert_eq!(announced(line), None);
        let lines = format!("a warning\n{line}\n");
        assert_eq!(announced(&lines).as_deref(), Some("http://127.0.0.1:4000"));
    }
}
