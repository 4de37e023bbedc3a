//! `org.apache.kafka.connect.storage.SimpleHeaderConverter`: header values as text that shows their type.
//!
//! Written are `1`, `true`, `[1,2]`, `{"a":1}`; what is read becomes the smallest type that the text fits. Times are
//! those of UTC, where Java uses the machine's time zone.

mod merge;
mod parse;
mod tokens;
mod write;

use ::bytes::Bytes;

use super::{HeaderConverter, SchemaAndValue};
use crate::data::{Schema, Type, Value};
use crate::error::Result;

pub(crate) use self::parse::parse;

/// A value as text.
pub(crate) fn text(value: &Value) -> String {
    let mut text = String::new();
    write::value(&mut text, value, false);
    text
}

/// Reads and writes header values as text.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimpleHeaderConverter;

impl HeaderConverter for SimpleHeaderConverter {
    fn write_header(&self, _topic: &str, _name: &str, value: &SchemaAndValue, out: &mut Vec<u8>) -> Result<bool> {
        if value.value.is_null() {
            return Ok(false);
        }
        out.extend_from_slice(text(&value.value).as_bytes());
        Ok(true)
    }

    fn read_header(&self, _topic: &str, _name: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue> {
        let Some(bytes) = bytes else { return Ok(SchemaAndValue::default()) };
        let text = String::from_utf8_lossy(bytes);
        let raw = |_| SchemaAndValue::new(Schema::of(Type::Bytes), Value::Bytes(bytes.clone()));
        Ok(parse(&text).unwrap_or_else(raw))
    }
}

#[cfg(test)]
mod tests;
