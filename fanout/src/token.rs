//! `fanout token`: a JWT for a viewer or an embed, signed with the configured key.

use std::time::Duration;

use proto::{ChannelId, UserId};
use runtime::settings::parse_duration;
use runtime::time::now_ms;

use crate::auth::{Claims, Keys, token_id};

/// What a token is made of.
#[derive(Debug, Clone, clap::Args)]
pub struct TokenArgs {
    /// Discord's id of the user.
    #[arg(long, value_name = "ID")]
    pub discord_id: UserId,
    /// The name to show.
    #[arg(long, value_name = "NAME")]
    pub username: String,
    /// An embed token for these channels alone.
    #[arg(long, value_name = "ID,ID", value_delimiter = ',')]
    pub channels: Vec<ChannelId>,
    /// The channels as far as the bot sees them, not everyone.
    #[arg(long, requires = "channels")]
    pub private: bool,
    /// How long it is valid; `JWT_EXPIRES_IN` if absent.
    #[arg(long, value_name = "7d", value_parser = duration)]
    pub expires: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a time such as 7d".to_owned())
}

impl TokenArgs {
    /// The signed token; none without a signing key.
    pub fn sign(&self, keys: &Keys, expires: Duration) -> Option<String> {
        let now = now_ms() / 1000;
        let seconds = i64::try_from(self.expires.unwrap_or(expires).as_secs()).unwrap_or(i64::MAX);
        let channels: Vec<_> = self.channels.iter().map(ToString::to_string).collect();
        keys.sign(Claims {
            discord_id: self.discord_id.to_string(),
            username: self.username.clone(),
            iat: now,
            exp: now.saturating_add(seconds),
            channels: (!channels.is_empty()).then_some(channels),
            private: self.private.then_some(true),
            jti: Some(token_id()),
            ..Claims::default()
        })
    }
}
