//! Converters: the bytes of a Kafka record to a value with its schema, and back.
//!
//! Each has the name, the bytes and the messages of the Java class it stands for. They are shared by tasks and called
//! from compute threads, so they take `&self`.

mod bytes;
pub mod json;
mod numbers;
mod simple_header;
mod string;

use std::fmt;

use ::bytes::Bytes;

pub use self::bytes::ByteArrayConverter;
pub use self::json::{DecimalFormat, JsonConverter, JsonConverterOptions};
pub use self::numbers::{NumberConverter, NumberKind};
pub use self::simple_header::SimpleHeaderConverter;
pub(crate) use self::simple_header::{parse as parse_header, text as write_header};
pub use self::string::{Encoding, StringConverter};
use crate::data::{Schema, Value};
use crate::error::Result;

/// A value and what it is. Without a schema the value is "schemaless"; a null without a schema is a tombstone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SchemaAndValue {
    /// What the value is.
    pub schema: Option<Schema>,
    /// The value.
    pub value: Value,
}

impl SchemaAndValue {
    /// A value with its schema.
    pub fn new(schema: Schema, value: impl Into<Value>) -> SchemaAndValue {
        SchemaAndValue { schema: Some(schema), value: value.into() }
    }

    /// A value without schema.
    pub fn schemaless(value: impl Into<Value>) -> SchemaAndValue {
        SchemaAndValue { schema: None, value: value.into() }
    }
}

/// Converts keys or values of one connector.
pub trait Converter: fmt::Debug + Send + Sync {
    /// Appends the bytes of a value to `out`. `false` stands for null, and nothing is appended.
    ///
    /// # Errors
    /// When the value does not fit its schema or the converter cannot express it. `out` may then end in a part of it.
    fn write(&self, topic: &str, schema: Option<&Schema>, value: &Value, out: &mut Vec<u8>) -> Result<bool>;

    /// Reads a record's bytes, `None` for null.
    ///
    /// # Errors
    /// When the bytes are not what the converter expects.
    fn read(&self, topic: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue>;
}

/// Converts headers of one connector. Every [`Converter`] can.
pub trait HeaderConverter: fmt::Debug + Send + Sync {
    /// Appends the bytes of a header to `out`. `false` stands for null, and nothing is appended.
    ///
    /// # Errors
    /// As [`Converter::write`].
    fn write_header(&self, topic: &str, name: &str, value: &SchemaAndValue, out: &mut Vec<u8>) -> Result<bool>;

    /// Reads a header's bytes, `None` for null.
    ///
    /// # Errors
    /// As [`Converter::read`].
    fn read_header(&self, topic: &str, name: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue>;
}

impl<C: Converter> HeaderConverter for C {
    fn write_header(&self, topic: &str, _name: &str, value: &SchemaAndValue, out: &mut Vec<u8>) -> Result<bool> {
        self.write(topic, value.schema.as_ref(), &value.value, out)
    }

    fn read_header(&self, topic: &str, _name: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue> {
        self.read(topic, bytes)
    }
}
