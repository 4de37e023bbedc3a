//! What most transforms share: the part of the record they work on, its checks, and the schemas they have made.

use crate::converter::SchemaAndValue;
use crate::data::{Field, Map, Schema, SchemaBuilder, Struct, Value};
use crate::error::{Error, Result};
use crate::record::Record;

use super::Parts;

/// Key or value: the `$Key` and `$Value` of class names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Key,
    Value,
}

impl Part {
    pub(super) fn of(self, record: &Record) -> &SchemaAndValue {
        match self {
            Part::Key => &record.key,
            Part::Value => &record.value,
        }
    }

    pub(super) fn of_mut(self, record: &mut Record) -> &mut SchemaAndValue {
        match self {
            Part::Key => &mut record.key,
            Part::Value => &mut record.value,
        }
    }

    pub(super) fn parts(self) -> Parts {
        match self {
            Part::Key => Parts { key: true, ..Parts::NONE },
            Part::Value => Parts { value: true, ..Parts::NONE },
        }
    }
}

/// The map of a value without schema.
pub(super) fn require_map(value: Value, purpose: &str) -> Result<Map> {
    match value {
        Value::Map(map) => Ok(map),
        other => Err(no_map(&other, purpose)),
    }
}

pub(super) fn no_map(value: &Value, purpose: &str) -> Error {
    let found = value.java_class();
    Error::data(format!("Only Map objects supported in absence of schema for [{purpose}], found: {found}"))
}

/// The struct of a value with schema.
pub(super) fn require_struct(value: Value, purpose: &str) -> Result<Struct> {
    match value {
        Value::Struct(fields) => Ok(*fields),
        other => Err(no_struct(&other, purpose)),
    }
}

pub(super) fn no_struct(value: &Value, purpose: &str) -> Error {
    Error::data(format!("Only Struct objects supported for [{purpose}], found: {}", value.java_class()))
}

/// The value of a field, or its default in place of null where that is wanted.
pub(super) fn or_default(field: &Field, value: Value, replace_null: bool) -> Value {
    match field.schema.default_value() {
        Some(default) if replace_null && value.is_null() => default.clone(),
        _ => value,
    }
}

/// Name, version, documentation and parameters of one schema for another.
pub(super) fn copy_basics(from: &Schema, mut to: SchemaBuilder) -> SchemaBuilder {
    if let Some(name) = from.name() {
        to = to.name(name);
    }
    if let Some(version) = from.version() {
        to = to.version(version);
    }
    if let Some(doc) = from.doc() {
        to = to.doc(doc);
    }
    from.parameters().iter().fold(to, |to, (name, value)| to.parameter(name, value))
}

/// Schemas made from others. Records of one source share their schema, so the last one is nearly always the one.
#[derive(Debug)]
pub(super) struct SchemaCache<T = Schema> {
    made: Vec<(Schema, T)>,
}

/// As in Connect.
const CACHED_SCHEMAS_MAX: usize = 16;

impl<T> Default for SchemaCache<T> {
    fn default() -> Self {
        SchemaCache { made: Vec::new() }
    }
}

impl<T: Clone> SchemaCache<T> {
    /// What was made from a schema, making it if it is new.
    pub(super) fn get(&mut self, schema: &Schema, make: impl FnOnce(&Schema) -> Result<T>) -> Result<T> {
        match self.made.iter().position(|(known, _)| known == schema) {
            Some(0) => {}
            Some(place) => self.made[..=place].rotate_right(1),
            None => {
                let made = make(schema)?;
                self.made.truncate(CACHED_SCHEMAS_MAX - 1);
                self.made.insert(0, (schema.clone(), made));
            }
        }
        Ok(self.made[0].1.clone())
    }
}
