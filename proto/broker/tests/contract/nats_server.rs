//! A real nats-server as a child process: on a free port, with a store folder of its own, killed when dropped.
//!
//! It can be killed (SIGKILL) and started again on the same port and folder. The program is `$NATS_SERVER`,
//! else the one that `make test` installs below `.tools`; without it a test fails and says what is missing.
//! Other packages' tests include this file by path; it knows nothing of our crates.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::port::free_port;

/// How long a server may take to start, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// A running, or killed, server.
#[derive(Debug)]
pub(crate) struct NatsServer {
    folder: TempDir,
    port: u16,
    configuration: Option<(PathBuf, Vec<(&'static str, &'static str)>)>,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts a server on a free port.
    pub(crate) fn start() -> Self {
        let mut server = Self::prepared();
        // Another test may take a free port first; then this server ends, and the next port is tried.
        for _ in 0..20 {
            if server.try_start() {
                return server;
            }
            server.port = free_port();
        }
        panic!("nats-server found no free port");
    }

    /// A server that has a port and a folder, and is not started yet.
    pub(crate) fn prepared() -> Self {
        Self {
            folder: tempfile::tempdir().expect("the tests have a temporary folder"),
            port: free_port(),
            configuration: None,
            child: None,
        }
    }

    /// A server with this configuration, whose store lies in `/data`, and the variables that it names; the folder
    /// and the port are the test's own.
    pub(crate) fn configured(text: &str, variables: &[(&'static str, &'static str)]) -> Self {
        let mut server = Self::prepared();
        let file = server.folder.path().join("nats.conf");
        let folder = server.folder.path().display().to_string();
        assert!(text.contains("store_dir: /data"), "it says where it stores");
        let text = text.replace("store_dir: /data", &format!("store_dir: \"{folder}\""));
        std::fs::write(&file, text).expect("the folder is ours");
        server.configuration = Some((file, variables.to_vec()));
        server.restart();
        server
    }

    /// Where a user finds it.
    pub(crate) fn url_of(&self, user: &str, password: &str) -> String {
        format!("nats://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// Where clients find it.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it as a power cut would (SIGKILL).
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server is our child");
            child.wait().expect("the server is our child");
        }
    }

    /// Loses all that a killed server has stored.
    pub(crate) fn empty(&self) {
        let store = self.folder.path().join("jetstream");
        std::fs::remove_dir_all(store).expect("it has stored something");
    }

    /// Halts it (SIGSTOP): connections stay, and nothing is answered.
    pub(crate) fn stall(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on after a halt.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        // Whoever is dead neither stands still nor goes on.
        let Some(child) = &self.child else { return };
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }

    /// The bytes of all files of its store.
    pub(crate) fn files(&self) -> Vec<u8> {
        let (mut folders, mut bytes) = (vec![self.folder.path().to_owned()], Vec::new());
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(folder).expect("the store is the test's own");
            for entry in entries.flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(file) = std::fs::read(path) {
                    bytes.extend(file);
                }
            }
        }
        bytes
    }

    /// Starts it on the port and folder that it has.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.try_start(), "nats-server does not start again");
    }

    fn try_start(&mut self) -> bool {
        let name = format!("test-{}-{}", std::process::id(), self.port);
        let program = program();
        let mut command = Command::new(&program);
        if let Some((file, variables)) = &self.configuration {
            command.arg("--config").arg(file).args(["--http_port", "0"]);
            command.envs(variables.iter().copied());
        } else {
            let folder = self.folder.path();
            command.arg("--jetstream").arg("--store_dir").arg(folder);
        }
        let child = command
            .args(["--addr", "127.0.0.1", "--name", &name])
            .args(["--port", &self.port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let until = Instant::now() + START_PATIENCE;
        while Instant::now() < until {
            if child.try_wait().expect("the server is our child").is_some() {
                return false;
            }
            if answers_as(self.port, &name) {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child = Some(child);
        panic!("nats-server does not answer after {START_PATIENCE:?}");
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a server of this name greets on this port.
fn answers_as(port: u16, name: &str) -> bool {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let patience = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut greeting = String::new();
    let read = BufReader::new(stream).read_line(&mut greeting);
    patience.is_ok() && read.is_ok() && greeting.contains(&format!("\"server_name\":\"{name}\""))
}

fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("NATS_SERVER") {
        return program.into();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").exists());
    let root = root.expect("the workspace has a Cargo.lock");
    let tools = std::env::var_os("TOOLS_DIR").map_or_else(|| root.join(".tools"), PathBuf::from);
    let program = tools.join("venv/bin/nats-server");
    assert!(
        program.exists(),
        "{} is missing: `make test` installs it; or point NATS_SERVER at a nats-server 2.11 or newer",
        program.display()
    );
    program
}
