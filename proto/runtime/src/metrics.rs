//! Metrics in Prometheus' format (the text of `OpenMetrics`), read from whoever holds the numbers when they are asked for.
//!
//! A part registers what tells of it; nothing is counted twice for the page's sake. Names are whole
//! (`discord_stream_…_total`, `_seconds`, `_bytes`), labels are few and never ids. The exposition format's
//! library is named here and nowhere else.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

mod histogram;
mod process;
mod scrape;
mod server;

pub use histogram::Histogram;
pub use scrape::{Scrape, level};
pub use server::{MetricsServer, listen};

/// What `/metrics` answers with.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that tell of a process. Clones share it.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

/// A part that tells of itself.
struct Source<F>(F);

impl<F> fmt::Debug for Source<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl<F: Fn(&mut Scrape<'_>) + Send + Sync + 'static> Collector for Source<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut scrape = Scrape::new(encoder);
        (self.0)(&mut scrape);
        scrape.finish()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The numbers of the process itself, and of nothing else yet.
    pub fn new() -> Self {
        let metrics = Self(Arc::default());
        metrics.collect(process::collect);
        metrics
    }

    /// Asks this part at each scrape, on the metrics' own thread.
    pub fn collect(&self, part: impl Fn(&mut Scrape<'_>) + Send + Sync + 'static) {
        self.0.lock().register_collector(Box::new(Source(part)));
    }

    /// The page.
    ///
    /// # Errors
    /// Never: a text can be written to as long as there is memory.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.0.lock())?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_page_holds_what_its_parts_say_at_that_moment() {
        let metrics = Metrics::new();
        let delay = Histogram::of_delays();
        metrics.collect({
            let delay = delay.clone();
            move |scrape| {
                scrape.counter("discord_stream_things_total", "Things", 3);
                let by = [(["a"], 1.0), (["b\"\n"], 0.5)];
                scrape.gauges("discord_stream_levels", "Levels", ["which"], by);
                scrape.counters(
                    "discord_stream_kinds_total",
                    "Kinds",
                    ["kind", "why"],
                    [(["x", "y"], 7)],
                );
                scrape.histogram("discord_stream_delay_seconds", "Delays", &delay);
            }
        });
        delay.observe(Duration::from_millis(3));
        delay.observe(Duration::from_secs(100));
        let page = metrics.text().unwrap();
        for line in [
            "# TYPE discord_stream_things counter",
            "discord_stream_things_total 3",
            "discord_stream_levels{which=\"a\"} 1.0",
            "discord_stream_levels{which=\"b\\\"\\n\"} 0.5",
            "discord_stream_kinds_total{kind=\"x\",why=\"y\"} 7",
            "discord_stream_delay_seconds_bucket{le=\"0.005\"} 1",
            "discord_stream_delay_seconds_bucket{le=\"+Inf\"} 2",
            "discord_stream_delay_seconds_count 2",
            "# EOF",
        ] {
            assert!(page.lines().any(|own| own == line), "{line} in\n{page}");
        }
    }

    #[test]
    fn the_process_tells_of_itself() {
        let page = Metrics::new().text().unwrap();
        let resident = page
            .lines()
            .find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        let resident: f64 = resident.unwrap().parse().unwrap();
        assert!(resident > 100_000.0, "{page}");
    }
}
