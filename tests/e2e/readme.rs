//! The README against the product: its settings, their defaults, its metrics, its commands, its links.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use tests::process::program;

use crate::sources::{SETTING_NAMES, listed, read, root, setting_names};

/// Defaults that contract.md §4 names.
const DEFAULTS: &[(&str, &str)] = &[
    ("AUTH_REDIRECT", "fragment"),
    ("CONNECTIONS_PER_ADDRESS_MAX", "1000"),
    ("CONNECTIONS_PER_USER_MAX", "20"),
    ("CONNECT_RATE_PER_ADDRESS", "100"),
    ("DISCORD_API_URL", "https://discord.com/api/v10"),
    ("DISCORD_OAUTH_URL", "https://discord.com/oauth2"),
    ("DRAIN_SECONDS", "20"),
    ("HISTORY_BACKFILL", "200"),
    ("HISTORY_RETENTION_DAYS", "90"),
    ("JWT_EXPIRES_IN", "7d"),
    ("LOG_FORMAT", "text"),
    ("METRICS_PORT", "9464 9465"),
    ("OAUTH_EMAIL", "false"),
    ("PORT", "3001 3002"),
    ("PUBLISH_BUFFER_MAX", "128MiB"),
    ("RATE_LIMIT_MAX_REQUESTS", "100"),
    ("RATE_LIMIT_WINDOW_MS", "60000"),
    ("RECOVERY_WINDOW_MS", "120000"),
    ("SHUTDOWN_GRACE_MS", "5000"),
    ("SOCKET_MAX_HTTP_BUFFER_SIZE", "1000000"),
    ("SOCKET_PING_INTERVAL", "25000"),
    ("SOCKET_PING_TIMEOUT", "60000"),
    ("SOCKET_QUEUE_MAX", "1MiB"),
    ("STREAM_BOT_MESSAGES", "true"),
    ("STREAM_DUPLICATE_WINDOW", "15m"),
    ("STREAM_MAX_AGE", "24h"),
];

/// The text below a heading, up to the next of its kind.
fn section(title: &str) -> anyhow::Result<String> {
    let readme = read("README.md")?;
    let after = readme.split(&format!("\n## {title}\n")).nth(1);
    let after = after.with_context(|| format!("it has a section {title}"))?;
    Ok(after.split("\n## ").next().unwrap_or_default().to_owned())
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The rows of a section's table by what their first cell quotes, which none repeats.
fn rows(title: &str) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut found = BTreeMap::new();
    for line in section(title)?.lines() {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        let name = cells
            .get(1)
            .and_then(|first| quoted(first).first().copied());
        let Some(name) = name.map(str::to_owned) else {
            continue;
        };
        let is_new = found.insert(name.clone(), cells).is_none();
        ensure!(is_new, "{name} stands there twice");
    }
    Ok(found)
}

#[test]
fn every_setting_is_in_the_table_and_the_table_has_no_other() -> anyhow::Result<()> {
    let rows = rows("Settings")?;
    assert_eq!(
        rows.keys().cloned().collect::<BTreeSet<_>>(),
        setting_names()?
    );
    let starred = rows.iter().filter(|(_, cells)| cells[1].ends_with("\\*"));
    let starred: BTreeSet<_> = starred.map(|(name, _)| name.clone()).collect();
    assert_eq!(starred, listed(SETTING_NAMES, "SECRETS")?);
    for (name, cells) in &rows {
        assert_eq!(cells.len(), 6, "{name}: {cells:?}");
        assert!(cells[1..5].iter().all(|cell| !cell.is_empty()), "{name}");
    }
    Ok(())
}

#[test]
fn defaults_are_those_of_the_contract() -> anyhow::Result<()> {
    let rows = rows("Settings")?;
    for (name, default) in DEFAULTS {
        let said = quoted(&rows[*name][2]).join(" ");
        assert_eq!(said, *default, "{name}");
    }
    Ok(())
}

#[test]
fn every_metric_is_in_the_table_and_the_table_has_no_other() -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    for list in ["FANOUT", "INGEST", "SHARED"] {
        names.append(&mut listed("tests/e2e/metrics.rs", list)?);
    }
    let rows = rows("Metrics")?;
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), names);
    for source in [
        "fanout/src/metrics.rs",
        "ingest/src/metrics.rs",
        "proto/runtime/src/metrics/process.rs",
    ] {
        let text = read(source)?;
        let strings = text.split('"').skip(1).step_by(2);
        let is_name = |text: &&str| text.starts_with("discord_stream_");
        for name in strings.filter(is_name) {
            assert!(names.contains(name), "{source} tells of {name}");
        }
    }
    Ok(())
}

/// What stands in code: indented lines, and what backticks hold outside of them.
fn commands() -> anyhow::Result<Vec<String>> {
    let readme = read("README.md")?;
    let mut found = Vec::new();
    for line in readme.lines() {
        match line.strip_prefix("    ") {
            Some(code) => found.push(code.trim().to_owned()),
            None => found.extend(quoted(line).into_iter().map(str::to_owned)),
        }
    }
    Ok(found)
}

/// The word after another, in each command that has it.
fn after<'c>(commands: &'c [String], word: &str) -> BTreeSet<&'c str> {
    let pairs = commands.iter().flat_map(|command| {
        let words = command.split('#').next().unwrap_or_default();
        let words: Vec<_> = words.split_whitespace().collect();
        let pairs: Vec<_> = words.windows(2).map(|pair| (pair[0], pair[1])).collect();
        pairs
    });
    let named = pairs.filter(|(first, _)| *first == word);
    named.map(|(_, second)| second).collect()
}

fn helps(binary: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = program(binary)?.into_std();
    let output = command.args(arguments).arg("--help").output()?;
    ensure!(output.status.success(), "{binary} {arguments:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn every_command_exists() -> anyhow::Result<()> {
    let commands = commands()?;
    let makefile = read("Makefile")?;
    let targets = after(&commands, "make");
    assert!(targets.is_superset(&["run", "test", "check", "bench"].into()));
    for target in targets {
        let rule = format!("\n{target}:");
        assert!(makefile.contains(&rule), "make {target}");
    }
    let packages = after(&commands, "-p");
    assert_eq!(packages, ["discord-sim", "fanout", "ingest"].into());
    let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    for (binary, least) in [
        ("fanout", ["token", "health"]),
        ("ingest", ["check", "migrate"]),
    ] {
        let help = helps(binary, &[])?;
        let named: BTreeSet<_> = after(&commands, binary)
            .into_iter()
            .filter(is_word)
            .collect();
        assert!(named.is_superset(&least.into()), "{binary}: {named:?}");
        for command in named {
            let line = format!("\n  {command} ");
            assert!(help.contains(&line), "{binary} {command}");
        }
    }
    let token = helps("fanout", &["token"])?;
    let options = ["--discord-id", "--username", "--channels", "--private"];
    for option in options {
        assert!(commands.iter().any(|one| one.contains(option)), "{option}");
        assert!(token.contains(option), "fanout token {option}");
    }
    Ok(())
}

/// A heading as a link to it is written.
fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-');
    let lower = heading.to_lowercase();
    lower
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn every_link_and_picture_leads_somewhere() -> anyhow::Result<()> {
    let readme = read("README.md")?;
    let headings = readme.lines().filter_map(|line| line.strip_prefix("##"));
    let anchors: BTreeSet<_> = headings
        .map(|heading| anchor(heading.trim_start_matches('#').trim()))
        .collect();
    let mut files = 0;
    let targets = readme.split("](").skip(1);
    let sources = readme.split(" src=\"").skip(1);
    let ends = targets.map(|rest| rest.split(')').next());
    for target in ends.chain(sources.map(|rest| rest.split('"').next())) {
        let target = target.context("it ends")?;
        match target.strip_prefix('#') {
            Some(name) => assert!(anchors.contains(name), "{target}"),
            None if target.contains("://") => {}
            None => {
                assert!(root().join(target).exists(), "{target} is not there");
                files += 1;
            }
        }
    }
    assert!(files >= 5, "{files} files");
    Ok(())
}
