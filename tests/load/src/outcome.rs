//! What a bench came to: its table, and what makes it a failure.
//! It promises that the table says where it was made, and that medians are numbers that were measured.

use std::fmt;

/// A finished run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is printed.
    pub table: String,
    /// What went wrong, each as a sentence; empty for a good run.
    pub failures: Vec<String>,
}

/// The line that says where a run was made.
pub(crate) fn machine() -> String {
    format!(
        "{}, the server on one core and the clients on another",
        system()
    )
}

/// The kernel, and how we were built.
pub(crate) fn system() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!("Linux {}, {build} build", release.trim())
}

/// The middle of some numbers, and their extremes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The lower of the two middle ones, if their count is even.
    pub(crate) median: f64,
    /// The least.
    pub(crate) least: f64,
    /// The most.
    pub(crate) most: f64,
}

impl Spread {
    /// None of no numbers.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        Some(Self {
            median: *sorted.get(sorted.len().checked_sub(1)? / 2)?,
            least: *sorted.first()?,
            most: *sorted.last()?,
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            least,
            most,
        } = self;
        write!(out, "{median:>8.2}{least:>8.2}{most:>8.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_one_of_the_numbers() {
        let spread = |median, least, most| {
            Some(Spread {
                median,
                least,
                most,
            })
        };
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), spread(2.0, 1.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), spread(2.0, 1.0, 4.0));
        assert_eq!(Spread::of([]), None);
    }
}
