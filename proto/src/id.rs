//! Discord's snowflakes, one type a kind, so that a guild's id is never taken for a channel's.
//!
//! A snowflake is a number from 1 to 2^63 − 1 and is written as a string of 1 to 19 digits, never as a JSON
//! number (<https://docs.discord.com/developers/reference#snowflakes>).

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// The first moment of Discord's clock, in milliseconds since 1970.
const DISCORD_EPOCH_MS: u64 = 1_420_070_400_000;

/// Text or a number that is no snowflake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a snowflake")]
pub struct NotASnowflake;

macro_rules! snowflake {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU64);

        impl $name {
            /// The id of this number, unless it is 0 or above 2^63 − 1.
            pub fn new(number: u64) -> Option<Self> {
                if i64::try_from(number).is_err() {
                    return None;
                }
                NonZeroU64::new(number).map(Self)
            }

            /// The number.
            pub fn get(self) -> u64 {
                self.0.get()
            }

            /// The number as SQL stores it.
            pub fn sql(self) -> i64 {
                self.get().cast_signed()
            }

            /// When it was made, in milliseconds since 1970.
            pub fn created_ms(self) -> u64 {
                (self.get() >> 22) + DISCORD_EPOCH_MS
            }
        }

        impl FromStr for $name {
            type Err = NotASnowflake;

            fn from_str(text: &str) -> Result<Self, NotASnowflake> {
                let digits = (1..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
                let number = if digits { text.parse().ok() } else { None };
                number.and_then(Self::new).ok_or(NotASnowflake)
            }
        }

        impl TryFrom<u64> for $name {
            type Error = NotASnowflake;

            fn try_from(number: u64) -> Result<Self, NotASnowflake> {
                Self::new(number).ok_or(NotASnowflake)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}

snowflake! {
    /// A server of Discord's.
    GuildId,
    /// A channel, a category, a forum or a thread.
    ChannelId,
    /// A user, a bot or a webhook.
    UserId,
    /// A role; the role @everyone has its guild's number.
    RoleId,
    /// A message.
    MessageId,
}

impl MessageId {
    /// The lowest number that a message of this moment (milliseconds since 1970) can have.
    pub fn lowest_at(at_ms: i64) -> u64 {
        let since = u64::try_from(at_ms).unwrap_or_default();
        let since = since.saturating_sub(DISCORD_EPOCH_MS);
        since.saturating_mul(1 << 22).min(i64::MAX.cast_unsigned())
    }
}

impl GuildId {
    /// The role that every member has: @everyone, which shares the guild's number.
    pub fn everyone(self) -> RoleId {
        RoleId(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_number_of_a_moment_was_made_then_and_the_one_below_before() {
        let at_ms = 1_700_000_000_123;
        let lowest = MessageId::lowest_at(at_ms);
        let made_ms = |number| MessageId::new(number).unwrap().created_ms();
        assert_eq!(made_ms(lowest), at_ms.cast_unsigned());
        assert_eq!(made_ms(lowest - 1), at_ms.cast_unsigned() - 1);
        assert_eq!(MessageId::lowest_at(i64::MIN), 0);
        assert_eq!(MessageId::lowest_at(i64::MAX), i64::MAX.cast_unsigned());
    }

    #[test]
    fn a_snowflake_is_1_to_19_digits_and_fits_63_bits() {
        let good = ["1", "9223372036854775807", "0000000000000000001"];
        let bad = [
            "",
            "0",
            "-1",
            "+1",
            " 1",
            "1a",
            "9223372036854775808",
            "00000000000000000001",
        ];
        for text in good {
            assert!(text.parse::<ChannelId>().is_ok(), "{text}");
        }
        for text in bad {
            assert_eq!(text.parse::<ChannelId>(), Err(NotASnowflake), "{text}");
        }
    }

    #[test]
    fn a_snowflake_tells_when_it_was_made() {
        // The example of Discord's own reference.
        let id: MessageId = "175928847299117063".parse().unwrap();
        assert_eq!(id.created_ms(), 1_462_015_105_796);
    }
}
