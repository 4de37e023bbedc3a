//! The columns that describe a record rather than come from its payload, as OLake names them.
//!
//! | column | Arrow type | value |
//! |---|---|---|
//! | `_kafka_key` | Utf8 | the key as text (see [`super::key`]); null when the record has none |
//! | `_kafka_key_bytes` | Binary | the key's bytes, for keys that are not UTF-8; absent until one is seen |
//! | `_kafka_offset`, `_kafka_partition` | Int64, Int32 | where the record lies |
//! | `_kafka_timestamp`, `_cdc_timestamp` | Timestamp(us, UTC) | the record's timestamp |
//! | `_olake_id` | Utf8 | see [`super::olake_id`] |
//! | `_olake_timestamp` | Timestamp(us, UTC) | when the row was made |
//! | `_op_type` | Utf8 | `c` |

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};

use super::kafka_time::timestamp_us;
use super::key::KeyText;
use super::olake_id;

pub(crate) const KAFKA_KEY: &str = "_kafka_key";
pub(crate) const KAFKA_KEY_BYTES: &str = "_kafka_key_bytes";
pub(crate) const KAFKA_OFFSET: &str = "_kafka_offset";
pub(crate) const KAFKA_PARTITION: &str = "_kafka_partition";
pub(crate) const KAFKA_TIMESTAMP: &str = "_kafka_timestamp";
pub(crate) const CDC_TIMESTAMP: &str = "_cdc_timestamp";
pub(crate) const OLAKE_ID: &str = "_olake_id";
pub(crate) const OLAKE_TIMESTAMP: &str = "_olake_timestamp";
pub(crate) const OP_TYPE: &str = "_op_type";

/// Names the payload cannot have for itself.
pub(crate) const RESERVED: [&str; 9] = [
    KAFKA_KEY,
    KAFKA_KEY_BYTES,
    KAFKA_OFFSET,
    KAFKA_PARTITION,
    KAFKA_TIMESTAMP,
    CDC_TIMESTAMP,
    OLAKE_ID,
    OLAKE_TIMESTAMP,
    OP_TYPE,
];

/// A record without its value, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope<'a> {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since 1970; -1 when the record has none.
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<&'a [u8]>,
}

/// One column ready for a table.
pub(crate) type Column = (FieldRef, ArrayRef);

/// Builds the metadata columns of chunk after chunk.
#[derive(Debug)]
pub(crate) struct MetadataColumns {
    wanted: Vec<&'static str>,
    /// Set once a key was not UTF-8; from then on the bytes get a column of their own.
    binary_keys: bool,
}

impl MetadataColumns {
    /// Columns of [`RESERVED`] for which `wanted` says yes.
    pub(crate) fn new(wanted: impl Fn(&str) -> bool) -> Self {
        Self { wanted: RESERVED.into_iter().filter(|name| wanted(name)).collect(), binary_keys: false }
    }

    /// The columns of `rows`, made at `now_us` (microseconds since 1970).
    pub(crate) fn build(&mut self, rows: &[Envelope<'_>], now_us: i64) -> Vec<Column> {
        if !self.binary_keys && self.wants(KAFKA_KEY) {
            self.binary_keys = rows.iter().any(|row| row.key.is_some_and(|key| std::str::from_utf8(key).is_err()));
        }
        let wanted = self.wanted.iter().copied();
        wanted
            .filter(|name| *name != KAFKA_KEY_BYTES || self.binary_keys)
            .map(|name| column(name, rows, now_us))
            .collect()
    }

    fn wants(&self, name: &str) -> bool {
        self.wanted.contains(&name)
    }
}

fn column(name: &'static str, rows: &[Envelope<'_>], now_us: i64) -> Column {
    let array: ArrayRef = match name {
        KAFKA_KEY => Arc::new(key_text(rows)),
        KAFKA_KEY_BYTES => Arc::new(key_bytes(rows)),
        KAFKA_OFFSET => Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.offset))),
        KAFKA_PARTITION => Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.partition))),
        OLAKE_ID => Arc::new(olake_ids(rows)),
        OLAKE_TIMESTAMP => Arc::new(timestamps(rows.iter().map(|_| Some(now_us)))),
        OP_TYPE => Arc::new(fixed_width_strings(vec![b'c'; rows.len()], 1)),
        _ => Arc::new(timestamps(rows.iter().map(|row| timestamp_us(row.timestamp_ms)))),
    };
    (field(name), array)
}

/// The field of a metadata column.
pub(crate) fn field(name: &'static str) -> FieldRef {
    let data_type = match name {
        KAFKA_KEY | OLAKE_ID | OP_TYPE => DataType::Utf8,
        KAFKA_KEY_BYTES => DataType::Binary,
        KAFKA_OFFSET => DataType::Int64,
        KAFKA_PARTITION => DataType::Int32,
        _ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    };
    Arc::new(Field::new(name, data_type, true))
}

fn timestamps(values: impl Iterator<Item = Option<i64>>) -> TimestampMicrosecondArray {
    values.collect::<TimestampMicrosecondArray>().with_timezone("UTC")
}

fn key_text(rows: &[Envelope<'_>]) -> StringArray {
    if rows.iter().all(|row| row.key.is_none()) {
        return StringArray::new_null(rows.len());
    }
    let mut builder = StringBuilder::with_capacity(rows.len(), 16 * rows.len());
    let mut text = KeyText::default();
    for row in rows {
        builder.append_option(row.key.map(|key| text.render(key)));
    }
    builder.finish()
}

fn key_bytes(rows: &[Envelope<'_>]) -> arrow_array::BinaryArray {
    let mut builder = BinaryBuilder::new();
    for row in rows {
        builder.append_option(row.key.filter(|key| std::str::from_utf8(key).is_err()));
    }
    builder.finish()
}

/// Ids are hashed partition by partition: a chunk holds long runs of one.
fn olake_ids(rows: &[Envelope<'_>]) -> StringArray {
    let mut text = Vec::with_capacity(rows.len() * olake_id::ID_CHARS);
    let mut offsets = Vec::with_capacity(rows.len());
    for run in rows.chunk_by(|left, right| left.partition == right.partition) {
        offsets.clear();
        offsets.extend(run.iter().map(|row| row.offset));
        olake_id::append_ids(&offsets, run[0].partition, &mut text);
    }
    fixed_width_strings(text, olake_id::ID_CHARS)
}

/// Strings of `width` ASCII bytes each, laid end to end.
fn fixed_width_strings(text: Vec<u8>, width: usize) -> StringArray {
    let rows = text.len() / width;
    let lengths = OffsetBuffer::<i32>::from_lengths(std::iter::repeat_n(width, rows));
    StringArray::new(lengths, ScalarBuffer::from(text).into_inner(), None)
}
