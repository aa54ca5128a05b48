//! The table: what was asked for, what came, and what it cost, ours beside the floor.
//! It promises one fixed form, so that two runs can be laid side by side, and a sentence for everything that failed.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;

use crate::percentile::percentile;
use crate::plan::Plan;
use crate::scoreboard::Counts;
use crate::usage::Memory;

/// Where a run was made.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The broker.
    pub(crate) nats: String,
    /// The kernel.
    pub(crate) kernel: String,
    /// How many cores everything shared, the generator included.
    pub(crate) cores: usize,
}

impl Setting {
    /// This machine, with this broker.
    pub(crate) fn of_this_machine(nats: String) -> anyhow::Result<Self> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        Ok(Self {
            nats,
            kernel: release.context("the kernel's release")?.trim().to_owned(),
            cores: std::thread::available_parallelism()?.get(),
        })
    }

    /// The first lines of a table: what was measured, and where.
    pub(crate) fn head(&self, what: &str) -> String {
        let Self {
            nats,
            kernel,
            cores,
        } = self;
        let (version, build) = (env!("CARGO_PKG_VERSION"), Self::build());
        format!(
            "{what} {version} ({build} build), {nats}\nLinux {kernel}, {cores} cores, shared with the generator\n"
        )
    }

    fn build() -> &'static str {
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        }
    }
}

/// What one round used of the CPU, and for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// All threads of the one process, user and kernel.
    pub(crate) cpu: Duration,
    /// Messages times sockets.
    pub(crate) deliveries: u64,
}

impl Cost {
    /// All rounds together.
    fn sum(costs: &[Self]) -> Self {
        Self {
            cpu: costs.iter().map(|cost| cost.cpu).sum(),
            deliveries: costs.iter().map(|cost| cost.deliveries).sum(),
        }
    }

    /// Microseconds a delivery; none without one.
    #[expect(clippy::cast_precision_loss, reason = "deliveries are far below 2^52")]
    fn each_us(self) -> Option<f64> {
        (self.deliveries > 0).then(|| self.cpu.as_secs_f64() * 1e6 / self.deliveries as f64)
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    pub(crate) setting: Setting,
    pub(crate) plan: Plan,
    pub(crate) counts: Counts,
    pub(crate) reasons: Vec<String>,
    /// Ascending.
    pub(crate) latencies_us: Vec<u32>,
    pub(crate) ours: Vec<Cost>,
    pub(crate) floors: Vec<Cost>,
    pub(crate) idle: Memory,
    pub(crate) joined: Memory,
    pub(crate) busy: Memory,
}

impl Report {
    /// What went wrong, each as a sentence; empty when every socket got each message once and in order.
    pub fn failures(&self) -> Vec<String> {
        let counts = &self.counts;
        let said = [
            (counts.lost, "were lost"),
            (counts.doubled, "came twice"),
            (counts.out_of_order, "came out of order"),
            (counts.unknown, "were none of those that were sent"),
        ];
        let said = said.into_iter().filter(|(count, _)| *count > 0);
        let mut failures: Vec<_> = said
            .map(|(n, what)| format!("{n} messages {what}"))
            .collect();
        if counts.ended > 0 {
            failures.push(format!("{} sockets ended early", counts.ended));
        }
        if !failures.is_empty() {
            failures.extend(self.reasons.iter().cloned());
        }
        failures
    }

    fn latency_ms(&self, percent: u32) -> Option<f64> {
        percentile(&self.latencies_us, percent).map(|us| f64::from(us) / 1e3)
    }

    /// What a socket added to the fanout's memory, in KiB.
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 KiB")]
    fn each_kib(&self, of: impl Fn(Memory) -> u64, when: Memory) -> f64 {
        (of(when) as f64 - of(self.idle) as f64) / f64::from(self.plan.sockets)
    }

    fn write_head(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.setting.head("fanout"))?;
        let Plan {
            sockets,
            rate,
            bytes,
            rounds,
            ..
        } = &self.plan;
        let frame = self.counts.frame_bytes();
        let seconds = self.plan.messages() / rate;
        writeln!(
            out,
            "{sockets} sockets in one channel, {rate} messages a second for {seconds} s in {rounds} rounds,"
        )?;
        writeln!(out, "{bytes} bytes of text each, {frame} bytes on the wire")?;
        writeln!(out)
    }

    fn write_counts(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let messages = self.plan.messages_a_round() as usize * self.ours.len();
        let rows = [
            ("messages", messages as u64),
            ("deliveries", counts.deliveries()),
            ("lost", counts.lost),
            ("doubled", counts.doubled),
            ("out of order", counts.out_of_order),
            ("unknown", counts.unknown),
            ("sockets that ended early", counts.ended),
        ];
        for (name, count) in rows {
            writeln!(out, "{name:<34}{count:>10}")?;
        }
        Ok(())
    }

    fn write_costs(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = Cost::sum(&self.ours).each_us();
        let floor = Cost::sum(&self.floors).each_us();
        row(out, "CPU a delivery, µs", ours, floor)?;
        row(
            out,
            "  its cheapest round",
            least(&self.ours),
            least(&self.floors),
        )?;
        row(
            out,
            "  its dearest round",
            most(&self.ours),
            most(&self.floors),
        )?;
        for (name, percent) in [("p50", 50), ("p99", 99), ("max", 100)] {
            let name = format!("latency {name}, ms");
            row(out, &name, self.latency_ms(percent), None)?;
        }
        let rss = |memory: Memory| memory.rss_kib;
        let pss = |memory: Memory| memory.pss_kib;
        let (joined, busy) = (self.joined, self.busy);
        row(
            out,
            "RSS a socket, joined, KiB",
            Some(self.each_kib(rss, joined)),
            None,
        )?;
        row(
            out,
            "RSS a socket, at the end, KiB",
            Some(self.each_kib(rss, busy)),
            None,
        )?;
        row(
            out,
            "PSS a socket, joined, KiB",
            Some(self.each_kib(pss, joined)),
            None,
        )?;
        row(
            out,
            "PSS a socket, at the end, KiB",
            Some(self.each_kib(pss, busy)),
            None,
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_head(out)?;
        writeln!(
            out,
            "{:<34}{:>10}{:>10}{:>10}",
            "", "ours", "floor", "ratio"
        )?;
        self.write_counts(out)?;
        self.write_costs(out)?;
        writeln!(out)?;
        writeln!(
            out,
            "floor: one send of as many bytes a socket, from one thread, in turn with ours."
        )?;
        write!(
            out,
            "latency: from the simulator's post to our reading, over all deliveries."
        )
    }
}

/// A line of the table; a number that was not measured is a dash.
fn row(
    out: &mut fmt::Formatter<'_>,
    name: &str,
    ours: Option<f64>,
    floor: Option<f64>,
) -> fmt::Result {
    let ratio = ours.zip(floor).map(|(ours, floor)| ours / floor);
    writeln!(
        out,
        "{name:<34}{:>10}{:>10}{:>10}",
        cell(ours),
        cell(floor),
        cell(ratio)
    )
}

fn cell(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.2}"))
}

fn least(costs: &[Cost]) -> Option<f64> {
    costs
        .iter()
        .filter_map(|cost| cost.each_us())
        .reduce(f64::min)
}

fn most(costs: &[Cost]) -> Option<f64> {
    costs
        .iter()
        .filter_map(|cost| cost.each_us())
        .reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(cpu_us: u64) -> Cost {
        Cost {
            cpu: Duration::from_micros(cpu_us),
            deliveries: 100,
        }
    }

    fn memory(kib: u64) -> Memory {
        Memory {
            rss_kib: kib,
            pss_kib: kib,
        }
    }

    fn report() -> Report {
        Report {
            setting: Setting {
                nats: "nats-server v2.15.1".to_owned(),
                kernel: "6.1.0".to_owned(),
                cores: 2,
            },
            plan: Plan {
                sockets: 10,
                rate: 5,
                seconds: 4,
                bytes: 400,
                rounds: 2,
            },
            counts: Counts {
                in_order: 200,
                wire_bytes: 200 * 812,
                ..Counts::default()
            },
            reasons: Vec::new(),
            latencies_us: (1..=200).map(|ms| ms * 1_000).collect(),
            ours: vec![cost(700), cost(900)],
            floors: vec![cost(600), cost(400)],
            idle: memory(1_000),
            joined: memory(1_045),
            busy: memory(1_100),
        }
    }

    #[test]
    fn the_table_has_one_form() {
        let expected = "\
fanout 0.1.0 (debug build), nats-server v2.15.1
Linux 6.1.0, 2 cores, shared with the generator
10 sockets in one channel, 5 messages a second for 4 s in 2 rounds,
400 bytes of text each, 812 bytes on the wire

                                        ours     floor     ratio
messages                                  20
deliveries                               200
lost                                       0
doubled                                    0
out of order                               0
unknown                                    0
sockets that ended early                   0
CPU a delivery, µs                      8.00      5.00      1.60
  its cheapest round                    7.00      4.00      1.75
  its dearest round                     9.00      6.00      1.50
latency p50, ms                       100.00         -         -
latency p99, ms                       198.00         -         -
latency max, ms                       200.00         -         -
RSS a socket, joined, KiB               4.50         -         -
RSS a socket, at the end, KiB          10.00         -         -
PSS a socket, joined, KiB               4.50         -         -
PSS a socket, at the end, KiB          10.00         -         -
";
        let version = format!(
            "fanout {} ({} build)",
            env!("CARGO_PKG_VERSION"),
            Setting::build()
        );
        let expected = expected.replace("fanout 0.1.0 (debug build)", &version);
        let table = report().to_string();
        assert!(table.starts_with(&expected), "{table}");
        assert!(report().failures().is_empty());
    }

    #[test]
    fn whatever_went_wrong_is_a_sentence() {
        let mut report = report();
        report.counts.lost = 2;
        report.counts.doubled = 1;
        report.counts.ended = 1;
        report.reasons = vec!["socket 3 ended: the connection was cut".to_owned()];
        let failures = [
            "2 messages were lost",
            "1 messages came twice",
            "1 sockets ended early",
            "socket 3 ended: the connection was cut",
        ];
        assert_eq!(report.failures(), failures);
    }

    #[test]
    fn a_run_that_stopped_early_shows_dashes_and_not_nonsense() {
        let mut report = report();
        report.ours = Vec::new();
        report.floors = Vec::new();
        report.latencies_us = Vec::new();
        assert!(
            report
                .to_string()
                .contains("CPU a delivery, µs                         -         -         -")
        );
    }
}
