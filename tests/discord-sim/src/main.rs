//! The simulated Discord as a program: it listens, says where, and serves until it is told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use clap::Parser;
use discord_sim::{Sim, SimConfig};
use tracing_subscriber::EnvFilter;

/// Warnings, without the server's own complaint about connections that a fault cut on purpose.
const LOG_FILTER: &str = "warn,actix_http::h1::dispatcher=off";
/// The demo speaks the same lines at every start.
const DEMO_SEED: u64 = 2015;

/// A simulated Discord: REST under /api/v10, the gateway at /gateway, controls under /sim.
#[derive(Parser)]
#[command(name = "discord-sim", version)]
struct Arguments {
    /// The port; 0 takes a free one.
    #[arg(long, default_value_t = 4000)]
    port: u16,
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// How many plain members the first guild gets beyond its own people.
    #[arg(long, default_value_t = 0)]
    members: usize,
    /// How many shards it recommends to the bot.
    #[arg(long, default_value_t = 1)]
    shards: u64,
    /// No demo traffic.
    #[arg(long)]
    quiet: bool,
    /// The application lacks the members intent.
    #[arg(long)]
    without_members_intent: bool,
    /// The application lacks the message content intent.
    #[arg(long)]
    without_content_intent: bool,
    /// Where a login may lead back to; may be given often. None: to /api/auth/discord/callback on this machine.
    #[arg(long = "redirect-uri", value_name = "URL")]
    redirect_uris: Vec<String>,
    /// Where others reach it, for links to its files; default: where it listens.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let sim = Sim::start(SimConfig {
        bind: SocketAddr::new(arguments.bind, arguments.port),
        extra_members: arguments.members,
        shards: arguments.shards,
        demo_seed: (!arguments.quiet).then_some(DEMO_SEED),
        members_intent: !arguments.without_members_intent,
        content_intent: !arguments.without_content_intent,
        redirect_uris: arguments.redirect_uris,
        public_url: arguments.public_url,
    })
    .await
    .context("the simulator did not start")?;
    announce(sim.addr());
    stop_requested().await?;
    sim.stop().await.context("the simulator did not end well")
}

#[expect(
    clippy::print_stdout,
    reason = "whoever starts the program reads its address from here"
)]
fn announce(address: SocketAddr) {
    println!("discord-sim is listening on http://{address}");
}

/// Ends at SIGINT or SIGTERM.
async fn stop_requested() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
