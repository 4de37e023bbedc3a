//! One file: its footer, its encodings, its memory.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType as ArrowType, Field, Schema};
use arrow_select::concat::concat_batches;
use parquet::basic::{Compression as Codec, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::file::metadata::ColumnChunkMetaData;

use super::super::{Compression, DATA_COLUMN, EncodingPlan, FileOptions, FileWriter, FinishedFile};
use super::{batch, footer, numbered, owner, read, tree};
use crate::error::Error;

const ROWS: i64 = 5000;

fn write(folder: &Path, batches: &[RecordBatch], options: &FileOptions) -> FinishedFile {
    let plan = EncodingPlan::sample(&batches[0], options).unwrap();
    let mut writer = FileWriter::create(folder, &owner(), batches[0].schema(), &plan).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap()
}

fn timestamps(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}

fn strings(value: impl Fn(i64) -> String) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..ROWS).map(value)))
}

fn integers(value: impl Fn(i64) -> i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..ROWS).map(value)))
}

/// The table of OLake's flat records, columns as in its files.
fn normalized() -> RecordBatch {
    let random = || i64::from(fastrand::i32(..));
    batch(vec![
        ("_cdc_timestamp", timestamps((0..ROWS).map(|row| 1_700_000_000_000_000 + row / 50 * 1000))),
        ("_kafka_key", strings(|_| String::new())),
        ("_kafka_offset", integers(|row| row)),
        ("_kafka_partition", Arc::new(Int32Array::from_iter_values((0..ROWS).map(|_| 3)))),
        ("_kafka_timestamp", timestamps((0..ROWS).map(|row| 1_700_000_000_000_000 + row / 50 * 1000))),
        ("_olake_id", strings(|_| format!("{:032x}", fastrand::u128(..)))),
        ("_olake_timestamp", timestamps((0..ROWS).map(|_| 1_700_000_000_123_456))),
        ("_op_type", strings(|_| String::from("c"))),
        ("active", Arc::new(BooleanArray::from_iter((0..ROWS).map(|_| Some(fastrand::bool()))))),
        ("amount", Arc::new(Float64Array::from_iter_values((0..ROWS).map(|_| fastrand::f64())))),
        ("city", strings(|_| ["Lisbon", "Porto", "Berlin", "Ghent"][fastrand::usize(..4)].to_owned())),
        ("created_at", timestamps((0..ROWS).map(|row| 1_700_000_000_000_000 + row * 20_000))),
        ("id", integers(|row| row)),
        ("name", strings(|_| format!("ada-alpha bravo carbon-{:05}", fastrand::u32(..100_000)))),
        ("qty", integers(|_| random() % 40)),
        ("status", strings(|_| ["new", "paid"][fastrand::usize(..2)].to_owned())),
        ("user_id", integers(|_| random())),
    ])
}

fn raw() -> RecordBatch {
    let metadata = normalized().project(&[0, 5, 6, 7]).unwrap();
    let mut fields: Vec<Field> = metadata.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new(DATA_COLUMN, ArrowType::Utf8, false));
    let mut columns = metadata.columns().to_vec();
    columns.push(strings(|row| format!("{{\"id\":{row},\"name\":\"ada-alpha bravo carbon\"}}")));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn column<'a>(columns: &'a [ColumnChunkMetaData], name: &str) -> &'a ColumnChunkMetaData {
    columns.iter().find(|column| column.column_path().string() == name).unwrap()
}

#[test]
fn footer_of_the_normalized_layout_is_olakes() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &[normalized()], &FileOptions::default());
    let metadata = footer(&file.temporary);
    assert_eq!(metadata.file_metadata().created_by(), Some("kanat version 0.1.0"));
    assert_eq!(metadata.file_metadata().key_value_metadata(), None);
    let schema = metadata.file_metadata().schema_descr();
    assert_eq!(schema.name(), "olake_schema");

    let instant = Some(LogicalType::Timestamp { is_adjusted_to_u_t_c: true, unit: TimeUnit::MICROS });
    let text = Some(LogicalType::String);
    let expected = [
        ("_cdc_timestamp", Physical::INT64, instant.clone()),
        ("_kafka_key", Physical::BYTE_ARRAY, text.clone()),
        ("_kafka_offset", Physical::INT64, None),
        ("_kafka_partition", Physical::INT32, None),
        ("_kafka_timestamp", Physical::INT64, instant.clone()),
        ("_olake_id", Physical::BYTE_ARRAY, text.clone()),
        ("_olake_timestamp", Physical::INT64, instant.clone()),
        ("_op_type", Physical::BYTE_ARRAY, text.clone()),
        ("active", Physical::BOOLEAN, None),
        ("amount", Physical::DOUBLE, None),
        ("city", Physical::BYTE_ARRAY, text.clone()),
        ("created_at", Physical::INT64, instant),
        ("id", Physical::INT64, None),
        ("name", Physical::BYTE_ARRAY, text.clone()),
        ("qty", Physical::INT64, None),
        ("status", Physical::BYTE_ARRAY, text),
        ("user_id", Physical::INT64, None),
    ];
    assert_eq!(schema.num_columns(), expected.len());
    for (found, (name, physical, logical)) in schema.columns().iter().zip(expected) {
        assert_eq!((found.name(), found.physical_type()), (name, physical));
        assert_eq!(found.logical_type_ref(), logical.as_ref(), "{name}");
        let info = found.self_type().get_basic_info();
        assert_eq!(info.repetition(), Repetition::OPTIONAL, "{name}");
        assert!(!info.has_id(), "{name}");
    }
}

#[test]
fn footer_of_the_raw_layout_is_olakes() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &[raw()], &FileOptions::default());
    let metadata = footer(&file.temporary);
    let columns = metadata.file_metadata().schema_descr().columns().to_vec();
    let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
    assert_eq!(names, ["_cdc_timestamp", "_olake_id", "_olake_timestamp", "_op_type", "data"]);
    let data = &columns[4];
    assert_eq!((data.physical_type(), data.logical_type_ref()), (Physical::BYTE_ARRAY, Some(&LogicalType::Json)));
    assert_eq!(data.self_type().get_basic_info().repetition(), Repetition::REQUIRED);
    assert!(columns[..4].iter().all(|column| column.self_type().is_optional()));
}

#[test]
fn every_column_has_statistics_and_page_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &[normalized()], &FileOptions::default());
    let metadata = footer(&file.temporary);
    for column in metadata.row_group(0).columns() {
        let name = column.column_path().string();
        let statistics = column.statistics().unwrap();
        assert_eq!(statistics.null_count_opt(), Some(0), "{name}");
        assert!(statistics.min_bytes_opt().is_some() && statistics.max_bytes_opt().is_some(), "{name}");
        assert!(column.column_index_length().is_some() && column.offset_index_length().is_some(), "{name}");
    }
}

#[test]
fn pages_of_long_values_stay_small() {
    let folder = tempfile::tempdir().unwrap();
    let text = || (0..20_000).map(|_| fastrand::alphanumeric()).collect::<String>();
    let rows = batch(vec![("text", Arc::new(StringArray::from_iter_values((0..300).map(|_| text()))) as ArrayRef)]);
    let file = write(folder.path(), &[rows], &FileOptions::default());
    let metadata = footer(&file.temporary);
    let pages = metadata.offset_index().unwrap()[0][0].page_locations().to_vec();
    assert!(pages.len() > 30, "{} pages", pages.len());
    assert!(pages.iter().all(|page| page.compressed_page_size < 200_000));
}

#[test]
fn encodings_follow_the_values() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &[normalized()], &FileOptions::default());
    let metadata = footer(&file.temporary);
    let columns = metadata.row_group(0).columns();
    let encodings = |name| column(columns, name).encodings().collect::<Vec<_>>();
    for name in ["city", "status"] {
        assert!(encodings(name).contains(&Encoding::RLE_DICTIONARY), "{name}");
    }
    for name in ["_olake_id", "name"] {
        assert!(encodings(name).contains(&Encoding::DELTA_LENGTH_BYTE_ARRAY), "{name}");
    }
    assert_eq!(column(columns, "_olake_id").compression(), Codec::UNCOMPRESSED);
    assert_eq!(column(columns, "name").compression(), Codec::SNAPPY);
    for name in ["_kafka_offset", "id", "_cdc_timestamp", "created_at"] {
        assert!(encodings(name).contains(&Encoding::DELTA_BINARY_PACKED), "{name}");
        assert!(column(columns, name).compressed_size() < ROWS * 2, "{name}");
    }
    for name in ["_kafka_key", "_kafka_partition", "_olake_timestamp", "_op_type"] {
        assert!(column(columns, name).compressed_size() < 500, "{name} is constant");
    }
}

#[test]
fn all_types_and_nulls_come_back_in_every_codec() {
    let present = |row: &i64| row % 7 != 0;
    let rows = || 0..ROWS;
    let batch = batch(vec![
        ("binary", Arc::new(BinaryArray::from_iter(rows().map(|row| present(&row).then(|| row.to_be_bytes()))))),
        ("boolean", Arc::new(BooleanArray::from_iter(rows().map(|row| present(&row).then_some(row % 3 == 0))))),
        ("double", Arc::new(Float64Array::from_iter(rows().map(|row| present(&row).then_some(row as f64 / 3.0))))),
        ("float", Arc::new(Float32Array::from_iter(rows().map(|row| present(&row).then_some(row as f32 / 3.0))))),
        ("int", Arc::new(Int32Array::from_iter(rows().map(|row| present(&row).then_some(row as i32 - 9))))),
        ("long", Arc::new(Int64Array::from_iter(rows().map(|row| present(&row).then_some(i64::MAX - row * row))))),
        ("nothing", Arc::new(StringArray::from_iter(rows().map(|_| None::<&str>)))),
        ("text", Arc::new(StringArray::from_iter(rows().map(|row| present(&row).then(|| format!("é{row}")))))),
        (
            "time",
            Arc::new(
                TimestampMicrosecondArray::from_iter(rows().map(Some).map(|row| row.filter(present)))
                    .with_timezone("UTC"),
            ),
        ),
    ]);
    for codec in ["none", "snappy", "lz4", "zstd", "zstd:9"] {
        let folder = tempfile::tempdir().unwrap();
        let options = FileOptions { compression: codec.parse().unwrap(), ..FileOptions::default() };
        let file = write(folder.path(), &[batch.clone(), batch.slice(100, 50)], &options);
        assert_eq!(file.rows, ROWS as u64 + 50);
        let found = read(&file.temporary);
        let found = concat_batches(&found[0].schema(), &found).unwrap();
        for (column, wanted) in found.columns().iter().zip(batch.columns()) {
            assert_eq!(&column.slice(0, ROWS as usize), wanted, "{codec}");
            assert_eq!(&column.slice(ROWS as usize, 50), &wanted.slice(100, 50), "{codec}");
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = FileOptions { row_group_bytes_max: 256 << 10, ..FileOptions::default() };
    let first = numbered(0, 1000);
    let plan = EncodingPlan::sample(&first, &options).unwrap();
    let mut writer = FileWriter::create(folder.path(), &owner(), first.schema(), &plan).unwrap();
    let bound = plan.memory_bytes(options.row_group_bytes_max);
    for chunk in 0..300 {
        writer.write(&numbered(chunk * 1000, 1000)).unwrap();
        assert!(writer.memory_bytes() <= bound, "{} bytes in chunk {chunk}", writer.memory_bytes());
    }
    assert!(writer.bytes() > 30 * options.row_group_bytes_max as u64);
    let file = writer.finish().unwrap();
    let metadata = footer(&file.temporary);
    assert!(metadata.num_row_groups() > 30, "{}", metadata.num_row_groups());
    for row_group in metadata.row_groups() {
        assert!(row_group.compressed_size() as usize <= options.row_group_bytes_max);
    }
    assert_eq!(super::numbers_in(&file.temporary), (0..300_000).collect::<Vec<_>>());
}

#[test]
fn an_unfinished_file_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let rows = numbered(0, 10);
    let plan = EncodingPlan::sample(&rows, &FileOptions::default()).unwrap();
    let mut writer = FileWriter::create(folder.path(), &owner(), rows.schema(), &plan).unwrap();
    writer.write(&rows).unwrap();
    let names = tree(folder.path());
    assert!(names.len() == 1 && names[0].starts_with('.') && !names[0].ends_with(".parquet"), "{names:?}");
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn types_that_tables_do_not_have_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let rows = batch(vec![("small", Arc::new(arrow_array::Int8Array::from(vec![1])) as ArrayRef)]);
    let plan = EncodingPlan::sample(&rows, &FileOptions::default()).unwrap();
    let error = FileWriter::create(folder.path(), &owner(), rows.schema(), &plan).unwrap_err();
    assert!(matches!(error, Error::ColumnType { column, .. } if column == "small"));
    assert_eq!(tree(folder.path()), Vec::<String>::new());
}

#[test]
fn codecs_have_names() {
    for name in ["none", "snappy", "lz4", "zstd:1", "zstd:22"] {
        assert_eq!(name.parse::<Compression>().unwrap().to_string(), name);
    }
    assert_eq!("zstd".parse::<Compression>().unwrap(), Compression::Zstd { level: 1 });
    for name in ["gzip", "zstd:0", "zstd:23", "zstd:", "Snappy", ""] {
        let error = name.parse::<Compression>().unwrap_err();
        assert!(error.to_string().contains("use none, snappy, lz4, zstd"), "{error}");
    }
}
