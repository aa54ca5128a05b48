//! Reads the page of `/metrics` as Prometheus does: a family is announced, its samples follow, names and labels
//! have their alphabets (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};

/// The samples of a page, by name and labels as they are written.
#[derive(Debug, Clone, Default)]
pub struct Page {
    samples: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// It breaks a rule of the format.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut page = Self::default();
        let body = text.strip_suffix("# EOF\n").context("it ends in # EOF")?;
        for line in body.lines() {
            let read = match line.strip_prefix("# ") {
                Some(comment) => page.announce(comment),
                None => page.sample(line),
            };
            read.with_context(|| format!("line {line:?}"))?;
        }
        Ok(page)
    }

    fn announce(&mut self, comment: &str) -> anyhow::Result<()> {
        let mut words = comment.splitn(3, ' ');
        let (what, name) = (words.next(), words.next().context("a name")?);
        let rest = words.next().unwrap_or_default();
        ensure!(is_name(name), "{name} is no name");
        match what {
            Some("HELP") => ensure!(rest.len() > 5, "it says nothing"),
            Some("TYPE") => {
                let known = ["counter", "gauge", "histogram"].contains(&rest);
                ensure!(known, "{rest} is no type");
                let again = self.kinds.insert(name.to_owned(), rest.to_owned());
                ensure!(again.is_none(), "{name} is announced twice");
            }
            _ => bail!("neither help nor type"),
        }
        Ok(())
    }

    fn sample(&mut self, line: &str) -> anyhow::Result<()> {
        let (key, value) = line.rsplit_once(' ').context("a value")?;
        let value: f64 = value.parse()?;
        let name = key.split('{').next().unwrap_or_default();
        ensure!(is_name(name), "{name} is no name");
        if let Some(labels) = key.strip_prefix(name).filter(|labels| !labels.is_empty()) {
            let inner = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}'));
            for label in inner.context("braces")?.split("\",") {
                let (key, word) = label.split_once("=\"").context("a label")?;
                ensure!(is_name(key) && !word.contains('\n'), "{label} is no label");
            }
        }
        self.check_kind(name, value)?;
        let again = self.samples.insert(key.to_owned(), value);
        ensure!(again.is_none(), "it stands there twice");
        Ok(())
    }

    /// A sample belongs to a family, whose kind says which suffixes it has.
    fn check_kind(&self, name: &str, value: f64) -> anyhow::Result<()> {
        if self.kinds.get(name).is_some_and(|kind| kind == "gauge") {
            return Ok(());
        }
        let of = |kind: &str, suffix: &str| {
            let base = name.strip_suffix(suffix);
            base.is_some_and(|base| self.kinds.get(base).is_some_and(|own| own == kind))
        };
        let is_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .any(|suffix| of("histogram", suffix));
        ensure!(
            of("counter", "_total") || is_histogram,
            "it was not announced"
        );
        ensure!(value >= 0.0, "a count is never negative");
        Ok(())
    }

    /// A sample by its name with its labels, as they are written: `x_total{a="b"}`.
    pub fn value(&self, key: &str) -> Option<f64> {
        self.samples.get(key).copied()
    }

    /// The sum of a name's samples over all labels; none if there is none.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let own = self
            .samples
            .iter()
            .filter(|(key, _)| key.split('{').next() == Some(name));
        own.map(|(_, value)| *value)
            .reduce(|sum, value| sum + value)
    }

    /// Whether a family was announced, with samples or without.
    pub fn has_family(&self, name: &str) -> bool {
        let name = name.strip_suffix("_total").unwrap_or(name);
        self.kinds.contains_key(name)
    }

    /// Every label's text.
    pub fn label_texts(&self) -> Vec<String> {
        let keys = self.samples.keys();
        let inner = keys.filter_map(|key| key.split_once('{'));
        inner
            .flat_map(|(_, labels)| labels.split('"').skip(1).step_by(2).map(str::to_owned))
            .collect()
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    !text.is_empty()
        && text.chars().all(is_letter)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}
