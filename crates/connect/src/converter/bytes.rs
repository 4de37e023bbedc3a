//! `org.apache.kafka.connect.converters.ByteArrayConverter`: bytes as they are.

use bytes::Bytes;

use super::{Converter, SchemaAndValue};
use crate::data::{Schema, Type, Value};
use crate::error::{Error, Result};

/// Passes bytes through.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByteArrayConverter;

impl Converter for ByteArrayConverter {
    fn write(&self, _topic: &str, schema: Option<&Schema>, value: &Value, out: &mut Vec<u8>) -> Result<bool> {
        if let Some(schema) = schema.filter(|schema| schema.ty() != Type::Bytes) {
            return Err(Error::data(format!("Invalid schema type for ByteArrayConverter: {}", schema.ty())));
        }
        match value {
            Value::Null => Ok(false),
            Value::Bytes(bytes) => {
                out.extend_from_slice(bytes);
                Ok(true)
            }
            other => {
                let class = other.java_class();
                Err(Error::data(format!("ByteArrayConverter is not compatible with objects of type class {class}")))
            }
        }
    }

    fn read(&self, _topic: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue> {
        let value = bytes.map_or(Value::Null, |bytes| Value::Bytes(bytes.clone()));
        Ok(SchemaAndValue::new(Schema::optional_of(Type::Bytes), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_bytes_and_null() {
        let mut out = Vec::new();
        let converter = ByteArrayConverter;
        let bytes = Bytes::from_static(b"\xff\x00");
        let read = converter.read("t", Some(&bytes)).unwrap();
        assert!(converter.write("t", read.schema.as_ref(), &read.value, &mut out).unwrap());
        assert_eq!(out, *bytes);
        assert!(!converter.write("t", None, &Value::Null, &mut out).unwrap());
        let string = Schema::of(Type::String);
        let error = converter.write("t", Some(&string), &"x".into(), &mut out).unwrap_err();
        assert_eq!(error.to_string(), "Invalid schema type for ByteArrayConverter: STRING");
        let error = converter.write("t", None, &"x".into(), &mut out).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ByteArrayConverter is not compatible with objects of type class java.lang.String"
        );
    }
}
