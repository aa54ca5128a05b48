//! What a process tells of itself, under the names that Prometheus' client libraries share
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>), and its exports.

use std::time::Duration;

use super::Scrape;
use super::scrape::level;
use crate::traces::exported;

/// What `/proc` counts CPU time in: `USER_HZ`, 100 a second on every Linux of today.
const TICK: Duration = Duration::from_millis(10);

pub(super) fn collect(scrape: &mut Scrape<'_>) {
    let version = env!("CARGO_PKG_VERSION");
    scrape.gauges(
        "discord_stream_build_info",
        "The version of this build",
        ["version"],
        [([version], 1.0)],
    );
    scrape.gauge(
        "process_resident_memory_bytes",
        "Resident memory",
        resident_bytes(),
    );
    scrape.gauge("process_threads", "Threads", threads());
    scrape.time(
        "process_cpu_seconds_total",
        "CPU time of the process so far, user and system",
        cpu_time(),
    );
    let spans = exported();
    scrape.counters(
        "discord_stream_spans_total",
        "Spans that left for the OTLP receiver",
        ["outcome"],
        [(["sent"], spans.sent), (["failed"], spans.failed)],
    );
}

fn status_field(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

fn resident_bytes() -> f64 {
    level(status_field("VmRSS:") * 1024)
}

fn threads() -> f64 {
    level(status_field("Threads:"))
}

fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in parentheses, which may hold blanks, user and system time are the 12th and 13th.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields = after.split_whitespace().skip(11).take(2);
    let ticks: u32 = fields.filter_map(|text| text.parse::<u32>().ok()).sum();
    TICK.saturating_mul(ticks)
}
