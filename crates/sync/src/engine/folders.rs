//! Partition folders of rows: finds the columns a `partition_regex` asks for.
//!
//! In the normalized layout they are columns of the batch. In the raw layout the metadata columns are;
//! everything else is shredded out of the `data` column, those keys alone.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use kanat_lake::DataType;
use kanat_lake::partition_path::PartitionRegex;
use kanat_lake::shred::{ColumnSpec, ShredOptions, Shredder};
use kanat_lake::table::{DATA_COLUMN, RowFolders};

use super::rows::Layout;
use crate::catalog::StreamPlan;
use crate::error::{Error, Result};

/// Computes the folder of every row of a stream.
#[derive(Debug)]
pub(crate) struct Folders {
    regex: PartitionRegex,
    table: String,
    /// Reads the regex's keys out of raw rows; `None` in the normalized layout.
    raw_keys: Option<Shredder>,
}

impl Folders {
    pub(crate) fn new(regex: PartitionRegex, stream: &StreamPlan) -> Result<Folders> {
        let table = stream.table.clone();
        let raw_keys = if stream.normalization { None } else { Some(raw_keys(&regex, stream, &table)?) };
        Ok(Folders { regex, table, raw_keys })
    }

    /// The folders of the rows of `batch`, which were made at `now_us` (microseconds since 1970).
    pub(crate) fn of_rows(&mut self, batch: &RecordBatch, layout: &Layout, now_us: i64) -> Result<RowFolders> {
        let from_data = self.shred_data(batch)?;
        let column = |name: &String| match layout {
            Layout::Normalized(rows) => rows.column_index(name).map(|index| Arc::clone(batch.column(index))),
            Layout::Raw(_) => batch.column_by_name(name).filter(|_| name != DATA_COLUMN).cloned().or_else(|| {
                from_data
                    .iter()
                    .find(|(spec, _)| spec.source == *name || spec.name == *name)
                    .map(|it| Arc::clone(&it.1))
            }),
        };
        let columns: Vec<Option<ArrayRef>> = self.regex.columns().iter().map(column).collect();
        self.regex
            .folders(&columns, batch.num_rows(), now_us)
            .map_err(|source| Error::table(self.table.clone(), source))
    }

    fn shred_data(&mut self, batch: &RecordBatch) -> Result<Vec<(Arc<ColumnSpec>, ArrayRef)>> {
        let (Some(shredder), Some(data)) = (&mut self.raw_keys, batch.column_by_name(DATA_COLUMN)) else {
            return Ok(Vec::new());
        };
        let data = data.as_string::<i32>();
        let records: Vec<&[u8]> = data.iter().map(|json| json.unwrap_or_default().as_bytes()).collect();
        let chunk = shredder.shred_chunk(&records).map_err(|source| Error::table(self.table.clone(), source))?;
        Ok(chunk.columns)
    }
}

/// A shredder for the source keys that the regex's columns may mean.
fn raw_keys(regex: &PartitionRegex, stream: &StreamPlan, table: &str) -> Result<Shredder> {
    let key_of = |name: &String| {
        let described = stream.columns.iter().find(|it| it.destination_name.as_ref() == Some(name));
        let source = described.map_or_else(|| name.clone(), |it| it.source_key.clone());
        ColumnSpec { source, name: name.clone(), data_type: DataType::Null }
    };
    let options = ShredOptions {
        columns: regex.columns().iter().map(key_of).collect(),
        sync_new_columns: false,
        ..ShredOptions::default()
    };
    Shredder::new(options).map_err(|source| Error::table(table, source))
}
