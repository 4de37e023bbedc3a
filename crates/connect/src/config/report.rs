//! What a check of a configuration found.

use indexmap::IndexMap;

use super::ConfigValue;

/// One key of a report.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReportedValue {
    /// Its value; null when it could not be read.
    pub value: ConfigValue,
    /// What is wrong with it.
    pub errors: Vec<String>,
    /// Values that would do.
    pub recommended_values: Vec<ConfigValue>,
    /// Whether it has a meaning with the other keys as they are.
    pub visible: bool,
}

/// Every key of a definition with what was found, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigReport {
    /// By key.
    pub values: IndexMap<String, ReportedValue>,
}

impl ConfigReport {
    /// Adds a problem to a key, known or not.
    pub fn add_error(&mut self, name: &str, error: impl Into<String>) {
        let reported = self.values.entry(name.to_owned());
        let unknown = || ReportedValue { visible: true, ..ReportedValue::default() };
        reported.or_insert_with(unknown).errors.push(error.into());
    }

    /// How many problems there are.
    pub fn error_count(&self) -> usize {
        self.values.values().map(|reported| reported.errors.len()).sum()
    }

    /// Every problem, in the order of the keys.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.values.values().flat_map(|reported| reported.errors.iter().map(String::as_str))
    }
}
