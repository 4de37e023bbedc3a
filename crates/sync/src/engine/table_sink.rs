//! One stream inside one shard: from fetched batches to sealed files.
//!
//! Batches gather in a [`Chunk`]; a full chunk becomes rows of the table and rows of its dead-letter
//! table; a seal finishes the files of both and makes them visible through one journal entry that
//! carries the offset ranges they hold.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kanat_client::Fetched;
use kanat_lake::table::{FinishedFile, SealJournal, TableWriter};
use kanat_protocol::compression::Decompressor;

use super::chunk::{Chunk, RecordView};
use super::committer::Sealed;
use super::dead_letter::{DeadLetter, DeadLetterBuilder};
use super::folders::Folders;
use super::journal_progress::SealedRanges;
use super::progress::SyncProgress;
use super::rows::{Layout, Refused};
use super::{OnBadRecord, SinkLimits};
use crate::error::{Error, Result};

/// Writes one stream of one shard.
#[derive(Debug)]
pub(crate) struct TableSink {
    pub(crate) topic: Arc<str>,
    pub(crate) layout: Layout,
    pub(crate) folders: Option<Folders>,
    pub(crate) table: TableWriter,
    pub(crate) dead_letters: TableWriter,
    pub(crate) journal: Arc<SealJournal>,
    pub(crate) on_bad_record: OnBadRecord,
    pub(crate) limits: SinkLimits,
    pub(crate) progress: Arc<SyncProgress>,
    pub(crate) chunk: Chunk,
    pub(crate) dead_rows: DeadLetterBuilder,
    /// Offsets taken in since the last seal.
    pub(crate) ranges: BTreeMap<i32, Range<i64>>,
}

impl TableSink {
    /// Takes the batches of one fetch.
    pub(crate) fn push(&mut self, fetched: &Fetched, decompressor: &mut Decompressor) -> Result<()> {
        self.chunk.push(fetched, decompressor)?;
        let range = self.ranges.entry(fetched.tp.partition).or_insert(fetched.first_offset..fetched.first_offset);
        range.end = fetched.next_offset;
        if self.chunk.records() >= self.limits.chunk_records || self.chunk.bytes() >= self.limits.chunk_bytes_max {
            self.flush()?;
        }
        Ok(())
    }

    /// Whether the files are large enough to be sealed.
    pub(crate) fn wants_seal(&self) -> bool {
        let files = self.table.open_files().max(1) as u64;
        self.table.unsealed_bytes() >= self.limits.file_bytes_max.saturating_mul(files)
            || self.dead_letters.unsealed_bytes() >= self.limits.file_bytes_max
    }

    /// Bytes held in memory for records not yet in files.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.chunk.bytes() + self.dead_rows.bytes() + self.table.memory_bytes() + self.dead_letters.memory_bytes()
    }

    /// Writes out what is buffered, down to closed row groups.
    pub(crate) fn release_memory(&mut self) -> Result<()> {
        self.flush()?;
        self.table.flush_row_groups().map_err(|source| self.table_error(source))?;
        self.dead_letters.flush_row_groups().map_err(|source| self.table_error(source))
    }

    /// Turns the waiting records into rows.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.chunk.records() > 0 {
            let chunk = std::mem::take(&mut self.chunk);
            let records = chunk.views(&self.topic)?;
            self.progress.add_bytes(records.iter().map(record_bytes).sum());
            let now_us = now_us();
            for piece in pieces(&records, self.limits) {
                self.write_rows(piece, now_us)?;
            }
        }
        self.chunk.clear();
        self.write_dead_letters()
    }

    fn write_rows(&mut self, records: &[RecordView<'_>], now_us: i64) -> Result<()> {
        let rows = self.layout.rows(records, now_us)?;
        for refused in &rows.refused {
            self.refuse(&records[refused.record], refused)?;
        }
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        let written = match &mut self.folders {
            None => self.table.write(&rows.batch),
            Some(folders) => {
                let split = folders.of_rows(&rows.batch, &self.layout, now_us)?;
                self.table.write_split(&rows.batch, &split)
            }
        };
        written.map_err(|source| self.table_error(source))?;
        self.progress.add_rows(rows.batch.num_rows() as u64);
        self.layout.recycle(rows.batch);
        Ok(())
    }

    /// Keeps a record, or the rest of one, that is no row; or ends the sync over it.
    fn refuse(&mut self, record: &RecordView<'_>, refused: &Refused) -> Result<()> {
        let envelope = record.envelope;
        if self.on_bad_record == OnBadRecord::Stop {
            return Err(Error::BadRecord {
                topic: self.topic.to_string(),
                partition: envelope.partition,
                offset: envelope.offset,
                reason: refused.detail.clone(),
            });
        }
        self.dead_rows.append(&DeadLetter {
            topic: &self.topic,
            partition: envelope.partition,
            offset: envelope.offset,
            timestamp_ms: envelope.timestamp_ms,
            key: envelope.key,
            value: record.value.map(|value| &value[refused.value_from..]),
            reason: refused.reason,
            detail: &refused.detail,
        });
        self.progress.add_bad_records(1);
        if self.dead_rows.bytes() >= self.limits.chunk_bytes_max { self.write_dead_letters() } else { Ok(()) }
    }

    fn write_dead_letters(&mut self) -> Result<()> {
        if self.dead_rows.rows() == 0 {
            return Ok(());
        }
        let batch = self.dead_rows.finish().map_err(|source| self.table_error(source))?;
        self.dead_letters.write(&batch).map_err(|source| self.table_error(source))
    }

    /// Makes everything taken in so far visible. `None` when there is nothing new.
    pub(crate) fn seal(&mut self) -> Result<Option<Sealed>> {
        self.flush()?;
        let ranges: BTreeMap<i32, Range<i64>> =
            std::mem::take(&mut self.ranges).into_iter().filter(|(_, range)| !range.is_empty()).collect();
        if ranges.is_empty() {
            return Ok(None);
        }
        let mut files: Vec<FinishedFile> = self.table.finish_files().map_err(|source| self.table_error(source))?;
        files.extend(self.dead_letters.finish_files().map_err(|source| self.table_error(source))?);
        let entry = if files.is_empty() {
            None
        } else {
            let held = SealedRanges::new(&self.topic, &ranges).to_json();
            let entry = self.journal.seal(&files, &held).map_err(|source| self.table_error(source))?;
            self.progress.add_files(files.len() as u64);
            Some((Arc::clone(&self.journal), entry))
        };
        Ok(Some(Sealed { topic: Arc::clone(&self.topic), ranges, entry }))
    }

    fn table_error(&self, source: impl Into<crate::error::Cause>) -> Error {
        Error::table(self.table.folder().display().to_string(), source)
    }
}

fn record_bytes(record: &RecordView<'_>) -> u64 {
    (record.value.map_or(0, <[u8]>::len) + record.envelope.key.map_or(0, <[u8]>::len)) as u64
}

/// Splits records so that no piece exceeds the chunk's limits by more than one record.
fn pieces<'a, 'b>(records: &'a [RecordView<'b>], limits: SinkLimits) -> impl Iterator<Item = &'a [RecordView<'b>]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut bytes = 0_u64;
        let full = |record: &RecordView<'_>| {
            bytes += record_bytes(record);
            bytes >= limits.chunk_bytes_max as u64
        };
        let by_bytes = rest.iter().position(full).map_or(rest.len(), |last| last + 1);
        let (piece, remaining) = rest.split_at(by_bytes.min(limits.chunk_records));
        rest = remaining;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Wall-clock microseconds since 1970, for `_olake_timestamp` only (rule 12).
fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
