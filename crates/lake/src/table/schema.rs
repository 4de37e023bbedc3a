//! The Parquet schema of a table, as OLake writes it.
//!
//! Every column is OPTIONAL and a leaf of the root `olake_schema`, without field ids and without an embedded Arrow
//! schema. A column that Arrow calls not nullable is REQUIRED; if it is text, it is the raw layout's JSON.
//!
//! | Arrow | Parquet |
//! |---|---|
//! | `Boolean` | BOOLEAN |
//! | `Int32`, `Int64` | INT32, INT64 |
//! | `Float32`, `Float64` | FLOAT, DOUBLE |
//! | `Utf8`, nullable | BYTE_ARRAY STRING |
//! | `Utf8`, not nullable | BYTE_ARRAY JSON |
//! | `Binary` | BYTE_ARRAY |
//! | `Timestamp(Microsecond, UTC)` | INT64 TIMESTAMP(MICROS, UTC) |

use std::sync::Arc;

use arrow_schema::{DataType as ArrowType, Field, Schema, TimeUnit};
use parquet::basic::{LogicalType, Repetition, TimeUnit as ParquetTimeUnit, Type as PhysicalType};
use parquet::schema::types::{SchemaDescriptor, Type};

use crate::error::{Error, Result};

const ROOT: &str = "olake_schema";

/// Name of the raw layout's payload column. Its field is not nullable `Utf8`.
pub const DATA_COLUMN: &str = "data";

/// Is it a column of JSON documents?
pub(crate) fn is_json(field: &Field) -> bool {
    field.data_type() == &ArrowType::Utf8 && !field.is_nullable()
}

/// The Parquet schema of an Arrow schema.
///
/// # Errors
/// [`Error::ColumnType`] for an Arrow type that tables do not have.
pub(crate) fn parquet_schema(schema: &Schema) -> Result<SchemaDescriptor> {
    let columns = schema.fields().iter().map(|field| column(field).map(Arc::new)).collect::<Result<_>>()?;
    let root = Type::group_type_builder(ROOT).with_fields(columns).build();
    let root = root.map_err(|source| Error::Schema { source })?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}

fn column(field: &Field) -> Result<Type> {
    let text = if is_json(field) { LogicalType::Json } else { LogicalType::String };
    let (physical, logical) = match field.data_type() {
        ArrowType::Boolean => (PhysicalType::BOOLEAN, None),
        ArrowType::Int32 => (PhysicalType::INT32, None),
        ArrowType::Int64 => (PhysicalType::INT64, None),
        ArrowType::Float32 => (PhysicalType::FLOAT, None),
        ArrowType::Float64 => (PhysicalType::DOUBLE, None),
        ArrowType::Utf8 => (PhysicalType::BYTE_ARRAY, Some(text)),
        ArrowType::Binary => (PhysicalType::BYTE_ARRAY, None),
        ArrowType::Timestamp(TimeUnit::Microsecond, Some(_)) => (
            PhysicalType::INT64,
            Some(LogicalType::Timestamp { is_adjusted_to_u_t_c: true, unit: ParquetTimeUnit::MICROS }),
        ),
        other => return Err(Error::ColumnType { column: field.name().clone(), data_type: other.to_string() }),
    };
    let repetition = if field.is_nullable() { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    Type::primitive_type_builder(field.name(), physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()
        .map_err(|source| Error::Schema { source })
}
