//! What a run does: how many sockets, how many messages, how large, in how many rounds.
//! It promises bounds within which every phase ends and everything fits into memory; it knows nothing of how it is done.

use std::time::Duration;

use anyhow::ensure;

/// A latency of 4 bytes is kept of every delivery: 200 MB at this count.
const DELIVERIES_MAX: u64 = 50_000_000;

/// A run of the bench.
#[derive(Clone, Debug, clap::Args)]
pub struct Plan {
    /// How many sockets join the channel.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub sockets: u32,
    /// Messages a second.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    /// How long messages are sent, all rounds together.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// The length of a message's text; Discord allows 4,000.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub bytes: u32,
    /// How often the fanout and the floor take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
}

impl Plan {
    /// Checks what no single argument can.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let deliveries = u64::from(self.sockets) * u64::from(self.messages());
        ensure!(
            deliveries <= DELIVERIES_MAX,
            "{deliveries} deliveries are too many: at most {DELIVERIES_MAX}"
        );
        Ok(())
    }

    /// Messages of one round; rounded up, so that all rounds together are never fewer than asked for.
    pub(crate) fn messages_a_round(&self) -> u32 {
        (self.rate * self.seconds).div_ceil(self.rounds)
    }

    /// Messages of all rounds.
    pub(crate) fn messages(&self) -> u32 {
        self.messages_a_round() * self.rounds
    }

    /// How long a round's messages may take: as long as they are due, and as long again for a machine that is busy,
    /// and at least half a minute.
    pub(crate) fn round_patience(&self) -> Duration {
        let due = Duration::from_secs(u64::from(self.messages_a_round() / self.rate));
        due * 2 + Duration::from_secs(30)
    }

    /// How long all sockets together may take to join: half a minute, and a 20th of a second for each, which is what
    /// a debug build needs on a busy core.
    pub(crate) fn join_patience(&self) -> Duration {
        Duration::from_secs(30) + Duration::from_millis(50) * self.sockets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sockets: u32, rate: u32, seconds: u32, rounds: u32) -> Plan {
        Plan {
            sockets,
            rate,
            seconds,
            bytes: 400,
            rounds,
        }
    }

    #[test]
    fn rounds_share_the_messages_and_none_is_lost_to_rounding() {
        assert_eq!(plan(1, 5, 20, 5).messages_a_round(), 20);
        assert_eq!(plan(1, 5, 20, 3).messages_a_round(), 34);
        assert_eq!(plan(1, 5, 20, 3).messages(), 102);
        assert_eq!(plan(1, 1, 1, 100).messages_a_round(), 1);
    }

    #[test]
    fn a_run_that_does_not_fit_into_memory_is_refused() {
        assert!(plan(2_000, 5, 20, 5).check().is_ok());
        assert!(plan(100_000, 10_000, 3_600, 1).check().is_err());
    }
}
