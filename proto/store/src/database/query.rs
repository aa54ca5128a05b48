//! A statement and the values that go into it, until a connection says which database they are for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use super::Connection;
use super::connection::Columns;
use crate::error::StoreError;

/// PostgreSQL's texts as it wants them, by what they were written as. As many as there are statements.
static NUMBERED: LazyLock<RwLock<HashMap<&'static str, &'static str>>> =
    LazyLock::new(RwLock::default);

/// One statement in the dialect of each database; every value is a `?`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) sqlite: &'static str,
    pub(crate) mysql: &'static str,
    pub(crate) postgres: &'static str,
}

impl From<&'static str> for Statement {
    /// What all databases understand.
    fn from(text: &'static str) -> Self {
        Self {
            sqlite: text,
            mysql: text,
            postgres: text,
        }
    }
}

impl Statement {
    /// An insertion of one row as one of so many. Makes texts that live as long as the process.
    pub(crate) fn of_rows(self, rows: usize) -> Self {
        Self {
            sqlite: of_rows(self.sqlite, rows),
            mysql: of_rows(self.mysql, rows),
            postgres: of_rows(self.postgres, rows),
        }
    }

    /// PostgreSQL's text with `$1`, `$2` and so on for each `?`; rewritten once, and kept as long as the process.
    pub(super) fn numbered(self) -> &'static str {
        let known = NUMBERED.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(numbered) = known.get(self.postgres) {
            return numbered;
        }
        drop(known);
        let mut known = NUMBERED.write().unwrap_or_else(PoisonError::into_inner);
        known
            .entry(self.postgres)
            .or_insert_with(|| number(self.postgres).leak())
    }
}

/// No `?` of ours stands for anything but a value.
fn number(text: &str) -> String {
    let mut parts = text.split('?');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = (1..)
        .zip(parts)
        .map(|(number, part)| format!("${number}{part}"));
    std::iter::once(first).chain(rest).collect()
}

/// Repeats what is in the brackets after VALUES; nothing else there is written with a space.
fn of_rows(text: &'static str, rows: usize) -> &'static str {
    let parts = text.split_once("VALUES (").and_then(|(before, after)| {
        let (row, after) = after.split_once(')')?;
        Some((before, row, after))
    });
    let Some((before, row, after)) = parts else {
        return text;
    };
    let rows = vec![format!("({row})"); rows].join(", ");
    format!("{before}VALUES {rows}{after}").leak()
}

/// So many values has a list in a statement.
pub(crate) const LIST_MAX: usize = 50;

/// The places of a list, for what follows `IN`: always as many, so that the statement is prepared once.
pub(crate) fn list_marks() -> String {
    format!("({})", vec!["?"; LIST_MAX].join(", "))
}

/// What a `?` stands for.
#[derive(Debug)]
pub(crate) enum Value<'v> {
    Integer(Option<i64>),
    Bytes(Option<Cow<'v, [u8]>>),
    Text(String),
}

/// A statement with its values.
#[derive(Debug)]
pub(crate) struct Query<'v> {
    pub(super) statement: Statement,
    pub(super) values: Vec<Value<'v>>,
}

/// Begins a query.
pub(crate) fn query<'v>(statement: impl Into<Statement>) -> Query<'v> {
    Query {
        statement: statement.into(),
        values: Vec::new(),
    }
}

impl<'v> Query<'v> {
    /// The value of the next `?`.
    pub(crate) fn bind(mut self, value: impl Into<Value<'v>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The values of the next list, at least one and at most [`LIST_MAX`]; the places that are left name the last again.
    pub(crate) fn bind_list(self, values: &[i64]) -> Self {
        let last = values.last().into_iter().cycle();
        let padded = values.iter().chain(last).take(LIST_MAX);
        padded.copied().fold(self, Self::bind)
    }

    /// The bytes of the values that have a length of their own.
    pub(super) fn bytes(&self) -> usize {
        let bytes = self.values.iter().map(|value| match value {
            Value::Integer(_) => 0,
            Value::Bytes(value) => value.as_ref().map_or(0, |value| value.len()),
            Value::Text(value) => value.len(),
        });
        bytes.sum()
    }

    /// Runs it, and tells how many rows it matched.
    pub(crate) async fn execute(self, connection: &mut Connection) -> Result<u64, StoreError> {
        Ok(connection.execute(self).await?)
    }

    /// The only row, or none.
    pub(crate) async fn fetch_optional<T: Columns>(
        self,
        connection: &mut Connection,
    ) -> Result<Option<T>, StoreError> {
        Ok(connection.fetch_optional(self).await?)
    }

    /// The only row.
    pub(crate) async fn fetch_one<T: Columns>(
        self,
        connection: &mut Connection,
    ) -> Result<T, StoreError> {
        let row = connection.fetch_optional(self).await?;
        Ok(row.ok_or(sqlx::Error::RowNotFound)?)
    }

    /// All rows.
    pub(crate) async fn fetch_all<T: Columns>(
        self,
        connection: &mut Connection,
    ) -> Result<Vec<T>, StoreError> {
        Ok(connection.fetch_all(self).await?)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(Cow::Owned(value)))
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(value: &'v [u8]) -> Self {
        Self::Bytes(Some(Cow::Borrowed(value)))
    }
}

impl<'v> From<Option<&'v [u8]>> for Value<'v> {
    fn from(value: Option<&'v [u8]>) -> Self {
        Self::Bytes(value.map(Cow::Borrowed))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insertion_of_one_row_becomes_one_of_many() {
        let one = Statement {
            sqlite: "INSERT INTO t (a, b) VALUES (?, ?) ON CONFLICT (a) DO NOTHING",
            mysql: "INSERT INTO t (a, b) VALUES (?, ?) ON DUPLICATE KEY UPDATE b = VALUES(b)",
            postgres: "INSERT INTO t (a, b) VALUES (?, ?) ON CONFLICT (b) DO NOTHING",
        };
        let three = one.of_rows(3);
        assert_eq!(
            three.sqlite,
            "INSERT INTO t (a, b) VALUES (?, ?), (?, ?), (?, ?) ON CONFLICT (a) DO NOTHING"
        );
        assert_eq!(
            three.mysql,
            "INSERT INTO t (a, b) VALUES (?, ?), (?, ?), (?, ?) ON DUPLICATE KEY UPDATE b = VALUES(b)"
        );
        assert_eq!(
            three.numbered(),
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4), ($5, $6) ON CONFLICT (b) DO NOTHING"
        );
        assert_eq!(one.of_rows(1), one);
    }

    #[test]
    fn a_statement_is_numbered_once_and_one_without_values_stays() {
        let two = Statement::from("SELECT a FROM t WHERE a = ? AND b > ?");
        assert_eq!(two.numbered(), "SELECT a FROM t WHERE a = $1 AND b > $2");
        assert!(std::ptr::eq(two.numbered(), two.numbered()));
        assert_eq!(Statement::from("SELECT 1").numbered(), "SELECT 1");
    }
}
