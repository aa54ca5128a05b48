//! A shard of the gateway, and which of the bot's guilds it has. Pure.

use proto::GuildId;

/// A shard: its number, of so many (<https://docs.discord.com/developers/events/gateway#sharding>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ShardId {
    pub(crate) number: u32,
    /// At least 1.
    pub(crate) count: u32,
}

impl ShardId {
    /// The only one.
    pub(crate) const ONE: Self = Self {
        number: 0,
        count: 1,
    };

    /// All of so many.
    pub(crate) fn all(count: u32) -> impl Iterator<Item = Self> {
        (0..count).map(move |number| Self { number, count })
    }

    /// The one of so many that has this guild.
    pub(crate) fn of(guild: GuildId, count: u32) -> Self {
        let number = (guild.get() >> 22) % u64::from(count.max(1));
        Self {
            number: u32::try_from(number).unwrap_or(0),
            count,
        }
    }

    /// Whether this guild's events come over it.
    pub(crate) fn has(self, guild: GuildId) -> bool {
        Self::of(guild, self.count) == self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guild_is_of_exactly_one_shard() {
        for id in [
            1,
            41_771_983_423_143_937,
            1_146_008_004_198_400_001,
            1 << 22,
        ] {
            let guild = GuildId::new(id).unwrap();
            assert!(ShardId::ONE.has(guild));
            for count in [2, 3, 16] {
                let owners = ShardId::all(count).filter(|shard| shard.has(guild));
                let owners: Vec<_> = owners.map(|shard| u64::from(shard.number)).collect();
                assert_eq!(owners, [(id >> 22) % u64::from(count)]);
            }
        }
    }
}
