//! Tables are read back with the Parquet crate's reader, footers looked at directly.

mod files;
mod seals;
mod tables;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType as ArrowType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::{Owner, TableOptions, TableWriter};

fn owner() -> Owner {
    Owner::new("group-a")
}

fn table(folder: &Path, options: TableOptions) -> TableWriter {
    TableWriter::new(folder.to_owned(), owner(), options)
}

/// Numbers and texts, one row each: `n` counts from `first`, `text` does not compress.
fn numbered(first: i64, rows: i64) -> RecordBatch {
    let numbers: Vec<i64> = (first..first + rows).collect();
    let texts = StringArray::from_iter_values(numbers.iter().map(|_| format!("{:032x}", fastrand::u128(..))));
    batch(vec![("n", Arc::new(Int64Array::from(numbers))), ("text", Arc::new(texts))])
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect())
        .unwrap()
}

fn read(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

fn footer(path: &Path) -> ParquetMetaData {
    let file = File::open(path).unwrap();
    ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).parse_and_finish(&file).unwrap()
}

/// Values of the column `n` of a file.
fn numbers_in(path: &Path) -> Vec<i64> {
    let numbers = |batch: &RecordBatch| batch["n"].as_primitive::<Int64Type>().values().to_vec();
    read(path).iter().flat_map(numbers).collect()
}

/// All files below a folder, sorted, relative to it.
fn tree(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(next) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Files below a folder that readers of the table see.
fn visible(folder: &Path) -> Vec<PathBuf> {
    tree(folder).iter().filter(|name| name.ends_with(".parquet")).map(|name| folder.join(name)).collect()
}

fn is_text(data_type: &ArrowType) -> bool {
    *data_type == ArrowType::Utf8
}
