//! The settings of ingest, checked once at the start (contract.md §4).

use std::collections::HashSet;
use std::time::Duration;

use broker::StreamSettings;
use proto::ChannelId;
use runtime::settings::malformed;
use runtime::{Settings, SettingsError};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::exclusions::ExclusionRules;

/// The stream's limit in bytes. There is no setting for it: at `STREAM_MAX_AGE` of 24 h it is meant to be
/// met by a flood alone, and the disk should not be.
const STREAM_BYTES_MAX: u64 = 8 << 30;

/// For so long a persisted gateway session is resumed. What Discord replays then must still be known as
/// published, so the duplicate window is longer.
const SESSION_AGE_MAX: Duration = Duration::from_mins(10);

/// The least buffer: as much as the largest message that the stream takes (1 MiB, the default of NATS).
const BUFFER_BYTES_MIN: usize = 1 << 20;

/// The simulated Discord's. It takes no other, so that no ingest reads it without, through whatever proxy.
const SIMULATED_TOKEN: &str = "MTE0NjAwODAwNDE5ODQwMDAwMQ.simulated.bot-token";

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
    /// Days that messages are kept; 0 for ever.
    pub retention_days: u32,
    /// Messages of before the first start that are read from Discord, for each channel that somebody looks at; 0: none.
    pub history_messages_max: u32,
    /// Links of files are refreshed by the endpoint that Discord's own clients use, before messages are read again.
    pub has_links_endpoint: bool,
    /// What is kept from viewers.
    pub exclusions: ExclusionRules,
    /// `APP_ENV`, as the status shows it.
    pub environment: String,
}

impl IngestSettings {
    /// Reads them.
    ///
    /// # Errors
    /// A missing or malformed setting.
    pub fn from(settings: &Settings) -> Result<Self, SettingsError> {
        let api_url = address(settings, "DISCORD_API_URL", ["http", "https"])?;
        Ok(Self {
            token: token(settings)?,
            api_url: api_url.unwrap_or_else(|| "https://discord.com/api/v10".to_owned()),
            gateway_url: address(settings, "DISCORD_GATEWAY_URL", ["ws", "wss"])?,
            buffer_bytes_max: buffer_bytes_max(settings)?,
            stream: stream(settings)?,
            retention_days: settings.number("HISTORY_RETENTION_DAYS", 90)?,
            history_messages_max: settings.number("HISTORY_BACKFILL", 200)?,
            has_links_endpoint: settings
                .parsed::<bool>("DISCORD_REFRESH_URLS", "true or false")?
                .unwrap_or(false),
            exclusions: exclusions(settings)?,
            environment: settings.text("APP_ENV").unwrap_or("development").to_owned(),
        })
    }
}

/// The token goes into an HTTP header as it is.
fn token(settings: &Settings) -> Result<SecretString, SettingsError> {
    let name = "DISCORD_BOT_TOKEN";
    let token = settings.secret(name).ok_or(SettingsError::Missing(name))?;
    if settings.is_production() && token.expose_secret() == SIMULATED_TOKEN {
        return Err(malformed(
            name,
            "a bot's at Discord: production has no demo",
        ));
    }
    let is_visible = token.expose_secret().bytes().all(|b| b.is_ascii_graphic());
    is_visible
        .then_some(token)
        .ok_or_else(|| malformed(name, "visible ASCII characters without blanks"))
}

/// An address with a host, of one of these two schemes, without a slash at its end.
fn address(
    settings: &Settings,
    name: &'static str,
    schemes: [&str; 2],
) -> Result<Option<String>, SettingsError> {
    let [plain, secure] = schemes;
    let expected = format!("an address such as {secure}://host (or {plain})");
    let Some(url) = settings.parsed::<Url>(name, &expected)? else {
        return Ok(None);
    };
    if !schemes.contains(&url.scheme()) || !url.has_host() {
        return Err(malformed(name, &expected));
    }
    Ok(Some(url.as_str().trim_end_matches('/').to_owned()))
}

fn exclusions(settings: &Settings) -> Result<ExclusionRules, SettingsError> {
    let name = "STREAM_BOT_MESSAGES";
    let has_bots = settings.parsed::<bool>(name, "true or false")?;
    Ok(ExclusionRules {
        bots: !has_bots.unwrap_or(true),
        channels: ids(settings, "STREAM_EXCLUDE_CHANNELS")?,
        roles: ids(settings, "STREAM_EXCLUDE_ROLES")?,
        users: ids(settings, "STREAM_EXCLUDE_USERS")?,
    })
}

/// Snowflakes with commas between them.
fn ids(settings: &Settings, name: &'static str) -> Result<HashSet<u64>, SettingsError> {
    let text = settings.text(name).unwrap_or_default();
    let ids = text.split(',').map(str::trim).filter(|id| !id.is_empty());
    let read = |id: &str| {
        Ok(id
            .parse::<ChannelId>()
            .map_err(|_| malformed(name, "ids with commas between them"))?
            .get())
    };
    ids.map(read).collect()
}

fn buffer_bytes_max(settings: &Settings) -> Result<usize, SettingsError> {
    let name = "PUBLISH_BUFFER_MAX";
    let bytes = settings.bytes(name, 128 << 20)?;
    (bytes >= BUFFER_BYTES_MIN)
        .then_some(bytes)
        .ok_or_else(|| malformed(name, "at least 1MiB"))
}

fn stream(settings: &Settings) -> Result<StreamSettings, SettingsError> {
    let (window, age) = ("STREAM_DUPLICATE_WINDOW", "STREAM_MAX_AGE");
    let duplicate_window = settings.duration(window, Duration::from_mins(15))?;
    if duplicate_window <= SESSION_AGE_MAX {
        return Err(malformed(window, "more than 10m"));
    }
    let mut age_max = settings.duration(age, Duration::from_hours(24))?;
    if age_max.is_zero() {
        age_max = Duration::MAX;
    }
    // An identity is known for as long as its event is kept, and no longer.
    if age_max < duplicate_window {
        let expected = format!("0 (for ever) or at least {window}");
        return Err(malformed(age, &expected));
    }
    Ok(StreamSettings {
        age_max,
        bytes_max: STREAM_BYTES_MAX,
        duplicate_window,
        replicas: 1,
    })
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

    fn settings(pairs: &[(&'static str, &str)]) -> Settings {
        let mut settings = Settings::default();
        settings.set("DISCORD_BOT_TOKEN", "t0ken");
        for (name, value) in pairs {
            settings.set(name, *value);
        }
        settings
    }

    fn read(pairs: &[(&'static str, &str)]) -> IngestSettings {
        IngestSettings::from(&settings(pairs)).unwrap()
    }

    fn assert_malformed(name: &'static str, value: &str) {
        let error = IngestSettings::from(&settings(&[(name, value)])).unwrap_err();
        assert!(
            matches!(&error, SettingsError::Malformed { name: of, .. } if of == name),
            "{name}={value}: {error}"
        );
    }

    #[test]
    fn a_token_that_no_header_takes_is_malformed_and_not_shown() {
        for token in [
            "t0\nken",
            "t0ken\n",
            "Bot t0ken",
            "t0k\u{e9}n",
            "t0\u{7f}ken",
        ] {
            assert_malformed("DISCORD_BOT_TOKEN", token);
            let error = IngestSettings::from(&settings(&[("DISCORD_BOT_TOKEN", token)]));
            assert!(!format!("{:?}", error.unwrap_err()).contains(token));
        }
    }

    #[test]
    fn production_reads_no_simulated_discord() {
        assert_eq!(SIMULATED_TOKEN, discord_sim::TOKEN);
        let token = ("DISCORD_BOT_TOKEN", SIMULATED_TOKEN);
        assert!(IngestSettings::from(&settings(&[token])).is_ok());
        let refused = IngestSettings::from(&settings(&[token, ("APP_ENV", "production")]));
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("DISCORD_BOT_TOKEN"), "{error}");
        assert!(!error.contains(SIMULATED_TOKEN), "{error}");
    }

    #[test]
    fn an_address_has_a_host_and_its_scheme() {
        for url in [
            "http://",
            "https://:443",
            "discord.com",
            "/api",
            "ws://x",
            "",
        ] {
            assert_malformed("DISCORD_API_URL", url);
        }
        for url in ["ws://", "wss:///?v=10", "https://x", "x"] {
            assert_malformed("DISCORD_GATEWAY_URL", url);
        }
        let read = read(&[("DISCORD_API_URL", "http://127.0.0.1:8080/api/v10/")]);
        assert_eq!(read.api_url, "http://127.0.0.1:8080/api/v10");
        assert_eq!(read.gateway_url, None);
    }

    #[test]
    fn the_stream_remembers_longer_than_a_session_is_resumed() {
        let (window, age) = ("STREAM_DUPLICATE_WINDOW", "STREAM_MAX_AGE");
        for text in ["0", "2m", "10m", "600"] {
            assert_malformed(window, text);
        }
        assert_malformed(age, "14m");
        assert_malformed(age, "1ms");
        let least = read(&[(window, "601"), (age, "601")]).stream;
        assert_eq!(least.duplicate_window, Duration::from_secs(601));
        assert_eq!(least.age_max, least.duplicate_window);
        assert_eq!(read(&[(age, "0")]).stream.age_max, Duration::MAX);
        let unsaid = read(&[]).stream;
        assert_eq!(unsaid.age_max, Duration::from_hours(24));
        assert_eq!(unsaid.duplicate_window, Duration::from_mins(15));
    }

    #[test]
    fn exclusions_are_ids_and_bots_are_shown_unless_told_otherwise() {
        assert_eq!(read(&[]).exclusions, ExclusionRules::default());
        let some = read(&[
            ("STREAM_BOT_MESSAGES", "false"),
            ("STREAM_EXCLUDE_CHANNELS", "1, 2,"),
            ("STREAM_EXCLUDE_ROLES", "3"),
            ("STREAM_EXCLUDE_USERS", ""),
        ]);
        let expected = ExclusionRules {
            bots: true,
            channels: [1, 2].into(),
            roles: [3].into(),
            users: HashSet::new(),
        };
        assert_eq!(some.exclusions, expected);
        for (name, value) in [
            ("STREAM_BOT_MESSAGES", "maybe"),
            ("STREAM_EXCLUDE_CHANNELS", "general"),
            ("STREAM_EXCLUDE_USERS", "1 2"),
        ] {
            assert_malformed(name, value);
        }
    }

    #[test]
    fn the_buffer_holds_at_least_one_message() {
        for text in ["0", "1", "1048575"] {
            assert_malformed("PUBLISH_BUFFER_MAX", text);
        }
        let least = read(&[("PUBLISH_BUFFER_MAX", "1048576")]);
        assert_eq!(least.buffer_bytes_max, BUFFER_BYTES_MIN);
    }
}
