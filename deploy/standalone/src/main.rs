//! The binary `discord-stream`: everything on one machine.

use std::process::ExitCode;

use runtime::start::{exit_code, install_tls};
use runtime::{Lifecycle, Settings, telemetry};
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
    let life = Lifecycle::new();
    life.listen_to_signals()?;
    let standalone = Standalone::start(settings, life).await?;
    println!("Discord Stream is at {}", standalone.page);
    standalone.run().await
}
