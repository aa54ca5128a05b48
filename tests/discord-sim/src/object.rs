//! JSON objects: how ours grow field by field, and how a field that may be absent, null or set is read.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::snowflake::Snowflake;

/// Sets a field of an object. Whatever is no object has no fields and stays as it is.
pub(crate) fn set(object: &mut Value, name: &str, value: Value) {
    debug_assert!(object.is_object(), "only objects have fields");
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// The id of an object that Discord would give one.
pub(crate) fn id_of(object: &Value) -> Option<Snowflake> {
    object.get("id")?.as_str()?.parse().ok()
}

/// A field of a PATCH: what is absent stays as it is, what is null is cleared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Patch<T> {
    #[default]
    Absent,
    Given(Option<T>),
}

impl<T> Patch<T> {
    /// Changes the target, if there is anything to change.
    pub(crate) fn apply(self, target: &mut Option<T>) {
        if let Self::Given(value) = self {
            *target = value;
        }
    }

    /// The new value, where there is one.
    pub(crate) fn value(&self) -> Option<&T> {
        match self {
            Self::Given(value) => value.as_ref(),
            Self::Absent => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        topic: Patch<String>,
    }

    #[test]
    fn absent_null_and_set_are_three_things() {
        let read = |text| serde_json::from_str::<Body>(text).unwrap().topic;
        assert_eq!(read("{}"), Patch::Absent);
        assert_eq!(read(r#"{"topic":null}"#), Patch::Given(None));
        assert_eq!(read(r#"{"topic":"x"}"#), Patch::Given(Some("x".to_owned())));
    }
}
