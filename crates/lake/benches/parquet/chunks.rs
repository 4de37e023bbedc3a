//! Chunks of rows as a sync writes them.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{Field, Schema};
use kanat_bench::Shape;
use kanat_lake::DataType;
use kanat_lake::raw::RawWriter;
use kanat_lake::shred::{ShredOptions, Shredder};
use kanat_lake::table::DATA_COLUMN;

/// OLake's flush batch.
pub(crate) const CHUNK_ROWS: i64 = 10_000;

const START_US: i64 = 1_700_000_000_000_000;
const PARTITION: i32 = 3;
const SEED: u64 = 1;

/// A column: its field and its values.
type Column = (Field, ArrayRef);

/// The normalised layout: the record's columns, the Kafka columns and OLake's.
pub(crate) fn normalized(chunks: i64, shape: Shape) -> Vec<RecordBatch> {
    let mut shredder = Shredder::new(ShredOptions::default()).expect("an empty schema is no error");
    let chunk = |chunk| {
        let offsets = offsets(chunk);
        let records: Vec<Vec<u8>> = offsets.iter().map(|offset| record(shape, *offset)).collect();
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let shredded = shredder.shred_chunk(&records).expect("the records are small");
        let mut columns: Vec<Column> =
            shredded.columns.into_iter().map(|(spec, values)| (spec.field(), values)).collect();
        columns.extend(metadata(&offsets));
        columns.push(column("_kafka_key", DataType::String, strings(offsets.iter().map(|_| String::new()))));
        columns.push(column("_kafka_offset", DataType::Integer, Arc::new(Int64Array::from(offsets.clone()))));
        let partitions = Int32Array::from(vec![PARTITION; offsets.len()]);
        columns.push(column("_kafka_partition", DataType::IntegerSmall, Arc::new(partitions)));
        columns.push(column("_kafka_timestamp", DataType::TimestampMilli, timestamps(&offsets)));
        batch(columns)
    };
    (0..chunks).map(chunk).collect()
}

/// The raw layout: the whole record as JSON, and OLake's columns.
pub(crate) fn raw(chunks: i64, shape: Shape) -> Vec<RecordBatch> {
    let mut writer = RawWriter::new(&["_kafka_key", "_kafka_offset", "_kafka_partition", "_kafka_timestamp"]);
    let chunk = |chunk| {
        let offsets = offsets(chunk);
        let documents = offsets.iter().map(|offset| {
            let position = offset.to_string();
            let mut document = Vec::new();
            let extras: [&[u8]; 4] = [b"\"\"", position.as_bytes(), b"3", b"\"2023-11-14T22:13:35.777Z\""];
            writer.write(&record(shape, *offset), &extras, &mut document).expect("the record is JSON");
            String::from_utf8(document).expect("JSON is UTF-8")
        });
        let documents = strings(documents);
        let mut columns = metadata(&offsets);
        columns.push((Field::new(DATA_COLUMN, DataType::String.to_arrow(), false), documents));
        batch(columns)
    };
    (0..chunks).map(chunk).collect()
}

fn record(shape: Shape, offset: i64) -> Vec<u8> {
    let mut json = Vec::new();
    shape.write(SEED, offset.unsigned_abs(), &mut json);
    json
}

fn offsets(chunk: i64) -> Vec<i64> {
    (chunk * CHUNK_ROWS..(chunk + 1) * CHUNK_ROWS).collect()
}

/// The columns both layouts have.
fn metadata(offsets: &[i64]) -> Vec<Column> {
    let written_us = START_US + offsets[0] * 100;
    let written = TimestampMicrosecondArray::from(vec![written_us; offsets.len()]).with_timezone("UTC");
    let ids = offsets.iter().map(|_| format!("{:032x}", fastrand::u128(..)));
    vec![
        column("_cdc_timestamp", DataType::TimestampMilli, timestamps(offsets)),
        column("_olake_id", DataType::String, strings(ids)),
        column("_olake_timestamp", DataType::TimestampMicro, Arc::new(written)),
        column("_op_type", DataType::String, strings(offsets.iter().map(|_| String::from("c")))),
    ]
}

/// Producers send every few microseconds; Kafka keeps milliseconds.
fn timestamps(offsets: &[i64]) -> ArrayRef {
    let micros = offsets.iter().map(|offset| START_US + offset / 50 * 1000);
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}

fn strings(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn column(name: &str, data_type: DataType, values: ArrayRef) -> Column {
    (Field::new(name, data_type.to_arrow(), true), values)
}

fn batch(mut columns: Vec<Column>) -> RecordBatch {
    columns.sort_by(|left, right| left.0.name().cmp(right.0.name()));
    let (fields, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values).expect("columns are equally long")
}
