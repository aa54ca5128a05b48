//! One source of settings: the file that `CONFIG_FILE` names, `.env`, or the environment.
//!
//! It holds what its origin says under listed names, and knows the forms that a setting takes: its own name,
//! an alias, a secret's `<NAME>_FILE`. It refuses to know what a value should be, and what other sources say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

use config::{Config, ConfigError, File, FileFormat};

use super::names::{ALIASES, NAMES, SECRETS, STANDARD};
use super::{SettingsError, malformed};

/// What one source says. No `Debug`: a text may be a secret.
#[derive(Default)]
pub(super) struct Source {
    texts: BTreeMap<String, String>,
}

impl Source {
    /// The listed ones of these variables. The others are not ours: whatever bytes they are, they are ignored.
    pub(super) fn environment(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let mut source = Self::default();
        for (name, text) in variables {
            let Some(name) = name.to_str().filter(|name| is_listed(name)) else {
                continue;
            };
            let text = text.into_string();
            let text = text.map_err(|_| malformed(name, "UTF-8 text"))?;
            source.texts.insert(name.to_owned(), text);
        }
        Ok(source)
    }

    /// The listed names of a `.env`; a missing one says nothing.
    pub(super) fn dotenv(path: &Path) -> Result<Self, SettingsError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(SettingsError::Dotenv(error)),
        };
        // Editors of other systems begin a file with a byte order mark.
        let text = text.trim_start_matches('\u{feff}');
        let mut source = Self::default();
        for entry in dotenvy::from_read_iter(text.as_bytes()) {
            // The parser's own error shows the line, which may hold a secret.
            let (name, text) = entry.map_err(|_| malformed(".env", "NAME=value lines"))?;
            if is_listed(&name) {
                source.texts.insert(name, text);
            }
        }
        Ok(source)
    }

    /// All names of a TOML file; each must be listed, in letters of either case, or be OpenTelemetry's own.
    pub(super) fn file(path: &Path) -> Result<Self, SettingsError> {
        let text = read("CONFIG_FILE", path)?;
        let table: BTreeMap<String, config::Value> = Config::builder()
            .add_source(File::from_str(&text, FileFormat::Toml))
            .build()
            .and_then(Config::try_deserialize)
            .map_err(|error| malformed("CONFIG_FILE", &format!("TOML{}", place(&error))))?;
        let mut source = Self::default();
        for (key, value) in table {
            let name = key.to_ascii_uppercase();
            if !is_listed(&name) && name.starts_with(STANDARD) {
                continue;
            }
            if !is_listed(&name) {
                return Err(SettingsError::Unknown {
                    name: key,
                    file: path.display().to_string(),
                });
            }
            let text = value.into_string();
            let text = text.map_err(|_| malformed(&name, "a text, a number or true/false"))?;
            source.texts.insert(name, text);
        }
        Ok(source)
    }

    /// What this source says of a listed name, in whichever form. Empty text and an empty file say nothing.
    pub(super) fn value(&self, name: &str) -> Result<Option<String>, SettingsError> {
        if !SECRETS.contains(&name) {
            let alias = ALIASES.iter().find(|(_, of)| *of == name);
            let text = self.text(name);
            let text = text.or_else(|| alias.and_then(|(alias, _)| self.text(alias)));
            return Ok(text.map(str::to_owned));
        }
        // Editors, `echo` and secret stores end a secret with a line end that is no part of it.
        if let Some(secret) = self.text(name).and_then(trimmed) {
            return Ok(Some(secret));
        }
        let form = format!("{name}_FILE");
        match self.text(&form) {
            Some(path) => Ok(trimmed(&read(&form, Path::new(path))?)),
            None => Ok(None),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        let text = self.texts.get(name).map(String::as_str);
        text.filter(|text| !text.is_empty())
    }
}

fn is_listed(name: &str) -> bool {
    let is_secret_file = |base| SECRETS.contains(&base);
    NAMES.contains(&name)
        || ALIASES.iter().any(|(alias, _)| *alias == name)
        || name.strip_suffix("_FILE").is_some_and(is_secret_file)
}

fn trimmed(text: &str) -> Option<String> {
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

fn read(name: &str, path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| SettingsError::File {
        name: name.to_owned(),
        source,
    })
}

/// Where the file is malformed. The rest of the parser's error shows the line, which may hold a secret.
fn place(error: &ConfigError) -> String {
    let text = error.to_string();
    let head = text.lines().next().unwrap_or_default();
    let place = head.strip_prefix("TOML parse error");
    place.map_or_else(String::new, |place| format!(" (error{place})"))
}

#[cfg(test)]
mod tests;
