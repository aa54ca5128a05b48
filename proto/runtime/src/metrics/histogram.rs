//! How often something took how long.

use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram as Vendor;

/// From what a broker on the same machine takes to what a human would call broken. A reading between two
/// bounds is off by a factor of 2.5 at the most.
const DELAYS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// A distribution of times. Clones share it; any thread may observe.
#[derive(Debug, Clone)]
pub struct Histogram(pub(super) Vendor);

impl Histogram {
    /// Of delays within and between services.
    pub fn of_delays() -> Self {
        Self(Vendor::new(DELAYS))
    }

    /// It took this long.
    pub fn observe(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::of_delays()
    }
}
