//! A real PostgreSQL server as a child process: on a free port, with a data folder of its own, gone with its process.
//!
//! It can be killed (SIGKILL, all of its processes), started again on the same port and folder, and halted. The programs
//! are Debian's (`postgres` and what comes with it), which `make test` installs; `$POSTGRES_BIN` names another folder
//! of them. They refuse to run as root: root's tests run them as the user of Debian's package. A shell holds
//! the server by a pipe: however the test ends, even killed, the pipe closes and server and folder go.
//! Other packages include this file by path; it knows nothing of our crates.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::port::free_port;

/// How long a server may take to start, on a busy machine, after a kill with its log to go through.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Runs the server until it ends or the pipe does; then kills all of its processes, and frees the segment that marks
/// the folder as in use, of which a system has few. Then removes the folder, unless it is told to keep it. Once the
/// watcher has begun with that, the end of the server does not end the watcher. Where a test ends beside a halted
/// server, the system hangs up on both.
const KEEPER: &str = r#"
folder=$1; shift
trap "" HUP
exec 3<&0 </dev/null
"$@" & server=$!
{
  read -r word <&3
  trap "" TERM
  kill -9 "$server" $(cat "/proc/$server/task/$server/children")
  while kill -0 "$server" 2>/dev/null; do sleep 0.01; done
  set -- $(sed -n 7p "$folder/data/postmaster.pid")
  ipcrm -m "$2"
  [ "$word" = keep ] || rm -rf "$folder"
} & watcher=$!
wait "$server"
kill "$watcher"
wait "$watcher"
"#;

/// As small as it starts, and safe against a killed process, not against a power cut; what the store sets for itself
/// is set otherwise.
const SETTINGS: [&str; 18] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=64",
    "shared_buffers=8MB",
    "dynamic_shared_memory_type=mmap",
    "max_worker_processes=0",
    "wal_level=minimal",
    "max_wal_senders=0",
    "min_wal_size=2MB",
    "fsync=off",
    "full_page_writes=off",
    "autovacuum=off",
    "lc_messages=C",
    "log_line_prefix=",
    "default_transaction_isolation=serializable",
    "lock_timeout=0",
    "statement_timeout=0",
    "enable_sort=on",
];

/// A running, or killed, server.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: PathBuf,
    port: u16,
    settings: &'static [&'static str],
    keeper: Option<Child>,
}

impl Postgres {
    /// Starts a server on a free port.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with these settings (`name=value`) instead of the usual ones.
    pub(crate) fn start_with(settings: &'static [&'static str]) -> Self {
        let template = template();
        let mut server = Self {
            // Removed by the keeper: a static's folder has nobody else.
            folder: folder().keep(),
            port: free_port(),
            settings,
            keeper: None,
        };
        copy(&template, &server.data());
        // Another test may take a free port first; then this server ends, and the next port is tried.
        for _ in 0..20 {
            if server.try_start() {
                return server;
            }
            server.port = free_port();
        }
        panic!("postgres found no free port: {}", server.log());
    }

    /// Where clients find a database, which is made if it is missing.
    pub(crate) fn url(&self, database: &str) -> String {
        let made = self.psql("postgres", &format!("CREATE DATABASE {database}"));
        if let Err(problem) = made {
            assert!(problem.contains("already exists"), "{database}: {problem}");
        }
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements in a database as the server's administrator.
    pub(crate) fn run(&self, database: &str, statements: &str) {
        self.ask(database, statements);
    }

    /// What the server answers its administrator, bare.
    pub(crate) fn ask(&self, database: &str, statement: &str) -> String {
        let answer = self.psql(database, statement);
        answer.unwrap_or_else(|problem| panic!("{statement}: {problem}"))
    }

    /// What the server has written of itself since it was last started.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Kills it (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.end(b"keep\n");
    }

    /// Starts it on the port and folder that it has.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.try_start(), "it does not start: {}", self.log());
    }

    /// Halts it (SIGSTOP): connections stay, and nothing answers.
    pub(crate) fn halt(&self) {
        let server = self.pid();
        signal("-STOP", &server);
        for child in children(&server) {
            signal("-STOP", &child);
        }
    }

    /// Lets it go on after a halt.
    pub(crate) fn go_on(&self) {
        let server = self.pid();
        for child in children(&server) {
            signal("-CONT", &child);
        }
        signal("-CONT", &server);
    }

    fn psql(&self, database: &str, statement: &str) -> Result<String, String> {
        let done = program("psql")
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
            .args(["--host=127.0.0.1", "--username=postgres"])
            .arg(format!("--port={}", self.port))
            .args(["--dbname", database, "--command", statement])
            .output()
            .expect("PostgreSQL's client is installed beside its server");
        let said = if done.status.success() {
            Ok(done.stdout)
        } else {
            Err(done.stderr)
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        said.map(text).map_err(text)
    }

    fn end(&mut self, word: &[u8]) {
        if let Some(mut keeper) = self.keeper.take() {
            let mut pipe = keeper.stdin.take().expect("it is piped");
            // Where the server has ended by itself, nobody listens any more.
            drop(pipe.write_all(word));
            drop(pipe);
            keeper.wait().expect("the keeper is our child");
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The file that the server keeps of itself: its number first, how it is in the eighth line.
    fn own_file(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }

    fn pid(&self) -> String {
        let own = fs::read_to_string(self.own_file()).expect("a running server has one");
        own.lines().next().unwrap_or_default().to_owned()
    }

    fn try_start(&mut self) -> bool {
        // So that the one that is ready is ours.
        fs::remove_file(self.own_file()).ok();
        let log = File::create(self.folder.join("log")).expect("the folder is ours");
        let settings = SETTINGS.iter().chain(self.settings);
        let mut keeper = as_servers_user("sh");
        keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(&self.folder)
            .arg(program("postgres").get_program())
            .arg("-D")
            .arg(self.data())
            .args(["-c", &format!("port={}", self.port)])
            .args(settings.flat_map(|setting| ["-c", setting]))
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        let mut keeper = keeper.spawn().expect("there is a shell");
        let is_up = self.comes_up(&mut keeper);
        self.keeper = is_up.then_some(keeper);
        is_up
    }

    /// Whether the server takes connections; not so if it ends.
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
            let own = fs::read_to_string(self.own_file()).unwrap_or_default();
            let state = own.lines().nth(7).unwrap_or_default();
            if state.trim_end() == "ready" {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!(
            "postgres is not ready after {START_PATIENCE:?}: {}",
            self.log()
        );
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end(b"");
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn signal(signal: &str, pid: &str) {
    let sent = Command::new("kill").args([signal, pid]).status();
    assert!(
        sent.expect("there is a kill").success(),
        "kill {signal} {pid}"
    );
}

/// A server has a process for each connection, and some for itself.
fn children(server: &str) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children"));
    let children = children.expect("a running server has children");
    children.split_whitespace().map(str::to_owned).collect()
}

/// A folder of the user that runs the server, where that user can go.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("postgres-").tempdir();
    let folder = folder.expect("the tests have a temporary folder");
    if let Some((user, group)) = servers_user() {
        let given = chown(folder.path(), Some(user), Some(group));
        given.expect("root gives folders away");
    }
    folder
}

/// A data folder with nothing in it, made once for all tests of a user.
fn template() -> PathBuf {
    // The compiler names it to tests alone, and a harness that includes this file is a library.
    let place = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    fs::create_dir_all(&place).expect("the target folder is ours");
    let lock = File::create(place.join("postgres.lock")).expect("the target folder is ours");
    lock.lock().expect("its file system has locks");
    let user = servers_user().map_or(String::new(), |(user, _)| format!("-{user}"));
    let version = program("postgres").arg("--version").output();
    let version = version.unwrap_or_else(|error| panic!("{MISSING}: {error}"));
    let version: String = String::from_utf8_lossy(&version.stdout)
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let made = place.join(format!("postgres-{version}{user}"));
    if made.exists() {
        return made;
    }
    let unfinished = place.join("postgres-unfinished");
    fs::remove_dir_all(&unfinished).ok();
    let folder = folder();
    let data = folder.path().join("data");
    let done = as_servers_user(program("initdb").get_program())
        .args(["--username=postgres", "--auth=trust", "--no-sync"])
        .args(["--encoding=LATIN1", "--locale=C", "--wal-segsize=1"])
        .arg("-D")
        .arg(&data)
        .current_dir(folder.path())
        .output();
    let done = done.unwrap_or_else(|error| panic!("{MISSING}: {error}"));
    assert!(done.status.success(), "{done:?}");
    copy(&data, &unfinished);
    fs::rename(&unfinished, &made).expect("it is in the same folder");
    made
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(done.expect("there is a cp").success(), "{}", from.display());
}

/// Root's tests run the server as another user; others run it themselves.
fn servers_user() -> Option<(u32, u32)> {
    let own = fs::metadata("/proc/self").expect("a process has one").uid();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let mut fields = users
            .lines()
            .map(|line| line.split(':'))
            .find(|fields| fields.clone().next() == Some(name))?
            .skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    (own == 0).then(|| {
        find("postgres")
            .or_else(|| find("nobody"))
            .expect("Debian's")
    })
}

fn as_servers_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = servers_user() {
        command.uid(user).gid(group);
    }
    command
}

const MISSING: &str = "PostgreSQL is missing: `make test` installs it (Debian: postgresql); or point POSTGRES_BIN at its programs";

/// One of the server's programs, of the newest version there is.
fn program(name: &str) -> Command {
    if let Some(folder) = std::env::var_os("POSTGRES_BIN") {
        return Command::new(Path::new(&folder).join(name));
    }
    // Debian's place is in nobody's path.
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .flatten()
        .filter(|version| version.path().join("bin").join(name).exists())
        .max_by_key(|version| version.file_name().to_string_lossy().parse::<u32>().ok());
    match newest {
        Some(version) => Command::new(version.path().join("bin").join(name)),
        None => Command::new(name),
    }
}
