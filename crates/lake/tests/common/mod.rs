//! What the integration tests share: a chunk as plain text, to compare with tables of expectations.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType as ArrowType;
use kanat_lake::DataType;
use kanat_lake::shred::{ShredOptions, ShreddedChunk, Shredder};

/// A column as name, type and the text of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) source: String,
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) values: Vec<Option<String>>,
}

/// The value at `row`: numbers as Rust prints them, timestamps as microseconds.
pub(crate) fn show(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        ArrowType::Boolean => array.as_boolean().value(row).to_string(),
        ArrowType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        ArrowType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        ArrowType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        ArrowType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        ArrowType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        other => panic!("no column has type {other}"),
    })
}

/// All columns of a chunk, checked to be as long as it says.
pub(crate) fn shown(chunk: &ShreddedChunk) -> Vec<Shown> {
    let column = |(spec, array): &(std::sync::Arc<kanat_lake::shred::ColumnSpec>, ArrayRef)| {
        assert_eq!(array.len(), chunk.rows, "{}", spec.name);
        assert_eq!(array.data_type(), &spec.data_type.to_arrow(), "{}", spec.name);
        Shown {
            source: spec.source.clone(),
            name: spec.name.clone(),
            data_type: spec.data_type,
            values: (0..chunk.rows).map(|row| show(array, row)).collect(),
        }
    };
    chunk.columns.iter().map(column).collect()
}

/// One chunk through a fresh shredder.
#[allow(dead_code, reason = "not every test binary starts from nothing")]
pub(crate) fn shred(records: &[&str]) -> (ShreddedChunk, Vec<Shown>) {
    let mut shredder = Shredder::new(ShredOptions::default()).unwrap();
    let records: Vec<_> = records.iter().map(|record| record.as_bytes()).collect();
    let chunk = shredder.shred_chunk(&records).unwrap();
    let columns = shown(&chunk);
    (chunk, columns)
}
