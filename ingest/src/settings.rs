//! The settings of ingest, checked once at the start (contract.md §4).

use std::time::Duration;

use broker::StreamSettings;
use runtime::settings::malformed;
use runtime::{Settings, SettingsError};
use secrecy::SecretString;

/// The stream's limit in bytes. There is no setting for it: at `STREAM_MAX_AGE` of 24 h it is meant to be
/// met by a flood alone, and the disk should not be.
const STREAM_BYTES_MAX: u64 = 8 << 30;

/// What ingest is told at its start.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// The bot's token.
    pub token: SecretString,
    /// Discord's REST API, without a slash at its end.
    pub api_url: String,
    /// The gateway's address; asked of the API if none is set.
    pub gateway_url: Option<String>,
    /// Bytes of frames that wait for the stream before the gateway is left.
    pub buffer_bytes_max: usize,
    /// How the stream is kept.
    pub stream: StreamSettings,
    /// `APP_ENV`, as the status shows it.
    pub environment: String,
}

impl IngestSettings {
    /// Reads them.
    ///
    /// # Errors
    /// A missing or malformed setting.
    pub fn from(settings: &Settings) -> Result<Self, SettingsError> {
        let token = settings.secret("DISCORD_BOT_TOKEN");
        let api_url = settings.text("DISCORD_API_URL");
        let api_url = api_url.unwrap_or("https://discord.com/api/v10");
        if !api_url.starts_with("http://") && !api_url.starts_with("https://") {
            return Err(malformed("DISCORD_API_URL", "an http or https address"));
        }
        let gateway_url = settings.text("DISCORD_GATEWAY_URL");
        let is_gateway = |url: &str| url.starts_with("ws://") || url.starts_with("wss://");
        if gateway_url.is_some_and(|url| !is_gateway(url)) {
            return Err(malformed("DISCORD_GATEWAY_URL", "a ws or wss address"));
        }
        let day = Duration::from_hours(24);
        let window = Duration::from_mins(15);
        Ok(Self {
            token: token.ok_or(SettingsError::Missing("DISCORD_BOT_TOKEN"))?,
            api_url: api_url.trim_end_matches('/').to_owned(),
            gateway_url: gateway_url.map(|url| url.trim_end_matches('/').to_owned()),
            buffer_bytes_max: settings.bytes("PUBLISH_BUFFER_MAX", 128 << 20)?,
            stream: StreamSettings {
                age_max: settings.duration("STREAM_MAX_AGE", day)?,
                bytes_max: STREAM_BYTES_MAX,
                duplicate_window: settings.duration("STREAM_DUPLICATE_WINDOW", window)?,
                replicas: 1,
            },
            environment: settings.text("APP_ENV").unwrap_or("development").to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_slash_and_what_is_malformed_is_named() {
        let mut settings = Settings::default();
        let missing = IngestSettings::from(&settings).unwrap_err().to_string();
        assert!(missing.contains("DISCORD_BOT_TOKEN"), "{missing}");
        settings.set("DISCORD_BOT_TOKEN", "t0ken");
        settings.set("DISCORD_GATEWAY_URL", "ws://127.0.0.1:1/gateway/");
        settings.set("PUBLISH_BUFFER_MAX", "1MiB");
        let read = IngestSettings::from(&settings).unwrap();
        assert_eq!(
            read.gateway_url.as_deref(),
            Some("ws://127.0.0.1:1/gateway")
        );
        assert_eq!(read.buffer_bytes_max, 1 << 20);
        assert!(!format!("{read:?}").contains("t0ken"));
        settings.set("DISCORD_GATEWAY_URL", "http://x");
        let malformed = IngestSettings::from(&settings).unwrap_err().to_string();
        assert!(malformed.contains("DISCORD_GATEWAY_URL"), "{malformed}");
    }
}
