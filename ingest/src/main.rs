//! The binary: reads the settings, wires broker, store and service, serves the probes.
//!
//! `ingest` runs the service, `ingest migrate` brings the schema up to date, `ingest check` says what the bot's
//! token lacks, `ingest erase` erases a user, `ingest health` asks the running one. Exit codes: 64 for a wrong setting or command line, 1 for anything else that ends it by itself.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpServer};
use anyhow::{Context as _, bail};
use broker::nats::ConnectError;
use broker::{Nats, NatsSettings};
use clap::{Parser, Subcommand};
use ingest::http::Probes;
use ingest::{Ingest, IngestSettings};
use proto::UserId;
use runtime::settings::malformed;
use runtime::{
    Health, Lifecycle, Metrics, Settings, SettingsError, Traces, metrics, start, telemetry,
};
use store::{Store, StoreError};

/// How long an orderly end may take: the drain of the buffer, the session and the archive's batch.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// Where `/metrics` is unless `METRICS_PORT` says otherwise (contract.md §3).
const METRICS_PORT: u16 = 9_465;

#[derive(Debug, Parser)]
#[command(name = "ingest", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Brings the database's schema up to date.
    Migrate,
    /// Says what the bot's token lacks: intents, permissions, servers. Exits 0 if nothing does, 1 otherwise.
    Check,
    /// Erases a user on request: what they wrote, here and in others' quotes. Prints how much there was.
    Erase {
        /// The user's id.
        #[arg(long)]
        user: UserId,
    },
    /// Exits 0 if the ingest of this machine is healthy or degraded, 1 otherwise.
    Health,
}

fn main() -> ExitCode {
    start::install_tls();
    let arguments: Arguments = match start::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return start::exit_code(Err(error.into())),
    };
    start::exit_code(runtime.block_on(run(arguments.command)))
}

async fn run(command: Option<Command>) -> anyhow::Result<()> {
    let settings = Settings::from_process()?;
    match command {
        None => serve(&settings).await,
        Some(Command::Migrate) => migrate(&settings).await,
        Some(Command::Check) => check(&settings).await,
        Some(Command::Erase { user }) => erase(&settings, user).await,
        Some(Command::Health) => start::probe(settings.number("PORT", 3002)?).await,
    }
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    telemetry::init(settings)?;
    let traces = Traces::init(settings, "ingest")?;
    let read = IngestSettings::from(settings)?;
    let port = settings.number("PORT", 3002_u16)?;
    let nats = nats_settings(settings)?;

    let lifecycle = Lifecycle::new();
    lifecycle.listen_to_signals()?;
    let health = Health::new();
    let store = open_store(settings).await?;
    let nats = connect(nats).await?;
    let broker = Arc::clone(&nats);
    let service = Ingest::new(read, broker, store.clone(), health, lifecycle.clone())?;
    let numbers = Metrics::new();
    service.tell(&numbers);
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let metrics = metrics::listen(settings, any, Some(METRICS_PORT), numbers)?;
    let probes = service.probes();
    let server = probe_server(probes, port)?;
    let probes = server.handle();
    let serving = tokio::spawn(server);
    let ended = service.spawn();

    lifecycle.soft.cancelled().await;
    lifecycle.finish(END_PATIENCE).await;
    probes.stop(false).await;
    serving.await.context("the probes' server crashed")??;
    nats.close().await;
    store.close().await;
    metrics.stop().await;
    traces.flush().await;
    match ended.await {
        Ok(ended) => Ok(ended?),
        Err(_) if lifecycle.hard.is_cancelled() => Ok(()),
        Err(_) => bail!("the service crashed"),
    }
}

fn probe_server(probes: Probes, port: u16) -> anyhow::Result<actix_web::dev::Server> {
    let app = move || App::new().configure(|config| probes.clone().configure(config));
    let server = HttpServer::new(app).workers(1).disable_signals();
    let bound = server.bind(("0.0.0.0", port));
    Ok(bound.with_context(|| format!("PORT {port}"))?.run())
}

fn nats_settings(settings: &Settings) -> Result<NatsSettings, SettingsError> {
    let mut nats = NatsSettings::new(settings.required("NATS_URL")?, "ingest");
    let file = |name| settings.text(name).map(PathBuf::from);
    nats.credentials_file = file("NATS_CREDENTIALS_FILE");
    nats.ca_file = file("NATS_CA_FILE");
    Ok(nats)
}

async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    match Store::open(settings.required("DATABASE_URL")?).await {
        Err(StoreError::Unsupported { .. }) => {
            Err(malformed("DATABASE_URL", "the address of a supported database").into())
        }
        opened => opened.context("the database can't be opened"),
    }
}

async fn connect(settings: NatsSettings) -> anyhow::Result<Arc<Nats>> {
    match Nats::connect(settings).await {
        Err(ConnectError::Url(_)) => {
            Err(malformed("NATS_URL", "the addresses of a cluster").into())
        }
        connected => Ok(connected?),
    }
}

#[expect(clippy::print_stdout, reason = "what the command is for")]
async fn check(settings: &Settings) -> anyhow::Result<()> {
    let read = IngestSettings::from(settings)?;
    let report = ingest::check::check(&read).await;
    println!("{report}");
    if report.lacking() > 0 {
        bail!("the bot can't do all that it should");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what the command is for")]
async fn erase(settings: &Settings, user: UserId) -> anyhow::Result<()> {
    telemetry::init(settings)?;
    let nats = nats_settings(settings)?;
    let store = open_store(settings).await?;
    store.migrate().await?;
    let nats = connect(nats).await?;
    let erased = ingest::erase::erase(&*nats, &store, user).await;
    nats.close().await;
    store.close().await;
    println!("{}", erased?);
    Ok(())
}

async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    telemetry::init(settings)?;
    let store = open_store(settings).await?;
    store.migrate().await?;
    store.close().await;
    tracing::info!("the schema is up to date");
    Ok(())
}
