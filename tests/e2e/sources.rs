//! The project's own files, as the tests that hold one against the other read them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The names of all settings, and of those that are secrets.
pub(crate) const SETTING_NAMES: &str = "proto/runtime/src/settings/names.rs";

/// The top of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of a file, by its path from the root.
pub(crate) fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// The strings of a list in a source.
pub(crate) fn listed(source: &str, list: &str) -> anyhow::Result<BTreeSet<String>> {
    let source = read(source)?;
    let after = source.split(&format!("const {list}: &[&str]")).nth(1);
    let body = after.and_then(|after| after.split("];").next());
    let strings = body.context("the list is there")?.split('"');
    Ok(strings.skip(1).step_by(2).map(str::to_owned).collect())
}

/// Every setting that the binaries know.
pub(crate) fn setting_names() -> anyhow::Result<BTreeSet<String>> {
    let names = listed(SETTING_NAMES, "NAMES")?;
    anyhow::ensure!(names.len() > 50, "{} names", names.len());
    Ok(names)
}
