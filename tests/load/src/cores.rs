//! Which core a thread runs on: the server has one to itself, and the clients the other.
//! It promises that a child started in here never ran anywhere else. It knows nothing of what runs.

use anyhow::{Context as _, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The first two cores that we may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// The server's.
    pub(crate) server: usize,
    /// The clients'.
    pub(crate) clients: usize,
}

impl Cores {
    /// Takes the first two cores that we may use, and moves this thread to the clients' one.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(THIS_THREAD).context("the cores that we may use")?;
        let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true));
        let (server, clients) = (cores.next(), cores.next());
        ensure!(
            clients.is_some(),
            "the server and the clients need a core each, and there is only one"
        );
        let cores = Self {
            server: server.unwrap_or_default(),
            clients: clients.unwrap_or_default(),
        };
        move_to(cores.clients)?;
        Ok(cores)
    }

    /// Has this thread start a child that inherits the server's core.
    pub(crate) fn on_server_core<T>(
        self,
        start: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        move_to(self.server)?;
        let started = start();
        move_to(self.clients)?;
        started
    }
}

/// `sched_setaffinity(2)`: zero is the calling thread.
const THIS_THREAD: Pid = Pid::from_raw(0);

fn move_to(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core).context("a core's number")?;
    sched_setaffinity(THIS_THREAD, &set).with_context(|| format!("to core {core}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_the_servers_core_is_there_and_we_are_not() {
        if std::thread::available_parallelism().unwrap().get() < 2 {
            return;
        }
        // Affinity is a thread's own: this one is not used again.
        let test = std::thread::spawn(|| {
            let cores = Cores::take().unwrap();
            let grep = || {
                let args = ["Cpus_allowed_list", "/proc/self/status"];
                Ok(std::process::Command::new("grep").args(args).output()?)
            };
            let child = cores.on_server_core(grep).unwrap().stdout;
            let own = grep().unwrap().stdout;
            let line = |core: usize| format!("Cpus_allowed_list:\t{core}\n").into_bytes();
            assert_eq!((child, own), (line(cores.server), line(cores.clients)));
        });
        test.join().unwrap();
    }
}
