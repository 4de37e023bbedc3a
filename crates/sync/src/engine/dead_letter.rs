//! Records that cannot become rows: kept whole, with the reason, in a Parquet table beside the target.
//!
//! A record the shredder refuses (not JSON, an array, a null value, ...) is appended here by the same
//! chunk that would have written its row, and sealed in the same transaction as that table's files,
//! so that a record is always in exactly one of the two (delivery rule 3).

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use super::kafka_time::timestamp_us;

/// What is appended to a table's folder name to get its dead-letter table.
pub(crate) const FOLDER_SUFFIX: &str = "_dead_letters";

/// One refused record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeadLetter<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Record timestamp, milliseconds since 1970; -1 when the record has none.
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// Short and stable: what kind of fault.
    pub(crate) reason: &'a str,
    /// What exactly was found, and where.
    pub(crate) detail: &'a str,
}

/// Rows of the dead-letter table being gathered by one chunk.
#[derive(Debug, Default)]
pub(crate) struct DeadLetterBuilder {
    topic: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    timestamp: TimestampMicrosecondBuilder,
    key: BinaryBuilder,
    value: BinaryBuilder,
    reason: StringBuilder,
    detail: StringBuilder,
    rows: usize,
    bytes: usize,
}

impl DeadLetterBuilder {
    pub(crate) fn append(&mut self, letter: &DeadLetter<'_>) {
        self.topic.append_value(letter.topic);
        self.partition.append_value(letter.partition);
        self.offset.append_value(letter.offset);
        self.timestamp.append_option(timestamp_us(letter.timestamp_ms));
        self.key.append_option(letter.key);
        self.value.append_option(letter.value);
        self.reason.append_value(letter.reason);
        self.detail.append_value(letter.detail);
        self.rows += 1;
        self.bytes += letter.key.map_or(0, <[u8]>::len) + letter.value.map_or(0, <[u8]>::len);
    }

    /// Rows gathered since the last [`finish`](Self::finish).
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Key and value bytes gathered since the last [`finish`](Self::finish).
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Hands over what was gathered and starts anew.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        self.bytes = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.topic.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.timestamp.finish().with_timezone("UTC")),
            Arc::new(self.key.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.detail.finish()),
        ];
        RecordBatch::try_new(schema(), columns)
    }
}

/// Columns of every dead-letter table.
pub(crate) fn schema() -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("topic", DataType::Utf8),
        ("partition", DataType::Int32),
        ("offset", DataType::Int64),
        ("timestamp", timestamp),
        ("key", DataType::Binary),
        ("value", DataType::Binary),
        ("reason", DataType::Utf8),
        ("detail", DataType::Utf8),
    ];
    // Optional, like every column of every table here.
    Arc::new(Schema::new(columns.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec()))
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;

    use super::*;

    #[test]
    fn keeps_null_keys_values_and_timestamps_apart_from_empty_ones() {
        let mut builder = DeadLetterBuilder::default();
        let letter = DeadLetter {
            topic: "t",
            partition: 3,
            offset: 9,
            timestamp_ms: -1,
            key: None,
            value: Some(b""),
            reason: "empty value",
            detail: "",
        };
        builder.append(&letter);
        builder.append(&DeadLetter { key: Some(b"\xff"), value: None, timestamp_ms: 5, ..letter });
        assert_eq!(builder.rows(), 2);
        assert_eq!(builder.bytes(), 1);

        let batch = builder.finish().unwrap();
        let (key, value, timestamp) = (batch.column(4), batch.column(5), batch.column(3));
        assert!(key.is_null(0) && !key.is_null(1) && !value.is_null(0) && value.is_null(1));
        assert!(timestamp.is_null(0));
        assert_eq!(key.as_binary::<i32>().value(1), b"\xff");
        assert_eq!(builder.rows(), 0);
    }
}
