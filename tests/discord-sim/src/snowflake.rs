//! Ids as Discord mints them: 42 bits of milliseconds since 2015, 22 bits that keep them apart.
//! A `Mint` never gives one id twice and never goes back, even when the clock does.
//! On the wire an id is always a string: <https://discord.com/developers/docs/reference#snowflakes>.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::macros::format_description;

/// Milliseconds from the Unix epoch to the first second of 2015, where Discord's time begins.
const DISCORD_EPOCH_MS: u64 = 1_420_070_400_000;

/// An id of anything: guild, channel, message, role or user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Snowflake(u64);

impl Snowflake {
    /// The `index`th id of the given millisecond (Unix time).
    pub(crate) const fn at(unix_ms: u64, index: u64) -> Self {
        Self((unix_ms.saturating_sub(DISCORD_EPOCH_MS) << 22) | (index & 0x003F_FFFF))
    }

    /// When it was minted, in Unix milliseconds.
    pub(crate) const fn unix_ms(self) -> u64 {
        (self.0 >> 22) + DISCORD_EPOCH_MS
    }

    /// What keeps it apart from other ids of its millisecond.
    pub(crate) const fn low(self) -> u64 {
        self.0 & 0x003F_FFFF
    }

    /// Which of `count` shards gets the events of the guild with this id.
    pub(crate) const fn shard(self, count: u64) -> u64 {
        match (self.0 >> 22).checked_rem(count) {
            Some(shard) => shard,
            None => 0,
        }
    }
}

impl fmt::Display for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Snowflake {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for Snowflake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Snowflake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| de::Error::custom(format!("value {text:?} is not snowflake")))
    }
}

/// Mints ids in strictly increasing order.
#[derive(Debug, Default)]
pub(crate) struct Mint {
    last: u64,
}

impl Mint {
    /// The next id, at the given time or, where that has been used, just after the last.
    pub(crate) fn mint(&mut self, now_ms: u64) -> Snowflake {
        self.last = Snowflake::at(now_ms, 0).0.max(self.last + 1);
        Snowflake(self.last)
    }
}

/// The wall clock, in Unix milliseconds.
pub(crate) fn unix_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// The wall clock, in Unix nanoseconds.
pub(crate) fn unix_ns() -> u128 {
    since_epoch().as_nanos()
}

fn since_epoch() -> std::time::Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// A time as Discord writes it: `2026-08-06T12:30:00.123000+00:00`.
pub(crate) fn iso8601(unix_ms: u64) -> String {
    let format = format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]+00:00"
    );
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00.000000+00:00".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_time_and_is_a_string_on_the_wire() {
        let id = Snowflake::at(1_770_000_000_123, 7);
        assert_eq!(id.unix_ms(), 1_770_000_000_123);
        let text = serde_json::to_string(&id).unwrap();
        assert!(text.starts_with('"'));
        assert_eq!(serde_json::from_str::<Snowflake>(&text).unwrap(), id);
        assert!(serde_json::from_str::<Snowflake>("12").is_err());
    }

    #[test]
    fn the_mint_goes_up_even_when_the_clock_goes_back() {
        let mut mint = Mint::default();
        let first = mint.mint(2_000_000_000_000);
        let second = mint.mint(2_000_000_000_000);
        let third = mint.mint(1_900_000_000_000);
        assert!(first < second && second < third);
    }

    #[test]
    fn timestamps_have_six_digits_and_an_offset() {
        assert_eq!(
            iso8601(1_770_000_000_123),
            "2026-02-02T02:40:00.123000+00:00"
        );
    }
}
