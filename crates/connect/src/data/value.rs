//! Values at run time.

use bytes::Bytes;

use super::{Decimal, Map, Schema, Struct, Text, Type};

/// A value of a record: Connect's runtime types.
///
/// The logical types of Connect are stored as Java programs see them: [`Decimal`] for `Decimal`, [`Value::Instant`] for
/// `Date`, `Time` and `Timestamp`, which share `java.util.Date`. The schema's name tells which.
///
/// Equality is Java's: a NaN equals itself, and 0.0 does not equal -0.0.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// `boolean`
    Boolean(bool),
    /// `int8`
    Int8(i8),
    /// `int16`
    Int16(i16),
    /// `int32`
    Int32(i32),
    /// `int64`
    Int64(i64),
    /// `float32`
    Float32(f32),
    /// `float64`
    Float64(f64),
    /// `string`
    String(Text),
    /// `bytes`
    Bytes(Bytes),
    /// `array`
    Array(Vec<Value>),
    /// `map`
    Map(Map),
    /// `struct`
    Struct(Box<Struct>),
    /// The logical type `Decimal`.
    Decimal(Box<Decimal>),
    /// The logical types `Date`, `Time` and `Timestamp`: milliseconds since the epoch, as `java.util.Date`.
    Instant(i64),
}

impl Value {
    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Any of the four integers.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int8(value) => Some(i64::from(*value)),
            Value::Int16(value) => Some(i64::from(*value)),
            Value::Int32(value) => Some(i64::from(*value)),
            Value::Int64(value) => Some(*value),
            _ => None,
        }
    }

    /// The type a schemaless value counts as; `None` for null and for the logical types, which have none without a
    /// schema, as in Java.
    pub fn inferred_type(&self) -> Option<Type> {
        Some(match self {
            Value::Boolean(_) => Type::Boolean,
            Value::Int8(_) => Type::Int8,
            Value::Int16(_) => Type::Int16,
            Value::Int32(_) => Type::Int32,
            Value::Int64(_) => Type::Int64,
            Value::Float32(_) => Type::Float32,
            Value::Float64(_) => Type::Float64,
            Value::String(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::Array(_) => Type::Array,
            Value::Map(_) => Type::Map,
            Value::Struct(_) => Type::Struct,
            Value::Null | Value::Decimal(_) | Value::Instant(_) => return None,
        })
    }

    /// The Java class of the value in Connect, as its messages name it.
    pub fn java_class(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Boolean(_) => "java.lang.Boolean",
            Value::Int8(_) => "java.lang.Byte",
            Value::Int16(_) => "java.lang.Short",
            Value::Int32(_) => "java.lang.Integer",
            Value::Int64(_) => "java.lang.Long",
            Value::Float32(_) => "java.lang.Float",
            Value::Float64(_) => "java.lang.Double",
            Value::String(_) => "java.lang.String",
            Value::Bytes(_) => "[B",
            Value::Array(_) => "java.util.ArrayList",
            Value::Map(_) => "java.util.HashMap",
            Value::Struct(_) => "org.apache.kafka.connect.data.Struct",
            Value::Decimal(_) => "java.math.BigDecimal",
            Value::Instant(_) => "java.util.Date",
        }
    }

    /// The schema a value tells by itself: that of a struct, or of an optional scalar. `None` for lists, maps and null.
    pub fn inferred_schema(&self) -> Option<Schema> {
        match self {
            Value::Struct(value) => Some(value.schema().clone()),
            Value::Array(_) | Value::Map(_) => None,
            value => value.inferred_type().map(Schema::optional_of),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Boolean(left), Value::Boolean(right)) => left == right,
            (Value::Int8(left), Value::Int8(right)) => left == right,
            (Value::Int16(left), Value::Int16(right)) => left == right,
            (Value::Int32(left), Value::Int32(right)) => left == right,
            (Value::Int64(left), Value::Int64(right)) | (Value::Instant(left), Value::Instant(right)) => left == right,
            (Value::Float32(left), Value::Float32(right)) => {
                left.total_cmp(right).is_eq() || left.is_nan() && right.is_nan()
            }
            (Value::Float64(left), Value::Float64(right)) => {
                left.total_cmp(right).is_eq() || left.is_nan() && right.is_nan()
            }
            (Value::String(left), Value::String(right)) => left == right,
            (Value::Bytes(left), Value::Bytes(right)) => left == right,
            (Value::Array(left), Value::Array(right)) => left == right,
            (Value::Map(left), Value::Map(right)) => left == right,
            (Value::Struct(left), Value::Struct(right)) => left == right,
            (Value::Decimal(left), Value::Decimal(right)) => left == right,
            _ => false,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Boolean(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Value {
        Value::Int32(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int64(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Float64(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::String(value.into())
    }
}

impl From<Struct> for Value {
    fn from(value: Struct) -> Value {
        Value::Struct(Box::new(value))
    }
}

impl From<Map> for Value {
    fn from(value: Map) -> Value {
        Value::Map(value)
    }
}

impl From<Decimal> for Value {
    fn from(value: Decimal) -> Value {
        Value::Decimal(Box::new(value))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}
