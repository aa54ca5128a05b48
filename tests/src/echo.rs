//! The Socket.IO package's example servers on free ports, and the official server that does the same as one of them.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::process::Command;

use crate::clients;
use crate::port::free_port;
use crate::process::{PATIENCE, Process, program};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// `fanout/socketio/examples/echo.rs`.
    Example,
    /// `tests/clients/socketio/reference.mjs`: what clients expect is what this one does.
    Reference,
}

impl Echo {
    /// Starts it, for clients of both protocols; where it is.
    ///
    /// # Errors
    /// It was not built or installed, or does not listen in time.
    pub async fn start(self) -> anyhow::Result<(Process, String)> {
        let port = free_port();
        let mut command = match self {
            Self::Example => program("examples/echo")?,
            Self::Reference => clients::command("socketio/reference.mjs")?,
        };
        // Pings come often, because the scenario waits for some; a busy machine has time to answer them.
        command
            .args(["--port", &port.to_string(), "--mode", "socket", "--eio3"])
            .args(["--ping-interval", "300", "--ping-timeout", "20000"])
            .args(["--connect-timeout", "20000", "--max-payload", "1000000"]);
        listening(&format!("{self:?}"), command, port).await
    }
}

/// Starts `fanout/socketio/examples/chat.rs`; where it is.
///
/// # Errors
/// It was not built, or does not listen in time.
pub async fn chat() -> anyhow::Result<(Process, String)> {
    let port = free_port();
    let mut command = program("examples/chat")?;
    command.arg(port.to_string());
    listening("chat", command, port).await
}

async fn listening(name: &str, command: Command, port: u16) -> anyhow::Result<(Process, String)> {
    let mut process = Process::start(name, command)?;
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .is_err()
    {
        let is_starting = !process.has_ended() && Instant::now() < until;
        anyhow::ensure!(is_starting, "{name} does not listen: {}", process.output());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::ensure!(!process.has_ended(), "{name}: {}", process.output());
    Ok((process, format!("http://127.0.0.1:{port}")))
}
