//! What a process has used so far: CPU time and memory, as the kernel counts them.
//! It promises nanoseconds of the whole process, threads that have ended included. It knows only process ids.

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
