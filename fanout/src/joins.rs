//! How joins were answered, one count an outcome.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::request::Code;

/// The counts of one process.
#[derive(Debug, Default)]
pub struct Joins(Mutex<BTreeMap<String, u64>>);

impl Joins {
    /// A join succeeded.
    pub fn on_success(&self) {
        self.count("success".to_owned());
    }

    /// A join was refused with this code.
    pub fn on_refused(&self, code: Code) {
        let word = serde_json::to_value(code).ok();
        let word = word.and_then(|word| word.as_str().map(str::to_owned));
        self.count(word.unwrap_or_default());
    }

    fn count(&self, outcome: String) {
        *self.0.lock().entry(outcome).or_default() += 1;
    }

    /// How many were answered how: `success`, or the contract's code.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_counted_under_the_contracts_code() {
        let joins = Joins::default();
        joins.on_success();
        joins.on_refused(Code::Forbidden);
        joins.on_refused(Code::Forbidden);
        let counts = [("FORBIDDEN".to_owned(), 2), ("success".to_owned(), 1)];
        assert_eq!(joins.counts(), counts.into());
    }
}
