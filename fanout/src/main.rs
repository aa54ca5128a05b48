//! The binary `fanout`: the service, `fanout token`, `fanout health`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use broker::{ConnectError, Nats, NatsSettings};
use clap::{Parser, Subcommand};
use fanout::auth::Keys;
use fanout::token::TokenArgs;
use fanout::{Fanout, FanoutSettings};
use runtime::settings::{SettingsError, malformed};
use runtime::start::{exit_code, install_tls, parse};
use runtime::{Health, Lifecycle, Metrics, Settings, Traces, metrics, telemetry};
use store::{Store, StoreError};

/// Beyond the drain, for tasks to end.
const FINISH: Duration = Duration::from_secs(15);

/// Where `/metrics` is unless `METRICS_PORT` says otherwise (contract.md §3).
const METRICS_PORT: u16 = 9_464;

#[derive(Parser)]
#[command(
    version,
    about = "Pushes Discord's events to the viewers who may see them"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Prints a JWT.
    Token(TokenArgs),
    /// Exits with 0 if the service on this machine is healthy or degraded.
    Health,
}

#[tokio::main]
async fn main() -> ExitCode {
    install_tls();
    match parse::<Arguments>() {
        Ok(arguments) => exit_code(run(arguments.command).await),
        Err(code) => code,
    }
}

async fn run(command: Option<Command>) -> anyhow::Result<()> {
    let settings = Settings::from_process()?;
    match command {
        Some(Command::Token(token)) => print_token(&settings, &token),
        Some(Command::Health) => runtime::start::probe(settings.number("PORT", 3001)?).await,
        None => serve(settings).await,
    }
}

#[expect(clippy::print_stdout, reason = "what the command is for")]
fn print_token(settings: &Settings, token: &TokenArgs) -> anyhow::Result<()> {
    let keys = Keys::from_settings(settings)?;
    let expires = settings.duration("JWT_EXPIRES_IN", Duration::from_hours(7 * 24))?;
    let signed = token
        .sign(&keys, expires)
        .ok_or(SettingsError::Missing("JWT_PRIVATE_KEY"))?;
    println!("{signed}");
    Ok(())
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    telemetry::init(&settings)?;
    let traces = Traces::init(&settings, "fanout")?;
    let fanout = FanoutSettings::read(&settings)?;
    let mut nats = NatsSettings::new(settings.required("NATS_URL")?, "fanout");
    nats.credentials_file = settings.text("NATS_CREDENTIALS_FILE").map(PathBuf::from);
    nats.ca_file = settings.text("NATS_CA_FILE").map(PathBuf::from);
    let url = settings.required("DATABASE_URL")?;
    let life = Lifecycle::new();
    life.listen_to_signals()?;
    let store = match Store::open(url).await {
        Err(StoreError::Unsupported { .. }) => {
            return Err(malformed("DATABASE_URL", "the address of a supported database").into());
        }
        opened => opened.context("the database can't be opened")?,
    };
    let broker = match Nats::connect(nats).await {
        Err(ConnectError::Url(_)) => {
            return Err(malformed("NATS_URL", "the addresses of a cluster").into());
        }
        connected => connected?,
    };
    let deadline = fanout.shutdown_grace + fanout.drain + FINISH;
    let numbers = Metrics::new();
    let ip = fanout.address.ip();
    let metrics = metrics::listen(&settings, ip, Some(METRICS_PORT), numbers.clone())?;
    Fanout::new(fanout, broker, store, Health::new(), life.clone())
        .telling(&numbers)
        .spawn()
        .context("the port can't be listened on")?;
    life.soft.cancelled().await;
    life.finish(deadline).await;
    metrics.stop().await;
    traces.flush().await;
    Ok(())
}
