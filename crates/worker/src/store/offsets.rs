//! The offset log: for each source partition of a connector the offset to go on from.
//!
//! A key is `["connector",{partition}]`, a value `{offset}`. Java workers look up by the bytes of the key, so members
//! of a partition keep the order in which they came, and are written as Jackson writes them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{InternalRecord, compact};
use crate::error::{Error, Result};

/// A source partition or offset: what a connector gives, as JSON.
pub type JsonObject = Map<String, Value>;

/// The bytes of the key of a source partition.
pub fn partition_key(connector: &str, partition: &JsonObject) -> Vec<u8> {
    compact(&json!([connector, partition]))
}

/// Sets or resets the offset of a source partition.
pub fn offset_record(connector: &str, partition: &JsonObject, offset: Option<&JsonObject>) -> InternalRecord {
    let value = offset.map(|offset| compact(&Value::Object(offset.clone())));
    InternalRecord { key: partition_key(connector, partition), value }
}

/// The state that the offset log adds up to: raw bytes, so that a file written again holds what it held.
#[derive(Debug, Clone, Default)]
pub struct OffsetState {
    offsets: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl OffsetState {
    /// Takes a record of the log. Keys that no worker could have written are kept too: they are not ours to drop.
    pub fn apply(&mut self, record: InternalRecord) {
        match record.value {
            Some(value) => self.offsets.insert(record.key, value),
            None => self.offsets.remove(&record.key),
        };
    }

    /// Every key and value.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.offsets.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// The offset of a source partition.
    ///
    /// # Errors
    /// [`Error::Record`] when what is stored is not an offset.
    pub fn get(&self, connector: &str, partition: &JsonObject) -> Result<Option<JsonObject>> {
        self.offsets.get(&partition_key(connector, partition)).map(|bytes| object(bytes)).transpose()
    }

    /// Every source partition of a connector with its offset.
    ///
    /// # Errors
    /// [`Error::Record`] when an offset of the connector cannot be read. Keys of other shapes are passed over.
    pub fn of_connector(&self, connector: &str) -> Result<Vec<(JsonObject, JsonObject)>> {
        let mut found = Vec::new();
        for (key, value) in &self.offsets {
            let Ok(Value::Array(key)) = serde_json::from_slice(key) else { continue };
            let [Value::String(name), Value::Object(partition)] = key.as_slice() else { continue };
            if name == connector {
                found.push((partition.clone(), object(value)?));
            }
        }
        Ok(found)
    }
}

fn object(bytes: &[u8]) -> Result<JsonObject> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Record(format!("a stored offset is not a JSON object: {error}")))
}
