//! Ingest and fanout in one process, on the embedded broker and store, with nothing else to install.
//!
//! With `DISCORD_BOT_TOKEN` it streams the real server. Without, it is the demo: the simulated Discord runs
//! inside, everything listens on 127.0.0.1 alone, and a demo member's token opens the page.

mod data;
mod demo;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use broker::{Embedded, EmbeddedSettings};
use fanout::{Fanout, FanoutSettings};
use ingest::{Ingest, IngestError, IngestSettings};
use runtime::settings::malformed;
use runtime::{Health, Lifecycle, Metrics, Settings};
use store::Store;
use tokio::sync::oneshot;

use crate::data::DataFolder;
use crate::demo::Demo;

/// Beyond the drain, for tasks to end and files to be closed.
const FINISH: Duration = Duration::from_secs(15);

/// Everything, running.
#[derive(Debug)]
pub struct Standalone {
    /// The page's address, with a token in the demo.
    pub page: String,
    life: Lifecycle,
    broker: Arc<Embedded>,
    store: Store,
    ingest: oneshot::Receiver<Result<(), IngestError>>,
    demo: Option<Demo>,
    deadline: Duration,
    /// Last, so that the folder is free when nothing writes to it any more.
    _folder: DataFolder,
}

impl Standalone {
    /// Starts everything that the settings ask for. The page can be opened when this returns.
    ///
    /// # Errors
    /// A malformed setting, a data folder that can't be used, or a port that is taken.
    pub async fn start(
        mut settings: Settings,
        life: Lifecycle,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let is_demo = is_demo(&settings);
        if is_demo && settings.is_production() {
            return Err(malformed("DISCORD_BOT_TOKEN", "a token: production has no demo").into());
        }
        let address = address(&settings);
        let folder = DataFolder::open(&settings, is_demo)?;
        folder.provide_secret(&mut settings)?;
        let demo = if is_demo {
            Some(Demo::start(&mut settings).await?)
        } else {
            None
        };
        let broker = Embedded::open(&folder.file("events.db"), EmbeddedSettings::default())
            .await
            .context("the embedded broker can't be opened")?;
        let url = format!("sqlite://{}", folder.file("store.db").display());
        let store = Store::open(&url)
            .await
            .context("the embedded store can't be opened")?;
        store
            .migrate()
            .await
            .context("the embedded store can't be migrated")?;

        let mut fanout = FanoutSettings::read(&settings)?;
        fanout.address.set_ip(IpAddr::V4(address));
        // One process has no peers, whatever an .env that services share says.
        fanout.peers = None;
        let ingest = IngestSettings::from(&settings)?;
        let keys = fanout.keys.clone();
        let deadline = fanout.shutdown_grace + fanout.drain + FINISH;
        let health = Health::new();
        let address = Fanout::new(
            fanout,
            broker.clone(),
            store.clone(),
            health.clone(),
            life.clone(),
        )
        .telling(metrics)
        .spawn()
        .context("the port can't be listened on")?;
        // Ingest's own readiness is no reason for the page not to be served.
        let ingest = Ingest::new(
            ingest,
            broker.clone(),
            store.clone(),
            Health::new(),
            life.clone(),
        )?;
        ingest.tell(metrics);
        let ingest = ingest.spawn();
        let token = demo.as_ref().map(|demo| demo.token(&keys)).transpose()?;
        Ok(Self {
            page: page(&settings, address, token.as_deref()),
            life,
            broker,
            store,
            ingest,
            demo,
            deadline,
            _folder: folder,
        })
    }

    /// Runs until the service is told to stop, and ends what runs inside.
    ///
    /// # Errors
    /// Discord will not have us back, or the simulated Discord did not end well.
    pub async fn run(self) -> anyhow::Result<()> {
        self.life.soft.cancelled().await;
        self.life.finish(self.deadline).await;
        self.broker.close().await;
        self.store.close().await;
        if let Some(demo) = self.demo {
            demo.stop().await?;
        }
        // A closed channel is a task that was told to stop at once.
        self.ingest
            .await
            .unwrap_or(Ok(()))
            .context("ingest has ended")
    }
}

/// Without a bot's token it is the demo.
fn is_demo(settings: &Settings) -> bool {
    settings.text("DISCORD_BOT_TOKEN").is_none()
}

/// Where everything listens: on this machine alone in the demo.
pub fn address(settings: &Settings) -> Ipv4Addr {
    if is_demo(settings) {
        return Ipv4Addr::LOCALHOST;
    }
    Ipv4Addr::UNSPECIFIED
}

fn page(settings: &Settings, address: SocketAddr, token: Option<&str>) -> String {
    let host = if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    };
    let base = settings
        .text("PUBLIC_URL")
        .map_or_else(|| format!("http://{host}"), str::to_owned);
    let base = base.trim_end_matches('/');
    match token {
        Some(token) => format!("{base}/#token={token}"),
        None => format!("{base}/"),
    }
}
