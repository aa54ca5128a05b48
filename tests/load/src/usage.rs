//! What a process uses: CPU time, memory, files and threads, as the kernel counts them.
//! It promises nanoseconds of the whole process, threads that have ended included; what it used in user mode alone is
//! known in ticks. It knows only process ids.

use std::time::Duration;

use anyhow::Context as _;
use nix::time::ClockId;
use nix::unistd::Pid;

/// The CPU time that a process has used, in user and kernel mode (`clock_getcpuclockid(3)`).
pub(crate) fn cpu_time(process: u32) -> anyhow::Result<Duration> {
    let pid = Pid::from_raw(i32::try_from(process)?);
    let clock = ClockId::pid_cpu_clock_id(pid).context("a process has no CPU clock")?;
    Ok(clock.now().context("a process' CPU clock")?.into())
}

/// `USER_HZ`, the unit of times in `/proc`, is 100 on every architecture that Rust's servers run on (`time(7)`).
const TICKS_A_SECOND: u64 = 100;
/// Where `utime` stands in `/proc/PID/stat`, counted from behind the program's name (`proc_pid_stat(5)`).
const USER_TIME_PLACE: usize = 11;

/// The CPU time that a process has used in user mode. The kernel looks 100 to 1,000 times a second where a process
/// is: it is worth something over seconds alone.
pub(crate) fn user_time(process: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    parse_user_time(&text).with_context(|| format!("{path} has no utime"))
}

fn parse_user_time(stat: &str) -> Option<Duration> {
    // The name may contain anything, also spaces and brackets.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').nth(USER_TIME_PLACE)?.parse().ok()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_A_SECOND))
}

/// How many files a process has open.
pub(crate) fn files(process: u32) -> anyhow::Result<usize> {
    entries(&format!("/proc/{process}/fd"))
}

/// How many threads a process has.
pub(crate) fn threads(process: u32) -> anyhow::Result<usize> {
    entries(&format!("/proc/{process}/task"))
}

fn entries(folder: &str) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(folder)
        .with_context(|| folder.to_owned())?
        .count())
}

/// What of a process is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// All of its pages.
    pub(crate) rss_kib: u64,
    /// The same, pages that are shared counted in parts.
    pub(crate) pss_kib: u64,
}

impl Memory {
    /// The memory of a process now (`/proc/PID/smaps_rollup`, `proc(5)`).
    pub(crate) fn of(process: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{process}/smaps_rollup");
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        Self::parse(&text).with_context(|| format!("{path} has no Rss and Pss"))
    }

    fn parse(text: &str) -> Option<Self> {
        let kib = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            rss_kib: kib("Rss:")?,
            pss_kib: kib("Pss:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_lines() {
        let text = "55e8-7ffd ---p 0 00:00 0 [rollup]\nRss:    1744 kB\nPss:  249 kB\nPss_Dirty:  112 kB\n";
        let memory = Memory {
            rss_kib: 1744,
            pss_kib: 249,
        };
        assert_eq!(Memory::parse(text), Some(memory));
        assert_eq!(Memory::parse("Rss: 1 kB\n"), None);
    }

    #[test]
    fn user_time_is_read_from_behind_the_programs_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 123 456 0 0 20 0 1 0 100 1000 10\n";
        assert_eq!(parse_user_time(stat), Some(Duration::from_millis(1_230)));
        assert_eq!(parse_user_time("42 (a) S 1"), None);
    }

    #[test]
    fn files_and_threads_are_counted() {
        let own = std::process::id();
        assert!(threads(own).unwrap() >= 1);
        assert!(files(own).unwrap() >= 3);
        assert!(user_time(own).is_ok());
    }

    #[test]
    fn our_own_use_is_known_and_grows_with_work() {
        let own = std::process::id();
        assert!(Memory::of(own).unwrap().rss_kib > 0);
        let before = cpu_time(own).unwrap();
        let worked = (0..3_000_000_u64).fold(0_u64, |sum, n| std::hint::black_box(sum ^ n));
        assert!(cpu_time(own).unwrap() > before, "{worked}");
        // Linux gives no larger number than 2^22.
        assert!(cpu_time((1 << 22) + 1).is_err());
    }
}
