//! `org.apache.kafka.connect.converters.{Boolean,Short,Integer,Long,Float,Double}Converter`: fixed width, big-endian.

use bytes::Bytes;

use super::{Converter, SchemaAndValue};
use crate::data::{Schema, Type, Value};
use crate::error::{Error, Result};

/// Which of the six.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberKind {
    /// One byte, 0 or 1.
    Boolean,
    /// Two bytes.
    Short,
    /// Four bytes.
    Integer,
    /// Eight bytes.
    Long,
    /// Four bytes, IEEE 754.
    Float,
    /// Eight bytes, IEEE 754.
    Double,
}

impl NumberKind {
    fn ty(self) -> Type {
        match self {
            NumberKind::Boolean => Type::Boolean,
            NumberKind::Short => Type::Int16,
            NumberKind::Integer => Type::Int32,
            NumberKind::Long => Type::Int64,
            NumberKind::Float => Type::Float32,
            NumberKind::Double => Type::Float64,
        }
    }

    fn name(self) -> &'static str {
        match self {
            NumberKind::Boolean => "boolean",
            NumberKind::Short => "short",
            NumberKind::Integer => "integer",
            NumberKind::Long => "long",
            NumberKind::Float => "float",
            NumberKind::Double => "double",
        }
    }
}

/// One of the converters of numbers.
#[derive(Debug, Clone, Copy)]
pub struct NumberConverter {
    kind: NumberKind,
}

impl NumberConverter {
    /// The converter of a kind.
    pub fn new(kind: NumberKind) -> NumberConverter {
        NumberConverter { kind }
    }

    fn parse(self, bytes: &[u8]) -> Option<Value> {
        Some(match self.kind {
            NumberKind::Boolean => match bytes {
                [0] => Value::Boolean(false),
                [1] => Value::Boolean(true),
                _ => return None,
            },
            NumberKind::Short => Value::Int16(i16::from_be_bytes(bytes.try_into().ok()?)),
            NumberKind::Integer => Value::Int32(i32::from_be_bytes(bytes.try_into().ok()?)),
            NumberKind::Long => Value::Int64(i64::from_be_bytes(bytes.try_into().ok()?)),
            NumberKind::Float => Value::Float32(f32::from_be_bytes(bytes.try_into().ok()?)),
            NumberKind::Double => Value::Float64(f64::from_be_bytes(bytes.try_into().ok()?)),
        })
    }
}

impl Converter for NumberConverter {
    fn write(&self, _topic: &str, _schema: Option<&Schema>, value: &Value, out: &mut Vec<u8>) -> Result<bool> {
        match (self.kind, value) {
            (_, Value::Null) => return Ok(false),
            (NumberKind::Boolean, Value::Boolean(value)) => out.push(u8::from(*value)),
            (NumberKind::Short, Value::Int16(value)) => out.extend_from_slice(&value.to_be_bytes()),
            (NumberKind::Integer, Value::Int32(value)) => out.extend_from_slice(&value.to_be_bytes()),
            (NumberKind::Long, Value::Int64(value)) => out.extend_from_slice(&value.to_be_bytes()),
            (NumberKind::Float, Value::Float32(value)) => out.extend_from_slice(&value.to_be_bytes()),
            (NumberKind::Double, Value::Float64(value)) => out.extend_from_slice(&value.to_be_bytes()),
            (kind, other) => {
                let (name, class) = (kind.name(), other.java_class());
                return Err(Error::data(format!("Failed to serialize to a {name} (was class {class}): ")));
            }
        }
        Ok(true)
    }

    fn read(&self, _topic: &str, bytes: Option<&Bytes>) -> Result<SchemaAndValue> {
        let schema = Schema::optional_of(self.kind.ty());
        let Some(bytes) = bytes else { return Ok(SchemaAndValue::new(schema, Value::Null)) };
        let name = self.kind.name();
        let value = self.parse(bytes).ok_or_else(|| Error::data(format!("Failed to deserialize {name}: ")))?;
        Ok(SchemaAndValue::new(schema, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_big_endian() {
        let cases = [
            (NumberKind::Boolean, Value::Boolean(true), &b"\x01"[..]),
            (NumberKind::Short, Value::Int16(-2), b"\xff\xfe"),
            (NumberKind::Integer, Value::Int32(258), b"\x00\x00\x01\x02"),
            (NumberKind::Long, Value::Int64(1), b"\x00\x00\x00\x00\x00\x00\x00\x01"),
            (NumberKind::Float, Value::Float32(1.0), b"\x3f\x80\x00\x00"),
            (NumberKind::Double, Value::Float64(1.0), b"\x3f\xf0\x00\x00\x00\x00\x00\x00"),
        ];
        for (kind, value, bytes) in cases {
            let (converter, mut out) = (NumberConverter::new(kind), Vec::new());
            assert!(converter.write("t", None, &value, &mut out).unwrap());
            assert_eq!(out, bytes);
            let read = converter.read("t", Some(&Bytes::copy_from_slice(bytes))).unwrap();
            assert_eq!((read.value, read.schema), (value, Some(Schema::optional_of(kind.ty()))));
            assert_eq!(converter.read("t", None).unwrap().value, Value::Null);
            assert!(converter.read("t", Some(&Bytes::from_static(b"\x07\x07\x07"))).is_err());
            assert!(converter.write("t", None, &"x".into(), &mut out).is_err());
        }
    }
}
