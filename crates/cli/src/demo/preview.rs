//! The first rows of a Parquet table, as text.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use kanat_sync::{Error, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::output;

/// Characters of a cell; longer ones end in dots.
const CELL_CHARACTERS_MAX: usize = 26;

/// Parquet files below `folder`, in the order of their names, with their sizes in bytes.
pub(crate) fn parquet_files(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let unreadable = |path: &Path, source| Error::FileUnreadable { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        let path = entry.path();
        let metadata = entry.metadata().map_err(|error| unreadable(&path, error))?;
        if metadata.is_dir() {
            files.extend(parquet_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push((path, metadata.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// The first `rows` rows of `file` in `columns`, as an aligned table.
pub(crate) fn preview(file: &Path, columns: &[&str], rows: usize) -> Result<String> {
    let unreadable = |source| Error::FileUnreadable { path: file.to_owned(), source };
    let broken = |error: parquet::errors::ParquetError| Error::table(file.display().to_string(), error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file).map_err(unreadable)?).map_err(broken)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let mut reader = builder.with_projection(mask).with_limit(rows).with_batch_size(rows).build().map_err(broken)?;
    let Some(batch) = reader.next().transpose().map_err(|error| Error::table(file.display().to_string(), error))?
    else {
        return Ok("(no rows)".to_owned());
    };
    render(&batch, columns).map_err(|error| Error::table(file.display().to_string(), error))
}

fn render(batch: &RecordBatch, columns: &[&str]) -> std::result::Result<String, arrow_schema::ArrowError> {
    let options = FormatOptions::default();
    let mut heading = Vec::new();
    let mut right = Vec::new();
    let mut shown = Vec::new();
    for name in columns {
        let Some(column) = batch.column_by_name(name) else { continue };
        heading.push(*name);
        right.push(column.data_type().is_numeric());
        shown.push(without_zone(column));
    }
    let formatters: Vec<ArrayFormatter<'_>> =
        shown.iter().map(|column| ArrayFormatter::try_new(column, &options)).collect::<std::result::Result<_, _>>()?;
    let rows: Vec<Vec<String>> = (0..batch.num_rows())
        .map(|row| formatters.iter().map(|formatter| shorten(&formatter.value(row).to_string())).collect())
        .collect();
    Ok(output::table(&heading, &rows, &right))
}

/// Timestamps without their zone, which is always UTC: names of zones need a database to be shown.
fn without_zone(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Timestamp(_, Some(_)) => match column.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(timestamps) => Arc::new(timestamps.clone().with_timezone_opt::<Arc<str>>(None)),
            None => Arc::clone(column),
        },
        _ => Arc::clone(column),
    }
}

fn shorten(cell: &str) -> String {
    if cell.chars().count() <= CELL_CHARACTERS_MAX {
        return cell.to_owned();
    }
    let mut short: String = cell.chars().take(CELL_CHARACTERS_MAX - 3).collect();
    short.push_str("...");
    short
}
