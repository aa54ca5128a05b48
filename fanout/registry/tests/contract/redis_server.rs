//! A real redis-server as a child process: on a free port, in a folder of its own, keeping nothing on disk,
//! killed when dropped.
//!
//! It can be killed (SIGKILL), stalled, and started again, empty, on the same port. The program is
//! `$REDIS_SERVER`, else `redis-server` (Debian: package redis-server); without it a test fails and says so.
//! Other packages' tests include this file by path; it knows nothing of our crates.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::port::free_port;

/// How long a server may take to start, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// A running, or killed, server.
#[derive(Debug)]
pub(crate) struct RedisServer {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
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
        panic!("redis-server found no free port");
    }

    /// A server that has a port and a folder, and is not started yet.
    pub(crate) fn prepared() -> Self {
        Self {
            folder: tempfile::tempdir().expect("the tests have a temporary folder"),
            port: free_port(),
            child: None,
        }
    }

    /// Where clients find it.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it as a power cut would (SIGKILL).
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server is our child");
            child.wait().expect("the server is our child");
        }
    }

    /// Starts it on the port that it has; what it held is gone.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.try_start(), "redis-server does not start again");
    }

    /// Lets it hang: connections stay open, and nothing is answered.
    pub(crate) fn stall(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// Says one command to it, as plain words, and returns what it answers first.
    pub(crate) fn say(&self, command: &str) -> String {
        let answer = exchange(self.port, command);
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("the server runs");
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }

    fn try_start(&mut self) -> bool {
        let program = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let child = Command::new(&program)
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!(
                "{}: {error}: `make test` installs it (Debian: redis-server); or set REDIS_SERVER",
                program.display()
            )
        });
        let own = format!("process_id:{}\r", child.id());
        let until = Instant::now() + START_PATIENCE;
        while Instant::now() < until {
            if child.try_wait().expect("the server is our child").is_some() {
                return false;
            }
            if exchange(self.port, "INFO server").is_ok_and(|info| info.contains(&own)) {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child = Some(child);
        panic!("redis-server does not answer after {START_PATIENCE:?}");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends one line, and reads what comes until it is whole or a second has passed.
fn exchange(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    // With QUIT behind it the answer ends when the connection does.
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
