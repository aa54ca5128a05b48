//! Settings: an optional TOML file, then `.env`, then the environment, under the names of contract.md §4.
//!
//! Of `.env` and the environment only listed names are read (Kubernetes sets `NATS_PORT=tcp://…` by itself);
//! an unknown name in the file stops the start. Empty means unset. Every secret is read from `<NAME>_FILE` too.
//! A setting's text is checked where it is asked for, and the error names the setting and never its value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

mod names;
mod parse;
mod source;

pub use names::{NAMES, SECRETS};
pub use parse::{parse_bytes, parse_duration};

use self::names::{KINDS, Kind};
use self::source::Source;

/// Where `.env` is looked for: the folder that the process is started in, and no other.
const DOTENV: &str = ".env";

/// A setting that stops the start (exit code 64).
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is required and absent.
    #[error("setting {0} is required")]
    Missing(&'static str),
    /// Its text is not what it should be.
    #[error("setting {name} is malformed: expected {expected}")]
    Malformed {
        /// The setting.
        name: String,
        /// What it should be.
        expected: String,
    },
    /// The file names a setting that does not exist.
    #[error("unknown setting {name} in {file}")]
    Unknown {
        /// The name.
        name: String,
        /// The file.
        file: String,
    },
    /// Two settings exclude each other.
    #[error("settings {0} and {1} exclude each other")]
    Conflict(&'static str, &'static str),
    /// A file or a folder that a setting names can't be used.
    #[error("setting {name} names what can't be used")]
    File {
        /// The setting.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `.env` is there and can't be read.
    #[error(".env can't be read")]
    Dotenv(#[source] std::io::Error),
}

/// The settings of a process, by name.
#[derive(Default, Clone)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names alone: a value may be a secret, or hold one (a URL with a password).
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Settings {
    /// Reads this process's environment and the `.env` of its folder, if there is one.
    ///
    /// # Errors
    /// A file that can't be read or is malformed, an unknown name in `CONFIG_FILE`, or text that is not UTF-8.
    pub fn from_process() -> Result<Self, SettingsError> {
        let environment = Source::environment(std::env::vars_os())?;
        Self::from_sources(&environment, &Source::dotenv(Path::new(DOTENV))?)
    }

    /// Reads these variables as a process's environment, without any `.env`.
    ///
    /// # Errors
    /// As [`Self::from_process`].
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Result<Self, SettingsError> {
        let own = |(name, value): (&String, &String)| (OsString::from(name), OsString::from(value));
        let environment = Source::environment(environment.iter().map(own))?;
        Self::from_sources(&environment, &Source::default())
    }

    /// Asks the sources for every name, the strongest first: what one says hides all forms in the next.
    fn from_sources(environment: &Source, dotenv: &Source) -> Result<Self, SettingsError> {
        let file = match first(&[environment, dotenv], "CONFIG_FILE")? {
            Some(path) => Source::file(Path::new(&path))?,
            None => Source::default(),
        };
        let mut values = BTreeMap::new();
        for name in NAMES {
            if let Some(value) = first(&[environment, dotenv, &file], name)? {
                values.insert(*name, value);
            }
        }
        let settings = Self { values };
        for (name, kind) in KINDS {
            settings.check(name, *kind)?;
        }
        Ok(settings)
    }

    /// Whether the text of a setting is what it must be.
    fn check(&self, name: &'static str, kind: Kind) -> Result<(), SettingsError> {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        let within = |number: u64, least: u64, most: u64| {
            let is_within = (least..=most).contains(&number);
            is_within
                .then_some(())
                .ok_or_else(|| malformed(name, &format!("{least} to {most}")))
        };
        match kind {
            Kind::Flag => self.flag(name, false).map(drop),
            Kind::Port => self.number(name, 0_u16).map(drop),
            Kind::Number => self.number(name, 0_u64).map(drop),
            Kind::Duration => self.duration(name, Duration::ZERO).map(drop),
            Kind::Bytes => self.bytes(name, 0).map(drop),
            Kind::Seconds => within(self.number(name, 0)?, 0, DAY_MS / 1000),
            Kind::Milliseconds { may_be_zero } => {
                within(self.number(name, 1)?, u64::from(!may_be_zero), DAY_MS)
            }
            Kind::Word(words) => match self.text(name) {
                Some(text) if !words.contains(&text) => Err(malformed(name, &words.join(" or "))),
                _ => Ok(()),
            },
        }
    }

    /// Sets a value, as the standalone binary does for what it runs inside.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.values.insert(name, value.into());
    }

    /// The text of a setting, if it is set.
    pub fn text(&self, name: &'static str) -> Option<&str> {
        debug_assert!(NAMES.contains(&name), "{name} is not listed");
        self.values.get(name).map(String::as_str)
    }

    /// `APP_ENV=production`: what is for trying things out is refused.
    pub fn is_production(&self) -> bool {
        self.text("APP_ENV") == Some("production")
    }

    /// The text of a required setting.
    ///
    /// # Errors
    /// It is not set.
    pub fn required(&self, name: &'static str) -> Result<&str, SettingsError> {
        self.text(name).ok_or(SettingsError::Missing(name))
    }

    /// A secret, if it is set.
    pub fn secret(&self, name: &'static str) -> Option<SecretString> {
        self.text(name).map(SecretString::from)
    }

    /// A value of any type that reads itself from text.
    ///
    /// # Errors
    /// The text is malformed.
    pub fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, SettingsError> {
        let parse = |text: &str| text.trim().parse().map_err(|_| malformed(name, expected));
        self.text(name).map(parse).transpose()
    }

    /// A number, or its default.
    ///
    /// # Errors
    /// The text is no number of this range.
    pub fn number<T: FromStr>(&self, name: &'static str, default: T) -> Result<T, SettingsError> {
        Ok(self.parsed(name, "a whole number")?.unwrap_or(default))
    }

    /// `true` or `false`, or the default.
    ///
    /// # Errors
    /// The text is neither.
    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool, SettingsError> {
        Ok(self.parsed(name, "true or false")?.unwrap_or(default))
    }

    /// A time in milliseconds, or its default.
    ///
    /// # Errors
    /// The text is no number.
    pub fn milliseconds(
        &self,
        name: &'static str,
        default: Duration,
    ) -> Result<Duration, SettingsError> {
        let value = self.parsed(name, "milliseconds")?;
        Ok(value.map_or(default, Duration::from_millis))
    }

    /// A time with a unit (`90s`, `15m`, `24h`, `7d`; bare numbers are seconds), or its default.
    ///
    /// # Errors
    /// The text is neither.
    pub fn duration(
        &self,
        name: &'static str,
        default: Duration,
    ) -> Result<Duration, SettingsError> {
        let parse =
            |text| parse_duration(text).ok_or_else(|| malformed(name, "a time such as 24h"));
        self.text(name).map_or(Ok(default), parse)
    }

    /// A size in bytes (`1000000`, `512KiB`, `1 MiB`, `2GiB`), or its default.
    ///
    /// # Errors
    /// The text is no size.
    pub fn bytes(&self, name: &'static str, default: usize) -> Result<usize, SettingsError> {
        let parse = |text| parse_bytes(text).ok_or_else(|| malformed(name, "a size such as 1MiB"));
        self.text(name).map_or(Ok(default), parse)
    }

    /// The parts of a comma-separated list; empty if it is not set.
    pub fn list(&self, name: &'static str) -> Vec<&str> {
        let parts = self.text(name).unwrap_or_default().split(',');
        parts.map(str::trim).filter(|p| !p.is_empty()).collect()
    }
}

fn first(sources: &[&Source], name: &str) -> Result<Option<String>, SettingsError> {
    let mut values = sources.iter().map(|source| source.value(name));
    values.find_map(Result::transpose).transpose()
}

/// The error for a setting whose text is not what it should be.
pub fn malformed(name: &str, expected: &str) -> SettingsError {
    SettingsError::Malformed {
        name: name.to_owned(),
        expected: expected.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn the_environment_wins_over_the_file_and_unlisted_names_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, "PORT = 4001\nnats_url = \"nats://file\"\n").unwrap();
        let path = path.display().to_string();
        let variables = [
            ("CONFIG_FILE", path.as_str()),
            ("PORT", "5001"),
            ("NATS_PORT", "tcp://x"),
        ];
        let settings = Settings::from_environment(&environment(&variables)).unwrap();
        assert_eq!(settings.number("PORT", 3001_u16).unwrap(), 5001);
        assert_eq!(settings.text("NATS_URL"), Some("nats://file"));
        assert_eq!(settings.values.len(), 3);
    }

    #[test]
    fn an_unknown_name_in_the_file_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, "PROT = 4001\n").unwrap();
        let path = path.display().to_string();
        let error =
            Settings::from_environment(&environment(&[("CONFIG_FILE", &path)])).unwrap_err();
        assert!(
            error.to_string().starts_with("unknown setting PROT"),
            "{error}"
        );
    }

    #[test]
    fn a_name_of_opentelemetrys_own_is_no_error_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let text = "OTEL_LOGS_EXPORTER = \"none\"\nOTEL_SERVICE_NAME = \"edge\"\n";
        std::fs::write(&path, text).unwrap();
        let path = path.display().to_string();
        let settings = Settings::from_environment(&environment(&[("CONFIG_FILE", &path)])).unwrap();
        assert_eq!(settings.text("OTEL_SERVICE_NAME"), Some("edge"));
        assert_eq!(settings.values.len(), 2);
    }

    #[test]
    fn a_secret_is_read_from_its_file_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "s3cret\n").unwrap();
        let path = path.display().to_string();
        let settings =
            Settings::from_environment(&environment(&[("JWT_SECRET_FILE", &path)])).unwrap();
        assert_eq!(settings.text("JWT_SECRET"), Some("s3cret"));
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn empty_is_unset() {
        let variables = [("PORT", ""), ("NODE_ENV", "test")];
        let settings = Settings::from_environment(&environment(&variables)).unwrap();
        assert_eq!(settings.number("PORT", 3001_u16).unwrap(), 3001);
        assert_eq!(settings.text("APP_ENV"), Some("test"));
    }

    #[test]
    fn what_is_malformed_stops_the_start_with_its_name_and_without_its_value() {
        let table = [
            ("RATE_LIMIT_WINDOW_MS", "soon"),
            ("RATE_LIMIT_MAX_REQUESTS", "many"),
            ("SOCKET_PING_INTERVAL", "0"),
            ("SHUTDOWN_GRACE_MS", "18446744073709551615"),
            ("DRAIN_SECONDS", "18446744073709551615"),
            ("METRICS_PORT", "65536"),
            ("JWT_EXPIRES_IN", "soon"),
            ("OAUTH_EMAIL", "yes"),
            ("SOCKET_QUEUE_MAX", "lots"),
            ("AUTH_REDIRECT", "hash"),
        ];
        for (name, value) in table {
            let error = Settings::from_environment(&environment(&[(name, value)])).unwrap_err();
            let text = error.to_string();
            let is_hidden = value.len() < 2 || !text.contains(value);
            assert!(text.contains(name) && is_hidden, "{text}");
        }
    }
}
