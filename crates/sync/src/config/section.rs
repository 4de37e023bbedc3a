//! One JSON object of a configuration file, read key by key.

use serde_json::{Map, Value};

use super::{Secret, Warning};
use crate::error::{Error, Result};

/// An object under `path` of `file`; remembers which keys were asked for.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    file: &'a str,
    path: String,
    members: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The object at the top of a file.
    pub(crate) fn root(file: &'a str, value: &'a Value) -> Result<Self> {
        Self::at(file, String::new(), value)
    }

    /// The object `value`, which lies under `path`.
    pub(crate) fn at(file: &'a str, path: String, value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(members) => Ok(Self { file, path, members, known: Vec::new() }),
            other => {
                let key = if path.is_empty() { "the top level" } else { &path };
                Err(Error::wrong_value(file, key, format!("must be an object, not {}", kind(other))))
            }
        }
    }

    /// The file this section is part of.
    pub(crate) fn file(&self) -> &'a str {
        self.file
    }

    /// `key` with the path of this section before it.
    pub(crate) fn full_key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Error for a wrong value under `key`.
    pub(crate) fn wrong(&self, key: &str, reason: impl Into<String>) -> Error {
        Error::wrong_value(self.file, &self.full_key(key), reason)
    }

    /// Error for an absent `key`.
    pub(crate) fn missing(&self, key: &str) -> Error {
        Error::MissingKey { file: self.file.to_owned(), key: self.full_key(key) }
    }

    /// The raw value; JSON `null` counts as absent.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.members.get(key).filter(|value| !value.is_null())
    }

    /// Marks `key` as known although nothing is done with it.
    pub(crate) fn ignore(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// A string; the empty string counts as absent, as forms send it for fields left blank.
    pub(crate) fn string(&mut self, key: &'static str) -> Result<Option<&'a str>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.trim().is_empty())),
            Some(other) => Err(self.wrong(key, format!("must be a string, not {}", kind(other)))),
        }
    }

    /// A string that is hidden from now on.
    pub(crate) fn secret(&mut self, key: &'static str) -> Result<Option<Secret>> {
        Ok(self.string(key)?.map(Secret::new))
    }

    /// A truth value.
    pub(crate) fn boolean(&mut self, key: &'static str) -> Result<Option<bool>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.wrong(key, format!("must be true or false, not {}", kind(other)))),
        }
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, key: &'static str) -> Result<Option<i64>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.as_i64() {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(key, format!("must be a whole number, not {}", number_or_kind(value)))),
        }
    }

    /// A number.
    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<f64>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.as_f64().filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(key, format!("must be a number, not {}", number_or_kind(value)))),
        }
    }

    /// A list.
    pub(crate) fn list(&mut self, key: &'static str) -> Result<Option<&'a [Value]>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(key, format!("must be a list, not {}", kind(other)))),
        }
    }

    /// A list of strings.
    pub(crate) fn strings(&mut self, key: &'static str) -> Result<Option<Vec<String>>> {
        let Some(items) = self.list(key)? else { return Ok(None) };
        let mut strings = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let Value::String(text) = item else {
                return Err(self.wrong(&format!("{key}[{index}]"), format!("must be a string, not {}", kind(item))));
            };
            strings.push(text.clone());
        }
        Ok(Some(strings))
    }

    /// An object inside this one.
    pub(crate) fn section(&mut self, key: &'static str) -> Result<Option<Section<'a>>> {
        let path = self.full_key(key);
        self.value(key).map(|value| Section::at(self.file, path, value)).transpose()
    }

    /// Whether no member holds anything.
    pub(crate) fn is_blank(&self) -> bool {
        self.members.values().all(|value| match value {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            _ => false,
        })
    }

    /// Ends the section: reports each key nobody asked for and returns them as they were.
    pub(crate) fn finish(self, warnings: &mut Vec<Warning>) -> Map<String, Value> {
        let mut unknown = Map::new();
        for (key, value) in self.members {
            if self.known.contains(&key.as_str()) {
                continue;
            }
            let hint = nearest(key, &self.known).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            let message = format!("is not a known key and has no effect{hint}");
            warnings.push(Warning::new(self.file, self.full_key(key), message));
            unknown.insert(key.clone(), value.clone());
        }
        unknown
    }
}

/// What a value is, in words and without showing it: it may be a secret in the wrong place.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn number_or_kind(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        other => kind(other).to_owned(),
    }
}

/// The known name closest to `key`, if it is close enough to be a slip of the pen.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let folded = key.to_lowercase().replace(['-', '.', ' '], "_");
    let (distance, name) = known.iter().map(|name| (edit_distance(&folded, name), *name)).min()?;
    (distance <= 2 || distance * 3 <= name.len()).then_some(name)
}

/// Levenshtein distance in characters.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_forgives_case_dashes_and_slips() {
        let known = ["bootstrap_servers", "max_threads", "topic_pattern"];
        for (key, expected) in [
            ("bootstrap.servers", Some("bootstrap_servers")),
            ("Max-Threads", Some("max_threads")),
            ("max_thread", Some("max_threads")),
            ("topics_pattern", Some("topic_pattern")),
            ("colour", None),
        ] {
            assert_eq!(nearest(key, &known), expected, "{key}");
        }
    }

    #[test]
    fn edit_distance_counts_single_character_changes() {
        for (left, right, expected) in [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(edit_distance(left, right), expected, "{left} {right}");
        }
    }
}
