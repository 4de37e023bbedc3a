//! `org.apache.kafka.connect.json.JsonConverter`.
//!
//! With `schemas.enable` a record is `{"schema":…,"payload":…}`, without it the payload alone. Text is read and written
//! in one pass, without a tree between. The text of a schema is kept with the schema it stands for, in both directions,
//! since it repeats from record to record.
//!
//! Where the Java converter turns a value of a wrong type into a zero or cuts off its high bits (text for an `int32`,
//! 300 for an `int8`), this one reports it. Values nest at most 128 deep, where Jackson goes on to 1000: the bound keeps
//! the stack of a compute thread small.

mod read;
mod schema;
mod write;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::{Converter, SchemaAndValue};
use crate::data::{Schema, Value};
use crate::error::Result;

/// How the logical type `Decimal` is written (`decimal.format`); both are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecimalFormat {
    /// The unscaled value's bytes in base64.
    #[default]
    Base64,
    /// A JSON number.
    Numeric,
}

/// Options of the converter, with Connect's defaults.
#[derive(Debug, Clone)]
pub struct JsonConverterOptions {
    /// `schemas.enable`: records carry their schema.
    pub schemas_enable: bool,
    /// `schemas.cache.size`: how many schemas are remembered in each direction.
    pub schemas_cache_size: usize,
    /// `decimal.format`
    pub decimal_format: DecimalFormat,
    /// `replace.null.with.default`: a null field is written and read as its default.
    pub replace_null_with_default: bool,
    /// `schema.content`: the schema, in its JSON form, of records that do not carry one. Only looked at when reading
    /// with `schemas_enable`.
    pub schema_content: Option<String>,
}

impl Default for JsonConverterOptions {
    fn default() -> Self {
        JsonConverterOptions {
            schemas_enable: true,
            schemas_cache_size: 1000,
            decimal_format: DecimalFormat::Base64,
            replace_null_with_default: true,
            schema_content: None,
        }
    }
}

/// Schemas by their text and texts by their schema.
#[derive(Debug, Default)]
struct SchemaCache {
    by_text: HashMap<Bytes, Option<Schema>>,
    /// Few distinct schemas go through one converter, so they are walked.
    texts: Vec<(Schema, Bytes)>,
}

/// Reads and writes JSON.
#[derive(Debug, Default)]
pub struct JsonConverter {
    options: JsonConverterOptions,
    cache: Mutex<SchemaCache>,
}

impl JsonConverter {
    /// A converter with these options.
    pub fn new(options: JsonConverterOptions) -> JsonConverter {
        JsonConverter { options, cache: Mutex::default() }
    }

    /// The schema that stands as JSON in a record.
    fn schema_of(&self, text: &[u8]) -> Result<Option<Schema>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cache.by_text.get(text) {
            return Ok(known.clone());
        }
        let schema = schema::parse(text, &self.options)?;
        if cache.by_text.len() >= self.options.schemas_cache_size {
            cache.by_text.clear();
        }
        cache.by_text.insert(Bytes::copy_from_slice(text), schema.clone());
        Ok(schema)
    }

    /// A schema as JSON.
    fn text_of(&self, schema: &Schema) -> Result<Bytes> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = cache.texts.iter().find(|(known, _)| known == schema) {
            return Ok(text.clone());
        }
        let mut text = Vec::new();
        schema::write(schema, &self.options, &mut text)?;
        let text = Bytes::from(text);
        if cache.texts.len() >= self.options.schemas_cache_size {
            cache.texts.clear();
        }
        cache.texts.push((schema.clone(), text.clone()));
        Ok(text)
    }
}

impl Converter for JsonConverter {
    fn write(&self, _topic: &str, schema: Option<&Schema>, value: &Value, out: &mut Vec<u8>) -> Result<bool> {
        if schema.is_none() && value.is_null() {
            return Ok(false);
        }
        if !self.options.schemas_enable {
            write::value(schema, value, &self.options, out)?;
            return Ok(true);
        }
        out.extend_from_slice(br#"{"schema":"#);
        match schema {
            Some(schema) => out.extend_from_slice(&self.text_of(schema)?),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(br#","payload":"#);
        write::value(schema, value, &self.options, out)?;
        out.push(b'}');
        Ok(true)
    }

    fn read(&self, _topic: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue> {
        let Some(bytes) = bytes else { return Ok(SchemaAndValue::default()) };
        if !self.options.schemas_enable {
            return Ok(SchemaAndValue { schema: None, value: read::document(None, bytes, &self.options)? });
        }
        if let Some(content) = &self.options.schema_content {
            let schema = self.schema_of(content.as_bytes())?;
            let value = read::document(schema.as_ref(), bytes, &self.options)?;
            return Ok(SchemaAndValue { schema, value });
        }
        let envelope = read::envelope(bytes)?;
        let schema = self.schema_of(envelope.schema)?;
        let value = read::document(schema.as_ref(), envelope.payload, &self.options)?;
        Ok(SchemaAndValue { schema, value })
    }
}

#[cfg(test)]
mod tests;
