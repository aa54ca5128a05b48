//! `DATA_DIR`: the databases and the generated secret. The demo's lie apart from a real server's.
//!
//! One process has a folder at a time: two would each hear half of what happens.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rand::RngExt as _;
use runtime::{Settings, SettingsError};

/// Where data lies if nothing is said.
const FOLDER: &str = ".data";

/// The folder, and nobody else's for as long as this lives.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    pub(crate) fn open(settings: &Settings, is_demo: bool) -> anyhow::Result<Self> {
        let base = Path::new(settings.text("DATA_DIR").unwrap_or(FOLDER));
        let path = base.join(if is_demo { "demo" } else { "discord" });
        let unusable = |source| SettingsError::File {
            name: "DATA_DIR".to_owned(),
            source,
        };
        fs::create_dir_all(&path).map_err(unusable)?;
        // SQLite's address is a URL of an absolute path.
        let path = path.canonicalize().map_err(unusable)?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Sets `JWT_SECRET` to the secret of this folder, made at the first start, unless keys are configured.
    pub(crate) fn provide_secret(&self, settings: &mut Settings) -> anyhow::Result<()> {
        let is_configured = ["JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_URL"]
            .into_iter()
            .any(|name| settings.text(name).is_some());
        if !is_configured {
            settings.set(
                "JWT_SECRET",
                self.secret().context("the token secret can't be kept")?,
            );
        }
        Ok(())
    }

    fn secret(&self) -> std::io::Result<String> {
        let path = self.file("jwt-secret");
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                let bits: [u128; 2] = rand::rng().random();
                let secret = format!("{:032x}{:032x}", bits[0], bits[1]);
                file.write_all(secret.as_bytes())?;
                file.sync_all()?;
                Ok(secret)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::read_to_string(&path),
            Err(error) => Err(error),
        }
    }
}

/// Locks the folder by a file in it. The system unlocks it when the process ends, however it ends; the file
/// stays, because who removes it could remove the next one's.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(folder.join("lock"));
    let file = file.context("setting DATA_DIR names a folder that can't be written to")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another discord-stream runs on {}: stop it, or set another DATA_DIR",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).context("setting DATA_DIR names a folder that can't be locked")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_secret_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.set("DATA_DIR", folder.path().display().to_string());
        let data = DataFolder::open(&settings, true).unwrap();
        data.provide_secret(&mut settings).unwrap();
        let secret = settings.text("JWT_SECRET").unwrap().to_owned();
        assert_eq!(secret.len(), 64);
        assert_eq!(data.secret().unwrap(), secret);
        let mode = fs::metadata(data.file("jwt-secret"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_folder_is_one_process_s_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.set("DATA_DIR", folder.path().display().to_string());
        let data = DataFolder::open(&settings, true).unwrap();
        let refused = DataFolder::open(&settings, true).unwrap_err().to_string();
        assert!(
            refused.starts_with("another discord-stream runs on") && refused.contains("DATA_DIR"),
            "{refused}"
        );
        // The demo's data is not a real server's.
        DataFolder::open(&settings, false).unwrap();
        drop(data);
        DataFolder::open(&settings, true).unwrap();
    }
}
