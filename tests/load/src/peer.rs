//! The servers that are measured: ours, the floor below it, and what others run; where they are and how they start.
//! It promises that all of them serve the same event on the same path, and that one which is not there says why.
//! It knows nothing of what they are measured for.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::process::Process;

/// One of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// A loop of plain sends.
    Floor,
    /// `actix-socketio`, by its example `broadcast`.
    Ours,
    /// socketioxide on axum.
    Socketioxide,
    /// Node's socket.io.
    Node,
}

impl Server {
    /// All of them; every table has this order.
    pub(crate) const ALL: [Self; 4] = [Self::Floor, Self::Ours, Self::Socketioxide, Self::Node];

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "ours",
            Self::Socketioxide => "socketioxide",
            Self::Node => "socket.io",
        }
    }
}

/// A server that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Which it is.
    pub(crate) server: Server,
    /// What it is, with its version.
    pub(crate) title: String,
    program: PathBuf,
    script: Option<PathBuf>,
}

impl Peer {
    /// Finds a server: ours beside this program, the others below the folder of the peers.
    ///
    /// # Errors
    /// It is not installed; the error says what to do.
    pub(crate) fn find(server: Server, peers: &Path) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("our own program")?;
        let folder = own.parent().context("a program is in a folder")?;
        // A server runs in a folder of its own.
        let home = |name| std::path::absolute(peers.join(name));
        let (program, script, version) = match server {
            Server::Floor => (own.clone(), None, "plain sends".to_owned()),
            Server::Ours => {
                let version = concat!("actix-socketio ", env!("CARGO_PKG_VERSION"));
                (folder.join("examples/broadcast"), None, version.to_owned())
            }
            Server::Socketioxide => {
                let home = home("socketioxide")?;
                let version = locked_version(&home.join("Cargo.lock"), "socketioxide")?;
                (home.join("target/release/socketioxide-peer"), None, version)
            }
            Server::Node => {
                let home = home("node")?;
                let version = node_version(&home)?;
                (PathBuf::from("node"), Some(home.join("server.js")), version)
            }
        };
        let is_there = server == Server::Node || program.exists();
        ensure!(is_there, "{} is missing", program.display());
        Ok(Self {
            server,
            title: version,
            program,
            script,
        })
    }

    /// Starts it on a free port of loopback for so many sockets.
    pub(crate) fn start(
        &self,
        sockets: usize,
        home: &Path,
    ) -> anyhow::Result<(Process, SocketAddr)> {
        let address = free_address()?;
        let port = address.port().to_string();
        let mut command = Command::new(&self.program);
        match self.server {
            Server::Floor => {
                let sockets = sockets.to_string();
                command.args(["floor-room", "--port", &port, "--sockets", &sockets]);
            }
            Server::Ours => {
                command.args(["--port", &port]);
            }
            Server::Socketioxide | Server::Node => {
                command.args(&self.script).arg(&port);
            }
        }
        Ok((
            Process::start(self.server.name(), &mut command, home)?,
            address,
        ))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.server.name(), self.title)
    }
}

/// All servers that are there, and a sentence for each that is not.
pub(crate) fn find_all(servers: &[Server], peers: &Path) -> (Vec<Peer>, Vec<String>) {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for server in servers {
        match Peer::find(*server, peers) {
            Ok(peer) => found.push(peer),
            Err(error) => missing.push(format!(
                "{} is left out: {error:#}; tests/load/peers/install.sh installs it",
                server.name()
            )),
        }
    }
    (found, missing)
}

/// A port that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?)
}

fn locked_version(lock: &Path, package: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(lock).with_context(|| lock.display().to_string())?;
    let version = parse_lock(&text, package).with_context(|| lock.display().to_string())?;
    Ok(format!("{package} {version}"))
}

fn parse_lock<'a>(text: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = text.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    version.strip_suffix('"')
}

fn node_version(home: &Path) -> anyhow::Result<String> {
    let manifest = home.join("node_modules/socket.io/package.json");
    let text =
        std::fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    let manifest: serde_json::Value = serde_json::from_str(&text)?;
    let version = manifest.get("version").and_then(serde_json::Value::as_str);
    let node = Command::new("node").arg("--version").output();
    let node = String::from_utf8(node.context("node")?.stdout)?;
    let version = version.context("its version")?;
    Ok(format!("socket.io {version} on Node {}", node.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_a_lock_file() {
        let lock = "[[package]]\nname = \"socketioxide-core\"\nversion = \"0.1.0\"\n\n[[package]]\n\
                    name = \"socketioxide\"\nversion = \"0.18.9\"\n";
        assert_eq!(parse_lock(lock, "socketioxide"), Some("0.18.9"));
        assert_eq!(parse_lock(lock, "axum"), None);
    }

    #[test]
    fn one_that_is_not_there_is_a_sentence() {
        let (found, missing) = find_all(&[Server::Floor, Server::Node], Path::new("/nowhere"));
        assert_eq!(found.len(), 1);
        assert!(
            missing
                .first()
                .unwrap()
                .starts_with("socket.io is left out: /nowhere"),
            "{missing:?}"
        );
    }
}
