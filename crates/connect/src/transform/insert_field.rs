//! `InsertField`: where a record comes from, and fixed values, as fields of the record.

use super::options::{self, Options};
use super::part::{Part, SchemaCache, copy_basics, or_default, require_map, require_struct};
use super::{Parts, Transformation, Verdict};
use crate::config::{ConfigDef, Importance, Properties};
use crate::data::{Schema, Struct, Text, Type, Value, timestamp_schema};
use crate::error::{Error, Result};
use crate::record::Record;

const PURPOSE: &str = "field insertion";

/// What is inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Static,
}

/// A field to insert.
#[derive(Debug, Clone)]
struct Insertion {
    source: Source,
    name: Text,
    optional: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct InsertField {
    part: Part,
    insertions: Vec<Insertion>,
    static_value: Value,
    replace_null: bool,
    schemas: SchemaCache,
}

/// Keys in the order in which the fields are added.
const KEYS: [(&str, Source, &str); 5] = [
    ("topic.field", Source::Topic, "Name of the field for the topic"),
    ("partition.field", Source::Partition, "Name of the field for the partition"),
    ("offset.field", Source::Offset, "Name of the field for the offset, in sinks only"),
    ("timestamp.field", Source::Timestamp, "Name of the field for the timestamp"),
    ("static.field", Source::Static, "Name of the field for the fixed value"),
];

impl InsertField {
    pub(super) fn config_def() -> ConfigDef {
        let add = |definition: ConfigDef, (name, _, what): (&str, Source, &str)| {
            let documentation = format!("{what}; with ! behind it it is required, with ? or nothing optional.");
            definition.define(options::text(name, None, Importance::Medium, &documentation))
        };
        let definition = KEYS.into_iter().fold(ConfigDef::new(), add);
        let value = options::text("static.value", None, Importance::Medium, "The fixed value.");
        options::with_replace_null(definition.define(value))
    }

    pub(super) fn build(config: &Properties, part: Part) -> Result<InsertField> {
        let options = Options::parse(&InsertField::config_def(), config)?;
        let insertion = |(key, source, _)| {
            let text = options.text(key)?;
            let required = text.strip_suffix('!');
            let name = required.or_else(|| text.strip_suffix('?')).unwrap_or(text);
            Some(Insertion { source, name: name.into(), optional: required.is_none() })
        };
        let insertions: Vec<Insertion> = KEYS.into_iter().filter_map(insertion).collect();
        if insertions.is_empty() {
            return Err(Error::Config("No field insertion configured".to_owned()));
        }
        let static_value = options.text("static.value").map(Value::from);
        let static_field = insertions.iter().find(|insertion| insertion.source == Source::Static);
        if let (Some(field), None) = (static_field, &static_value) {
            let reason = format!("No value specified for static field: {}", field.name);
            return Err(Error::config_value("static.value", "null", &reason));
        }
        let static_value = static_value.unwrap_or_default();
        let replace_null = options.replace_null();
        Ok(InsertField { part, insertions, static_value, replace_null, schemas: SchemaCache::default() })
    }

    /// What is inserted; `None` when the record does not have it.
    fn value(&self, source: Source, from: &Origin) -> Result<Option<Value>> {
        Ok(match source {
            Source::Topic => Some(Value::String(from.topic.clone())),
            Source::Partition => from.partition.map(Value::Int32),
            Source::Offset => match from.offset {
                Some(offset) => Some(Value::Int64(offset)),
                None => {
                    return Err(Error::data(format!(
                        "Only SinkRecord supported for [{PURPOSE}], found: \
                         org.apache.kafka.connect.source.SourceRecord"
                    )));
                }
            },
            Source::Timestamp => from.timestamp.map(Value::Int64),
            Source::Static => Some(self.static_value.clone()),
        })
    }

    fn schema(&self, schema: &Schema) -> Result<Schema> {
        let mut builder = copy_basics(schema, Schema::structure());
        for field in schema.fields() {
            builder = builder.field(&field.name, field.schema.clone());
        }
        for insertion in &self.insertions {
            let schema = match insertion.source {
                Source::Topic | Source::Static => Schema::build(Type::String),
                Source::Partition => Schema::build(Type::Int32),
                Source::Offset => Schema::build(Type::Int64),
                Source::Timestamp => timestamp_schema(),
            };
            builder = builder.field(&insertion.name, schema.set_optional(insertion.optional).build()?);
        }
        builder.build()
    }
}

/// Where a record comes from, apart from the part that changes.
struct Origin {
    topic: Text,
    partition: Option<i32>,
    offset: Option<i64>,
    timestamp: Option<i64>,
}

impl Transformation for InsertField {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        // A tombstone stays one.
        if self.part.of(record).value.is_null() {
            return Ok(Verdict::Keep);
        }
        let from = Origin {
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
        };
        let part = self.part.of_mut(record);
        let value = std::mem::take(&mut part.value);
        let Some(schema) = part.schema.take() else {
            let mut map = require_map(value, PURPOSE)?;
            for insertion in &self.insertions {
                if let Some(value) = self.value(insertion.source, &from)? {
                    map.insert(Value::String(insertion.name.clone()), value);
                }
            }
            part.value = map.into();
            return Ok(Verdict::Keep);
        };
        let (old, values) = require_struct(value, PURPOSE)?.into_parts();
        let mut schemas = std::mem::take(&mut self.schemas);
        let updated = schemas.get(&schema, |schema| self.schema(schema));
        self.schemas = schemas;
        let updated = updated?;
        let values = old.fields().iter().zip(values).map(|(field, value)| or_default(field, value, self.replace_null));
        let mut values: Vec<Value> = values.collect();
        for insertion in &self.insertions {
            values.push(match self.value(insertion.source, &from)? {
                Some(Value::Int64(ms)) if insertion.source == Source::Timestamp => Value::Instant(ms),
                value => value.unwrap_or_default(),
            });
        }
        part.value = Struct::from_values(updated.clone(), values)?.into();
        part.schema = Some(updated);
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        self.part.parts()
    }
}
