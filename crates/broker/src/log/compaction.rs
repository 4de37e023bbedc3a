//! Key compaction (`cleanup.policy=compact`): of each key only the newest record stays.
//!
//! Works on closed segments below the last stable offset, in three steps so that the log is not locked while records
//! are decoded: [`PartitionLog::start_compaction`] takes a snapshot, [`Compaction::run`] writes the surviving records
//! at their old offsets, and [`PartitionLog::finish_compaction`] swaps the segments in. Records of aborted
//! transactions go too; control batches stay. Batches that lose all records vanish, except the newest one of an
//! idempotent producer, whose header carries its sequence numbers.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use kanat_protocol::batch::{BatchBuilder, BatchHeader, BatchOptions, Batches, RecordBatch, TimestampType};
use kanat_protocol::compression::{Compression, Compressor, Decompressor};

use super::partition::{PartitionLog, segment_path};
use super::segment::{BatchEntry, Segment, StoredBytes};
use super::transactions::Transactions;
use crate::topic_config::LogConfig;

/// Suffix of a segment file while it is written.
pub(super) const CLEANED_SUFFIX: &str = ".cleaned";
/// What a key costs besides its bytes.
const KEY_OVERHEAD_BYTES: usize = 64;

/// Bounds of one pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CompactionLimits {
    pub(crate) keys_bytes_max: usize,
    pub(crate) decompressed_bytes_max: usize,
}

/// Snapshot of the segments one pass works on.
#[derive(Debug)]
pub(crate) struct Compaction {
    segments: Vec<Snapshot>,
    transactions: Transactions,
    /// Last offsets of the newest batch of each producer.
    newest_of_producers: HashSet<i64>,
    /// Below it every key occurs once.
    clean_to: i64,
    end_offset: i64,
    /// Tombstones with a timestamp below this one go, ms since the epoch.
    tombstones_before_ms: i64,
}

#[derive(Debug)]
struct Snapshot {
    base_offset: i64,
    /// Where the new file is written, when there are files.
    cleaned_path: Option<PathBuf>,
    bytes: Vec<StoredBytes>,
}

/// Result of [`Compaction::run`]: segments that are not yet part of the log.
#[derive(Debug)]
pub(crate) struct Compacted {
    segments: Vec<Segment>,
    end_offset: i64,
}

/// Why a pass was given up; the log is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompactionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] kanat_protocol::Error),
}

impl PartitionLog {
    /// What to compact, or `None` when too little changed since the last pass. `force` skips the dirty ratio and the
    /// compaction lag.
    pub(crate) fn start_compaction(&self, config: &LogConfig, now_ms: i64, force: bool) -> Option<Compaction> {
        let stable = self.bounds().last_stable_offset;
        let may_compact = |index: &usize| {
            let (segment, next) = (&self.segments[*index], &self.segments[*index + 1]);
            let age_ms = now_ms.saturating_sub(segment.max_timestamp());
            next.base_offset() <= stable && (force || age_ms >= config.compaction_lag_ms_min)
        };
        let count = (0..self.segments.len() - 1).take_while(may_compact).count();
        let end_offset = self.segments[count].base_offset();
        let clean_to = self.compacted_to;
        let size_bytes = |dirty: bool| -> u64 {
            let segments = self.segments.range(..count);
            segments.filter(|segment| (segment.base_offset() >= clean_to) == dirty).map(Segment::len_bytes).sum()
        };
        let (dirty, clean) = (size_bytes(true), size_bytes(false));
        let ratio = dirty as f64 / (dirty + clean).max(1) as f64;
        if clean_to >= end_offset || (!force && ratio < config.cleanable_dirty_ratio_min) {
            return None;
        }
        let snapshot = |segment: &Segment| Snapshot {
            base_offset: segment.base_offset(),
            cleaned_path: self
                .dir()
                .map(|dir| segment_path(dir, segment.base_offset()).with_extension(&CLEANED_SUFFIX[1..])),
            bytes: segment.read(0..segment.entries().len()),
        };
        Some(Compaction {
            segments: self.segments.range(..count).map(snapshot).collect(),
            transactions: self.transactions.clone(),
            newest_of_producers: self.producers.newest_offsets(),
            clean_to,
            end_offset,
            tombstones_before_ms: now_ms.saturating_sub(config.delete_retention_ms),
        })
    }

    /// Swaps compacted segments in. Segments that retention dropped meanwhile stay dropped.
    pub(crate) fn finish_compaction(&mut self, compacted: Compacted) -> io::Result<()> {
        for mut segment in compacted.segments {
            let base_offset = segment.base_offset();
            let Some(index) = self.segments.iter().position(|old| old.base_offset() == base_offset) else {
                segment.delete()?;
                continue;
            };
            // The first segment stays, even empty: its name is where the log starts.
            if segment.is_empty() && index > 0 {
                segment.delete()?;
                if let Some(old) = self.segments.remove(index) {
                    old.delete()?;
                }
                continue;
            }
            if let Some(dir) = self.dir() {
                segment.rename(&segment_path(dir, base_offset))?;
            }
            self.segments[index] = segment;
        }
        self.compacted_to = self.compacted_to.max(compacted.end_offset);
        Ok(())
    }
}

impl Compaction {
    /// Reads the snapshot twice, first for the newest offset of each key, then to write what stays.
    pub(crate) fn run(mut self, limits: CompactionLimits) -> Result<Compacted, CompactionError> {
        let mut decompressor = Decompressor::new(limits.decompressed_bytes_max);
        let newest = self.newest_offsets(limits.keys_bytes_max, &mut decompressor)?;
        let mut rewriter =
            Rewriter { decompressor, compressor: Compressor::new(), bytes_max: limits.decompressed_bytes_max };
        let mut segments = Vec::with_capacity(self.segments.len());
        for snapshot in std::mem::take(&mut self.segments) {
            let mut segment = match &snapshot.cleaned_path {
                None => Segment::in_memory(snapshot.base_offset),
                Some(path) => Segment::create(path, snapshot.base_offset)?,
            };
            for bytes in snapshot.bytes {
                for batch in Batches::new(bytes.load()?) {
                    if let Some(batch) = rewriter.rewrite(batch?, &newest, &self)? {
                        append(&mut segment, &batch)?;
                    }
                }
            }
            segments.push(segment);
        }
        Ok(Compacted { segments, end_offset: self.end_offset })
    }

    /// Newest offset of each key behind the clean part. When the keys outgrow their bound, the pass ends there.
    fn newest_offsets(
        &mut self,
        keys_bytes_max: usize,
        decompressor: &mut Decompressor,
    ) -> Result<HashMap<Vec<u8>, i64>, CompactionError> {
        let mut newest = HashMap::new();
        let mut keys_bytes = 0;
        for snapshot in &self.segments {
            for bytes in &snapshot.bytes {
                for batch in Batches::new(bytes.clone().load()?) {
                    let batch = batch?;
                    if batch.header().next_offset() <= self.clean_to || self.is_skipped(batch.header()) {
                        continue;
                    }
                    if keys_bytes > keys_bytes_max {
                        self.end_offset = batch.header().base_offset;
                        return Ok(newest);
                    }
                    for record in &batch.records(decompressor)? {
                        let record = record?;
                        let Some(key) = record.key else { continue };
                        if newest.insert(key.to_vec(), record.offset).is_none() {
                            keys_bytes += key.len() + KEY_OVERHEAD_BYTES;
                        }
                    }
                }
            }
        }
        Ok(newest)
    }

    /// Control batches and aborted records have no keys that count.
    fn is_skipped(&self, header: &BatchHeader) -> bool {
        header.attributes.is_control() || self.is_aborted(header)
    }

    fn is_aborted(&self, header: &BatchHeader) -> bool {
        header.attributes.is_transactional()
            && !header.attributes.is_control()
            && self.transactions.is_aborted(header.producer_id, header.base_offset)
    }
}

struct Rewriter {
    decompressor: Decompressor,
    compressor: Compressor,
    bytes_max: usize,
}

impl Rewriter {
    /// The batch without the records that go, or `None` if it goes as a whole.
    fn rewrite(
        &mut self,
        batch: RecordBatch,
        newest: &HashMap<Vec<u8>, i64>,
        compaction: &Compaction,
    ) -> Result<Option<RecordBatch>, CompactionError> {
        let header = *batch.header();
        if header.attributes.is_control() || header.base_offset >= compaction.end_offset {
            return Ok(Some(batch));
        }
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: header.base_offset,
            leader_epoch: header.partition_leader_epoch,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            transactional: header.attributes.is_transactional(),
            bytes_max: self.bytes_max,
            ..BatchOptions::default()
        });
        let records = batch.records(&mut self.decompressor)?;
        let aborted = compaction.is_aborted(&header);
        for record in &records {
            let record = record?;
            let is_newest = |key: &[u8]| newest.get(key).is_none_or(|offset| record.offset >= *offset);
            let tombstone_due = record.value.is_none() && record.timestamp < compaction.tombstones_before_ms;
            if aborted || tombstone_due || !record.key.is_some_and(is_newest) {
                continue;
            }
            let delta = record.offset - header.base_offset;
            let delta = i32::try_from(delta).expect("a record's offset lies inside its batch");
            let headers = record.headers().collect::<Result<Vec<_>, _>>()?;
            builder.append_at(delta, record.timestamp, record.key, record.value, &headers)?;
        }
        if builder.record_count() == header.record_count {
            return Ok(Some(batch));
        }
        if builder.record_count() == 0 && !compaction.newest_of_producers.contains(&header.last_offset()) {
            return Ok(None);
        }
        builder.cover(header.last_offset_delta)?;
        let compression = Compression::new(header.attributes.codec()?, None)?;
        let rewritten = RecordBatch::parse(builder.seal(compression, &mut self.compressor)?)?;
        Ok(Some(match header.attributes.timestamp_type() {
            TimestampType::CreateTime => rewritten,
            TimestampType::LogAppendTime => rewritten.with_log_append_time(header.max_timestamp),
        }))
    }
}

fn append(segment: &mut Segment, batch: &RecordBatch) -> Result<(), CompactionError> {
    let header = batch.header();
    let too_large = |_| io::Error::new(io::ErrorKind::InvalidData, "a batch grew over 4 GiB");
    let entry = BatchEntry {
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        max_timestamp: header.max_timestamp,
        leader_epoch: header.partition_leader_epoch,
        position: segment.len_bytes(),
        size_bytes: u32::try_from(batch.bytes().len()).map_err(too_large)?,
    };
    Ok(segment.append(batch.bytes(), &[], entry)?)
}
