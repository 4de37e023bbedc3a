//! Column types: OLake's names, the widening tree, and what each type is in Arrow.
//!
//! Every JSON value has a [`DataType`]; a column collects a [`TypeSet`] and is stored as the lowest common ancestor of
//! what it holds:
//!
//! ```text
//! boolean -> integer_small -> integer -> number <- number_small          timestamp -> _milli -> _micro -> _nano
//!                                           \____________ string ____________/
//! ```
//!
//! `object`, `array` and `unknown` beside anything else give `string`; `null` beside anything gives the other.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow_schema::{DataType as ArrowType, TimeUnit};
use serde::{Deserialize, Serialize};

/// Time zone of every timestamp column.
pub const TIMESTAMP_ZONE: &str = "UTC";

/// Type of a column, as it is named in a catalog (`streams.json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// Only nulls were seen.
    Null,
    /// `true` or `false`.
    Boolean,
    /// 32-bit signed integer.
    IntegerSmall,
    /// 64-bit signed integer.
    Integer,
    /// 32-bit float.
    NumberSmall,
    /// 64-bit float.
    Number,
    /// UTF-8 text.
    String,
    /// Instant in whole seconds.
    Timestamp,
    /// Instant with milliseconds.
    TimestampMilli,
    /// Instant with microseconds.
    TimestampMicro,
    /// Instant with nanoseconds; columns hold microseconds, finer digits are cut.
    TimestampNano,
    /// JSON object, stored as JSON text.
    Object,
    /// JSON array, stored as JSON text.
    Array,
    /// Type not known, stored as text.
    Unknown,
}

impl DataType {
    /// All types, in the order of their definition.
    pub const ALL: [Self; 14] = [
        Self::Null,
        Self::Boolean,
        Self::IntegerSmall,
        Self::Integer,
        Self::NumberSmall,
        Self::Number,
        Self::String,
        Self::Timestamp,
        Self::TimestampMilli,
        Self::TimestampMicro,
        Self::TimestampNano,
        Self::Object,
        Self::Array,
        Self::Unknown,
    ];

    /// Name in catalogs, such as `timestamp_milli`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::IntegerSmall => "integer_small",
            Self::Integer => "integer",
            Self::NumberSmall => "number_small",
            Self::Number => "number",
            Self::String => "string",
            Self::Timestamp => "timestamp",
            Self::TimestampMilli => "timestamp_milli",
            Self::TimestampMicro => "timestamp_micro",
            Self::TimestampNano => "timestamp_nano",
            Self::Object => "object",
            Self::Array => "array",
            Self::Unknown => "unknown",
        }
    }

    /// Is it one of the four timestamp types?
    #[must_use]
    pub const fn is_timestamp(self) -> bool {
        matches!(self, Self::Timestamp | Self::TimestampMilli | Self::TimestampMicro | Self::TimestampNano)
    }

    /// The Arrow type columns of this type have. Text, JSON text and the types without values are all `Utf8`.
    #[must_use]
    pub fn to_arrow(self) -> ArrowType {
        match self {
            Self::Boolean => ArrowType::Boolean,
            Self::IntegerSmall => ArrowType::Int32,
            Self::Integer => ArrowType::Int64,
            Self::NumberSmall => ArrowType::Float32,
            Self::Number => ArrowType::Float64,
            Self::Null | Self::String | Self::Object | Self::Array | Self::Unknown => ArrowType::Utf8,
            Self::Timestamp | Self::TimestampMilli | Self::TimestampMicro | Self::TimestampNano => {
                ArrowType::Timestamp(TimeUnit::Microsecond, Some(Arc::from(TIMESTAMP_ZONE)))
            }
        }
    }

    /// The parent in the widening tree; `None` at its root and for the types outside the tree.
    const fn wider(self) -> Option<Self> {
        match self {
            Self::Boolean => Some(Self::IntegerSmall),
            Self::IntegerSmall => Some(Self::Integer),
            Self::Integer | Self::NumberSmall => Some(Self::Number),
            Self::Timestamp => Some(Self::TimestampMilli),
            Self::TimestampMilli => Some(Self::TimestampMicro),
            Self::TimestampMicro => Some(Self::TimestampNano),
            Self::Number | Self::TimestampNano => Some(Self::String),
            Self::Null | Self::String | Self::Object | Self::Array | Self::Unknown => None,
        }
    }

    /// Is `self` equal to `other` or one of its ancestors in the tree?
    fn holds(self, other: Self) -> bool {
        std::iter::successors(Some(other), |t| t.wider()).any(|t| t == self)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A type name that no catalog of ours or OLake's uses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown column type {0:?}")]
pub struct UnknownType(pub String);

impl FromStr for DataType {
    type Err = UnknownType;

    fn from_str(name: &str) -> Result<Self, UnknownType> {
        Self::ALL.into_iter().find(|t| t.as_str() == name).ok_or_else(|| UnknownType(name.to_owned()))
    }
}

/// The narrowest type that can hold both: their lowest common ancestor in the widening tree.
#[must_use]
pub fn common_ancestor(a: DataType, b: DataType) -> DataType {
    match (a, b) {
        (DataType::Null, other) | (other, DataType::Null) => other,
        _ if a == b => a,
        _ => std::iter::successors(Some(a), |t| t.wider()).find(|t| t.holds(b)).unwrap_or(DataType::String),
    }
}

/// The set of types seen in one column.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct TypeSet(u16);

impl TypeSet {
    /// Adds a type.
    pub fn insert(&mut self, data_type: DataType) {
        self.0 |= 1 << data_type as u16;
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Is the type in the set?
    #[must_use]
    pub const fn contains(self, data_type: DataType) -> bool {
        self.0 & (1 << data_type as u16) != 0
    }

    /// Is nothing in the set?
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The types in it, in the order of [`DataType::ALL`].
    pub fn iter(self) -> impl Iterator<Item = DataType> {
        DataType::ALL.into_iter().filter(move |t| self.contains(*t))
    }

    /// One type for the whole set: [`common_ancestor`] of all; `null` for an empty set.
    #[must_use]
    pub fn collapse(self) -> DataType {
        self.iter().fold(DataType::Null, common_ancestor)
    }
}

impl fmt::Debug for TypeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(DataType::as_str)).finish()
    }
}

impl FromIterator<DataType> for TypeSet {
    fn from_iter<I: IntoIterator<Item = DataType>>(types: I) -> Self {
        let mut set = Self::default();
        for data_type in types {
            set.insert(data_type);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for data_type in DataType::ALL {
            assert_eq!(data_type.as_str().parse(), Ok(data_type));
            assert_eq!(serde_json::to_string(&data_type).unwrap(), format!("\"{data_type}\""));
        }
        assert!("decimal".parse::<DataType>().is_err());
    }

    #[test]
    fn widening_follows_the_tree() {
        use DataType::*;
        let table = [
            (Boolean, Integer, Integer),
            (Boolean, NumberSmall, Number),
            (IntegerSmall, Integer, Integer),
            (IntegerSmall, NumberSmall, Number),
            (Integer, Number, Number),
            (Integer, String, String),
            (Timestamp, TimestampNano, TimestampNano),
            (TimestampMicro, TimestampMilli, TimestampMicro),
            (Timestamp, Integer, String),
            (Boolean, TimestampMilli, String),
            (Object, Array, String),
            (Object, Integer, String),
            (Unknown, Boolean, String),
            (Object, Object, Object),
            (Null, Object, Object),
            (Null, Null, Null),
            (Null, Unknown, Unknown),
        ];
        for (a, b, wide) in table {
            assert_eq!(common_ancestor(a, b), wide, "{a} {b}");
            assert_eq!(common_ancestor(b, a), wide, "{b} {a}");
        }
    }

    #[test]
    fn a_set_collapses_the_same_in_any_order() {
        for bits in 0..1u16 << DataType::ALL.len() {
            let set = TypeSet(bits);
            let backwards = DataType::ALL.into_iter().rev().filter(|t| set.contains(*t));
            assert_eq!(set.collapse(), backwards.fold(DataType::Null, common_ancestor), "{set:?}");
        }
    }
}
