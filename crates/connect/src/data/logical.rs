//! Connect's logical types: a name on a schema that gives a primitive type a meaning.

use super::{Schema, SchemaBuilder, Type};

/// A logical type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logical {
    /// `bytes`: a [`Decimal`](super::Decimal) of a fixed scale, in the parameter `scale`.
    Decimal,
    /// `int32`: days since the epoch.
    Date,
    /// `int32`: milliseconds since midnight.
    Time,
    /// `int64`: milliseconds since the epoch.
    Timestamp,
}

impl Logical {
    const ALL: [Logical; 4] = [Logical::Decimal, Logical::Date, Logical::Time, Logical::Timestamp];

    /// Milliseconds of a day.
    pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

    /// The name of its schemas.
    pub fn name(self) -> &'static str {
        match self {
            Logical::Decimal => "org.apache.kafka.connect.data.Decimal",
            Logical::Date => "org.apache.kafka.connect.data.Date",
            Logical::Time => "org.apache.kafka.connect.data.Time",
            Logical::Timestamp => "org.apache.kafka.connect.data.Timestamp",
        }
    }

    /// The logical type of a schema, if it has one.
    pub fn of(schema: &Schema) -> Option<Logical> {
        let name = schema.name()?;
        Logical::ALL.into_iter().find(|logical| logical.name() == name)
    }

    /// Scale of a decimal schema.
    pub fn scale(schema: &Schema) -> Option<i32> {
        schema.parameter("scale")?.parse().ok()
    }
}

/// Starts a schema of decimals.
pub fn decimal_schema(scale: i32) -> SchemaBuilder {
    Schema::build(Type::Bytes).name(Logical::Decimal.name()).parameter("scale", &scale.to_string()).version(1)
}

/// Starts a schema of dates.
pub fn date_schema() -> SchemaBuilder {
    Schema::build(Type::Int32).name(Logical::Date.name()).version(1)
}

/// Starts a schema of times of day.
pub fn time_schema() -> SchemaBuilder {
    Schema::build(Type::Int32).name(Logical::Time.name()).version(1)
}

/// Starts a schema of points in time.
pub fn timestamp_schema() -> SchemaBuilder {
    Schema::build(Type::Int64).name(Logical::Timestamp.name()).version(1)
}
