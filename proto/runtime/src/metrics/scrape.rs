//! One scrape: a part writes its numbers, each under its whole name.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Histogram;

/// Where a part writes its numbers.
#[derive(Debug)]
pub struct Scrape<'a> {
    encoder: DescriptorEncoder<'a>,
    written: fmt::Result,
}

impl<'a> Scrape<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self {
            encoder,
            written: Ok(()),
        }
    }

    pub(super) fn finish(self) -> fmt::Result {
        self.written
    }

    /// A count that only grows; its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        let name = base(name);
        self.write(name, help, MetricType::Counter, |encoder| {
            ConstCounter::new(value).encode(encoder)
        });
    }

    /// A sum of times; its name ends in `_seconds_total`.
    pub fn time(&mut self, name: &str, help: &str, value: Duration) {
        let name = base(name);
        self.write(name, help, MetricType::Counter, |encoder| {
            ConstCounter::new(value.as_secs_f64()).encode(encoder)
        });
    }

    /// Such a count, split by labels.
    pub fn counters<'v, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl IntoIterator<Item = ([&'v str; N], u64)>,
    ) {
        let name = base(name);
        self.write(name, help, MetricType::Counter, |mut encoder| {
            for (words, value) in values {
                let set = paired(labels, words);
                ConstCounter::new(value).encode(encoder.encode_family(&set)?)?;
            }
            Ok(())
        });
    }

    /// A level.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.write(name, help, MetricType::Gauge, |encoder| {
            ConstGauge::new(value).encode(encoder)
        });
    }

    /// Such a level, split by labels.
    pub fn gauges<'v, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl IntoIterator<Item = ([&'v str; N], f64)>,
    ) {
        self.write(name, help, MetricType::Gauge, |mut encoder| {
            for (words, value) in values {
                let set = paired(labels, words);
                ConstGauge::new(value).encode(encoder.encode_family(&set)?)?;
            }
            Ok(())
        });
    }

    /// A distribution; its name ends in its unit.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.write(name, help, MetricType::Histogram, |encoder| {
            histogram.0.encode(encoder)
        });
    }

    fn write(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        encode: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) {
        let encoder = self.encoder.encode_descriptor(name, help, None, kind);
        let written = encoder.and_then(encode);
        self.written = self.written.and(written);
    }
}

/// The format itself writes a counter's `_total`.
fn base(name: &str) -> &str {
    debug_assert!(name.ends_with("_total"), "{name}");
    name.strip_suffix("_total").unwrap_or(name)
}

fn paired<'l, const N: usize>(
    labels: [&'l str; N],
    words: [&'l str; N],
) -> Vec<(&'l str, &'l str)> {
    labels.into_iter().zip(words).collect()
}

/// A count as a level. Beyond 2^53 it is rounded, which no queue and no sequence of ours reaches.
#[expect(
    clippy::cast_precision_loss,
    reason = "levels of ours are far below 2^53"
)]
pub fn level(count: u64) -> f64 {
    count as f64
}
