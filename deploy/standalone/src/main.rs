//! The binary `discord-stream`: everything on one machine.

use std::net::IpAddr;
use std::process::ExitCode;

use runtime::start::{exit_code, install_tls};
use runtime::{Lifecycle, Metrics, Settings, Traces, metrics, telemetry};
use standalone::Standalone;

#[tokio::main]
async fn main() -> ExitCode {
    install_tls();
    exit_code(run().await)
}

#[expect(
    clippy::print_stdout,
    reason = "the address is what the user waits for"
)]
async fn run() -> anyhow::Result<()> {
    let settings = Settings::from_process()?;
    telemetry::init(&settings)?;
    let traces = Traces::init(&settings, "discord-stream")?;
    let life = Lifecycle::new();
    life.listen_to_signals()?;
    let numbers = Metrics::new();
    let ip = IpAddr::V4(standalone::address(&settings));
    let metrics = metrics::listen(&settings, ip, None, numbers.clone())?;
    let standalone = Standalone::start(settings, life, &numbers).await?;
    println!("Discord Stream is at {}", standalone.page);
    let ended = standalone.run().await;
    metrics.stop().await;
    traces.flush().await;
    ended
}
