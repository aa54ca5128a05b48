//! What ends the service for good: the close codes after which Discord will not have us back.
//! <https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes>.

/// What Discord will not have back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{sentence} (close code {code})")]
pub struct Fatal {
    /// The close code, or 4004 where the API refused the token.
    pub code: u16,
    sentence: &'static str,
}

impl Fatal {
    pub(super) fn of(code: u16) -> Self {
        let sentence = match code {
            4004 => "Discord refuses the bot token: check DISCORD_BOT_TOKEN",
            4010 => "Discord refuses the shard's number",
            4011 => {
                "the bot is in too many guilds for its shards, and Discord recommends no more of them"
            }
            4012 => "Discord no longer speaks this version of the gateway",
            4013 => "Discord does not know the intents",
            4014 => "the bot may not use an intent: enable it in Discord's developer portal",
            _ => "Discord closed the gateway for good",
        };
        Self { code, sentence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fatal_close_has_its_sentence() {
        for code in [4004, 4010, 4011, 4012, 4013, 4014] {
            let text = Fatal::of(code).to_string();
            assert!(
                text.contains(&code.to_string()) && !text.contains("for good"),
                "{text}"
            );
        }
    }
}
