//! Maps of values, in the order in which entries were put.

use super::Value;

/// A map from values to values. Small in practice and mostly iterated, so entries are a list; a lookup walks it.
///
/// Two maps are equal when they hold the same entries in any order, as in Java.
#[derive(Debug, Clone, Default)]
pub struct Map {
    entries: Vec<(Value, Value)>,
}

impl Map {
    /// An empty map.
    pub fn new() -> Map {
        Map::default()
    }

    /// An empty map with room.
    pub fn with_capacity(entries: usize) -> Map {
        Map { entries: Vec::with_capacity(entries) }
    }

    /// A map of entries whose keys the caller knows to be distinct.
    pub(crate) fn from_distinct(entries: impl IntoIterator<Item = (Value, Value)>) -> Map {
        Map { entries: entries.into_iter().collect() }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &Value) -> Option<&Value> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The value of a string key.
    pub fn get_str(&self, key: &str) -> Option<&Value> {
        let matches = |known: &Value| matches!(known, Value::String(text) if *text == *key);
        self.entries.iter().find(|(known, _)| matches(known)).map(|(_, value)| value)
    }

    /// Puts an entry; an entry with the same key keeps its place and gives its value back.
    pub fn insert(&mut self, key: Value, value: Value) -> Option<Value> {
        match self.entries.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.entries.push((key, value));
                None
            }
        }
    }

    /// Removes an entry.
    pub fn remove(&mut self, key: &Value) -> Option<Value> {
        let place = self.entries.iter().position(|(known, _)| known == key)?;
        Some(self.entries.remove(place).1)
    }

    /// Entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Value, &Value)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl FromIterator<(Value, Value)> for Map {
    /// Later entries with the same key replace earlier ones.
    fn from_iter<I: IntoIterator<Item = (Value, Value)>>(entries: I) -> Map {
        let mut map = Map::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl IntoIterator for Map {
    type Item = (Value, Value);
    type IntoIter = std::vec::IntoIter<(Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}
