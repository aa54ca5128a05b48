//! How many files this process and its children may have open: a socket is a file.

use anyhow::{Context as _, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Beside the sockets: libraries, logs, pipes, databases, and a runtime of each process.
const OTHER_FILES: u64 = 256;

/// Raises the limit to what so many sockets of one process need; children inherit it.
pub(crate) fn raise(sockets: u32) -> anyhow::Result<()> {
    let needed = u64::from(sockets) + OTHER_FILES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("the limit of open files")?;
    if soft >= needed {
        return Ok(());
    }
    ensure!(
        hard >= needed,
        "{sockets} sockets need {needed} open files, and the system allows {hard}: raise it with `ulimit -Hn`"
    );
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard).context("the limit of open files")
}
