//! A statement and the values that go into it, until a connection says which database they are for.

use std::borrow::Cow;

use super::Connection;
use super::connection::Columns;
use crate::error::StoreError;

/// One statement in the dialect of each database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) sqlite: &'static str,
    pub(crate) mysql: &'static str,
}

impl From<&'static str> for Statement {
    /// What all databases understand.
    fn from(text: &'static str) -> Self {
        Self {
            sqlite: text,
            mysql: text,
        }
    }
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
