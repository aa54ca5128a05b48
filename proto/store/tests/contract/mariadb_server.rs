//! A real MariaDB server as a child process: on a free port, with a data folder of its own, gone with its process.
//!
//! It can be killed (SIGKILL), started again on the same port and folder, and halted. The programs are Debian's
//! (`mariadbd` and what comes with it), which `make test` installs; `$MARIADBD` names another server. A shell holds
//! the server by a pipe: however the test ends, even killed, the pipe closes and server and folder go.
//! Other packages' tests include this file by path; it knows nothing of our crates.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::port::free_port;

/// How long a server may take to start, on a busy machine, after a kill with its log to go through.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Runs the server until it ends or the pipe does; then removes the folder, unless it is told to keep it. Once the
/// watcher has begun with that, the end of the server does not end the watcher.
const KEEPER: &str = r#"
folder=$1; shift
exec 3<&0 </dev/null
"$@" & server=$!
{
  read -r word <&3
  trap "" TERM
  kill -9 "$server"
  while kill -0 "$server" 2>/dev/null; do sleep 0.01; done
  [ "$word" = keep ] || rm -rf "$folder"
} & watcher=$!
wait "$server"
kill "$watcher"
wait "$watcher"
"#;

/// As small as it starts, and safe against a killed process, not against a power cut.
const SETTINGS: [&str; 20] = [
    "--user=root",
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--max-connections=64",
    "--performance-schema=OFF",
    "--character-set-server=latin1",
    "--sql-mode=",
    "--transaction-isolation=READ-COMMITTED",
    "--table-open-cache=100",
    "--key-buffer-size=64K",
    "--aria-pagecache-buffer-size=1M",
    "--innodb-data-file-path=ibdata1:5M:autoextend",
    "--innodb-autoextend-increment=1",
    "--innodb-log-file-size=4M",
    "--innodb-log-buffer-size=1M",
    "--innodb-buffer-pool-size=8M",
    "--innodb-buffer-pool-dump-at-shutdown=OFF",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-use-native-aio=OFF",
    "--innodb-doublewrite=OFF",
];

/// A running, or killed, server.
#[derive(Debug)]
pub(crate) struct MariaDb {
    folder: PathBuf,
    port: u16,
    settings: &'static [&'static str],
    keeper: Option<Child>,
}

impl MariaDb {
    /// Starts a server on a free port.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with these settings (`--name=value`) instead of the usual ones.
    pub(crate) fn start_with(settings: &'static [&'static str]) -> Self {
        let folder = tempfile::Builder::new().prefix("mariadb-").tempdir();
        let mut server = Self {
            // Removed by the keeper: a static's folder has nobody else.
            folder: folder.expect("the tests have a temporary folder").keep(),
            port: free_port(),
            settings,
            keeper: None,
        };
        copy(&template(), &server.data());
        // Another test may take a free port first; then this server ends, and the next port is tried.
        for _ in 0..20 {
            if server.try_start() {
                return server;
            }
            server.port = free_port();
        }
        panic!("mariadbd found no free port");
    }

    /// Where clients find a database, which is made if it is missing.
    pub(crate) fn url(&self, database: &str) -> String {
        self.run(&format!("CREATE DATABASE IF NOT EXISTS {database}"));
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs a statement as the server's administrator.
    pub(crate) fn run(&self, statement: &str) {
        self.ask(statement);
    }

    /// What the server answers its administrator, bare.
    pub(crate) fn ask(&self, statement: &str) -> String {
        let done = Command::new("mariadb")
            .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1"])
            .args(["--user=root", &format!("--port={}", self.port)])
            .args(["--skip-column-names", "--batch", "--execute", statement])
            .output()
            .expect("MariaDB's client is installed beside its server");
        assert!(done.status.success(), "{statement}: {done:?}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Kills it (SIGKILL).
    pub(crate) fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            let mut pipe = keeper.stdin.take().expect("it is piped");
            // Where the server has ended by itself, nobody listens any more.
            drop(pipe.write_all(b"keep\n"));
            drop(pipe);
            keeper.wait().expect("the keeper is our child");
        }
    }

    /// Starts it on the port and folder that it has.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.try_start(), "mariadbd does not start again");
    }

    /// Halts it (SIGSTOP): connections stay, and nothing answers.
    pub(crate) fn halt(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on after a halt.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.pid_file()).expect("a running server has one");
        let sent = Command::new("kill").args([signal, pid.trim()]).status();
        assert!(sent.expect("there is a kill").success());
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    fn try_start(&mut self) -> bool {
        // The server writes it when it listens, so that the one that answers is ours.
        fs::remove_file(self.pid_file()).ok();
        let log = File::create(self.folder.join("log")).expect("the folder is ours");
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&self.folder)
            .arg(program())
            .arg("--no-defaults")
            .arg(option("--datadir", &self.data()))
            // A server that starts removes every temporary table of its folder, also those of the others in it.
            .arg(option("--tmpdir", &self.folder))
            .arg(option("--pid-file", &self.pid_file()))
            .arg(option("--socket", &self.folder.join("socket")))
            .arg(format!("--port={}", self.port))
            .args(SETTINGS)
            .args(self.settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let mut keeper = keeper.expect("there is a shell");
        let is_up = self.comes_up(&mut keeper);
        self.keeper = is_up.then_some(keeper);
        is_up
    }

    /// Whether the server answers; not so if it ends.
    fn comes_up(&self, keeper: &mut Child) -> bool {
        let until = Instant::now() + START_PATIENCE;
        while Instant::now() < until {
            if keeper
                .try_wait()
                .expect("the keeper is our child")
                .is_some()
            {
                return false;
            }
            if self.pid_file().exists() && greets(self.port) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = fs::read_to_string(self.folder.join("log"));
        panic!("mariadbd does not answer after {START_PATIENCE:?}: {log:?}");
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Whether a server that lets us in greets on this port: a refusal is an error packet.
fn greets(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let patience = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut greeting = [0; 5];
    let read = stream.read_exact(&mut greeting);
    let [_, _, _, _, version] = greeting;
    patience.is_ok() && read.is_ok() && version == 10
}

/// A data folder with nothing in it, made once for all tests.
fn template() -> PathBuf {
    // The compiler names it to tests alone, and a harness that includes this file is a library.
    let place = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    fs::create_dir_all(&place).expect("the target folder is ours");
    let lock = File::create(place.join("mariadb.lock")).expect("the target folder is ours");
    lock.lock().expect("its file system has locks");
    let version = Command::new(program()).arg("--version").output();
    let version = version.unwrap_or_else(|error| panic!("{MISSING}: {error}"));
    let version: String = String::from_utf8_lossy(&version.stdout)
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let folder = place.join(format!("mariadb-{version}"));
    if folder.exists() {
        return folder;
    }
    let unfinished = place.join("mariadb-unfinished");
    fs::remove_dir_all(&unfinished).ok();
    let made = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"])
        .args(["--user=root", "--auth-root-authentication-method=normal"])
        .arg(option("--datadir", &unfinished))
        .arg(option("--tmpdir", &place))
        .args(SETTINGS.iter().filter(|setting| setting.contains("innodb")))
        .output();
    let made = made.unwrap_or_else(|error| panic!("{MISSING}: {error}"));
    assert!(made.status.success(), "{made:?}");
    fs::rename(&unfinished, &folder).expect("it is in the same folder");
    folder
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(done.expect("there is a cp").success(), "{}", from.display());
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

const MISSING: &str = "MariaDB is missing: `make test` installs it (Debian: mariadb-server); or point MARIADBD at one";

fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("MARIADBD") {
        return program.into();
    }
    // Debian's place is not in everybody's path.
    let debians = Path::new("/usr/sbin/mariadbd");
    if debians.exists() {
        debians
    } else {
        Path::new("mariadbd")
    }
    .to_owned()
}
