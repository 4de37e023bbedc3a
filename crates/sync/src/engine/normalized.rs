//! The normalized layout: one column per top-level key beside the metadata columns.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{FieldRef, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use kanat_lake::shred::{ShredOptions, ShreddedChunk, Shredder};

use super::chunk::RecordView;
use super::filter_rows;
use super::key::registry_prefix_bytes;
use super::metadata_columns::{Column, Envelope, MetadataColumns};
use super::rows::{Refused, Rows, json_of};
use crate::catalog::Filter;
use crate::error::{Error, Result};

/// Makes normalized rows of one stream.
#[derive(Debug)]
pub(crate) struct NormalizedRows {
    table: String,
    shredder: Shredder,
    metadata: MetadataColumns,
    filter: Option<Filter>,
    record_bytes_max: usize,
    /// The schema of the last chunk, kept so that unchanged chunks share it.
    schema: SchemaRef,
}

impl NormalizedRows {
    pub(crate) fn new(
        table: String,
        options: ShredOptions,
        metadata: MetadataColumns,
        filter: Option<Filter>,
        record_bytes_max: usize,
    ) -> Result<Self> {
        let shredder = Shredder::new(options).map_err(|source| Error::table(table.clone(), source))?;
        Ok(Self { table, shredder, metadata, filter, record_bytes_max, schema: Arc::new(Schema::empty()) })
    }

    pub(crate) fn rows(&mut self, records: &[RecordView<'_>], now_us: i64) -> Result<Rows> {
        let mut refused = Vec::new();
        let mut values = Vec::with_capacity(records.len());
        let mut positions = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            match json_of(record, index, self.record_bytes_max) {
                Ok(json) => {
                    values.push(json);
                    positions.push(index);
                }
                Err(record) => refused.push(record),
            }
        }
        let chunk = self.shredder.shred_chunk(&values).map_err(|source| Error::table(self.table.clone(), source))?;
        refused.extend(refused_by_shredder(&chunk, records, &positions));
        let envelopes: Vec<Envelope<'_>> = chunk.kept().map(|index| records[positions[index]].envelope).collect();
        let batch = self.assemble(chunk, &envelopes, now_us)?;
        Ok(Rows { batch: self.apply_filter(batch)?, refused })
    }

    fn assemble(&mut self, chunk: ShreddedChunk, envelopes: &[Envelope<'_>], now_us: i64) -> Result<RecordBatch> {
        let mut columns: Vec<Column> = self.metadata.build(envelopes, now_us);
        columns.extend(chunk.columns.into_iter().map(|(spec, array)| (Arc::new(spec.field()), array)));
        let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
        if !self.schema.fields().iter().eq(fields.iter()) {
            self.schema = Arc::new(Schema::new(fields));
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(envelopes.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|source| Error::table(self.table.clone(), source))
    }

    fn apply_filter(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let Some(filter) = &self.filter else { return Ok(batch) };
        let keep = filter_rows::keep(filter, &batch, |name| self.column_index(name));
        if keep.true_count() == keep.len() {
            return Ok(batch);
        }
        filter_record_batch(&batch, &keep).map_err(|source| Error::table(self.table.clone(), source))
    }

    /// Index of the column a configuration calls `name`: its name in the table, or its key in the record.
    pub(crate) fn column_index(&self, name: &str) -> Option<usize> {
        let by_source = || {
            let column = self.shredder.columns().find(|column| column.source == name)?;
            self.schema.index_of(&column.name).ok()
        };
        self.schema.index_of(name).ok().or_else(by_source)
    }
}

/// What the shredder left out, in terms of the records that went in.
fn refused_by_shredder(chunk: &ShreddedChunk, records: &[RecordView<'_>], positions: &[usize]) -> Vec<Refused> {
    let bad = chunk.bad.iter().map(|bad| Refused::bad(positions[bad.index], bad.reason));
    let trailing = chunk.trailing.iter().map(|trailing| {
        let record = positions[trailing.index];
        let prefix_bytes = records[record].value.map_or(0, registry_prefix_bytes);
        Refused::trailing(record, prefix_bytes + trailing.offset)
    });
    bad.chain(trailing).collect()
}
