//! The official clients, each version by each transport: one scenario on the package's example server, the same on the
//! official server to show that the scenario is right, and a channel watched through a load balancer that cuts.

use anyhow::Context as _;
use serde_json::json;
use tests::{Client, Echo, Home, World};

/// By polling, by WebSocket, and from the one to the other.
const TRANSPORTS: u64 = 3;

/// Messages a second, and how many: enough for three returns with the load still going on.
const RATE: u32 = 50;
const COUNT: u32 = 500;

/// The most packets of one poll that python-socketio takes unless it is told otherwise: what ours must never pass.
const PYTHON_PACKETS: u32 = 16;

/// What it is told for the official server, which knows no such limit.
const MANY_PACKETS: u32 = 1_000;

async fn goes_through(server: Echo, script: &str, client: &str) -> anyhow::Result<()> {
    let (process, url) = server.start().await?;
    let packets = match server {
        Echo::Example => PYTHON_PACKETS,
        Echo::Reference => MANY_PACKETS,
    };
    let settings = json!({ "url": url, "client": client, "packets": packets });
    let result = Client::start(script, &settings)?.result().await;
    let result = result.with_context(|| process.output())?;
    assert_eq!(result["passed"], TRANSPORTS);
    Ok(())
}

/// The scenario by each client, on a server.
macro_rules! scenario {
    ($module:ident, $server:expr) => {
        mod $module {
            use super::{Echo, goes_through};

            #[tokio::test]
            async fn socket_io_client_4_goes_through_everything() -> anyhow::Result<()> {
                goes_through($server, "socketio/echo.mjs", "v4").await
            }

            #[tokio::test]
            async fn socket_io_client_4_6_goes_through_everything() -> anyhow::Result<()> {
                goes_through($server, "socketio/echo.mjs", "v4.6").await
            }

            #[tokio::test]
            async fn socket_io_client_4_5_goes_through_everything() -> anyhow::Result<()> {
                goes_through($server, "socketio/echo.mjs", "v4.5").await
            }

            #[tokio::test]
            async fn socket_io_client_3_goes_through_everything() -> anyhow::Result<()> {
                goes_through($server, "socketio/echo.mjs", "v3").await
            }

            #[tokio::test]
            async fn socket_io_client_2_goes_through_everything() -> anyhow::Result<()> {
                goes_through($server, "socketio/echo.mjs", "v2").await
            }

            #[tokio::test]
            async fn python_socketio_with_threads_goes_through_everything() -> anyhow::Result<()> {
                goes_through($server, "socketio/echo.py", "sync").await
            }

            #[tokio::test]
            async fn python_socketio_with_asyncio_goes_through_everything() -> anyhow::Result<()> {
                goes_through($server, "socketio/echo.py", "asyncio").await
            }
        }
    };
}

scenario!(example, Echo::Example);
scenario!(reference, Echo::Reference);

#[tokio::test]
async fn the_example_of_the_packages_page_is_a_chat() -> anyhow::Result<()> {
    let (process, url) = tests::chat().await?;
    let result = Client::start("socketio/chat.mjs", &json!({ "url": url }))?
        .result()
        .await;
    let result = result.with_context(|| process.output())?;
    assert_eq!(result["heard"], json!(["Ada", "Grace"]));
    Ok(())
}

/// Clients watch a channel through the load balancer, which cuts all connections whenever they ask for it, until the
/// last of them has noticed.
async fn come_back(script: &str, home: Home) -> anyhow::Result<()> {
    let world = World::start(home).await?;
    let mut settings = crate::scenario::settings(&world)?;
    settings["count"] = json!(COUNT);
    settings["packets"] = json!(PYTHON_PACKETS);
    let mut clients = Client::start(script, &settings)?;
    clients.line_after("all have joined").await?;
    world.load(world.public_channel()?, RATE, COUNT).await?;
    for number in [1, 2] {
        clients.line_after(&format!("cut {number}")).await?;
        world.cut_connections();
        clients.line_after(&format!("mend {number}")).await?;
        world.mend_connections();
    }
    let result = clients.result().await.with_context(|| world.output())?;
    assert_eq!(result["passed"], result["watchers"], "{result}");
    // Who knows of no recovery has turned pages: else a join's page would have been enough.
    assert!(result["pages"].as_u64() > Some(0), "{result}");
    Ok(())
}

#[tokio::test]
async fn socket_io_clients_come_back_and_miss_nothing_standalone() -> anyhow::Result<()> {
    come_back("socketio/discord.mjs", Home::Standalone).await
}

#[tokio::test]
async fn socket_io_clients_come_back_and_miss_nothing_on_two_fanouts() -> anyhow::Result<()> {
    come_back("socketio/discord.mjs", Home::Distributed).await
}

#[tokio::test]
async fn python_socketio_comes_back_and_misses_nothing_standalone() -> anyhow::Result<()> {
    come_back("socketio/discord.py", Home::Standalone).await
}

#[tokio::test]
async fn python_socketio_comes_back_and_misses_nothing_on_two_fanouts() -> anyhow::Result<()> {
    come_back("socketio/discord.py", Home::Distributed).await
}
