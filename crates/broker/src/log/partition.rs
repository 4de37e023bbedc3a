//! The log of one partition: segments, offsets, producers, transactions and leader epochs, without I/O of its own
//! beyond its segments and without a clock.
//!
//! A batch comes in through [`PartitionLog::append`], gets its base offset and leader epoch, and is stored as it came.
//! It goes out through [`PartitionLog::read`] as slices of what was stored. With one replica the high watermark is the
//! log end.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use kanat_protocol::ErrorCode;
use kanat_protocol::batch::{BatchHeader, ControlRecord, HEADER_BYTES, RecordBatch, TimestampType};

use super::producers::{ProducerSummary, Producers, Sequence};
use super::segment::{BatchEntry, Segment, StoredBytes};
use super::transactions::{AbortedTransaction, Transactions};
use super::validate;
use crate::error::Refusal;
use crate::topic_config::LogConfig;

const LEADER_EPOCH_AT: usize = 12;

/// Who brings a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A produce request: every rule of the topic holds. Its transaction was checked before.
    Client,
    /// The handle: transactional and control batches are welcome and sequence numbers are not checked.
    Handle,
}

/// What an append depends on besides the log itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppendContext<'a> {
    pub(crate) origin: Origin,
    pub(crate) config: &'a LogConfig,
    pub(crate) leader_epoch: i32,
    /// Wall clock, ms since the epoch.
    pub(crate) now_ms: i64,
    pub(crate) producers_max: usize,
    pub(crate) decompressed_bytes_max: usize,
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// ms since the epoch with LogAppendTime, -1 with CreateTime.
    pub(crate) append_time_ms: i64,
    /// The batch was stored by an earlier request.
    pub(crate) duplicate: bool,
}

/// A producer with state in the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActiveProducer {
    pub(crate) summary: ProducerSummary,
    /// First offset of its open transaction.
    pub(crate) open_offset: Option<i64>,
}

/// What a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn from_wire(level: i8) -> Self {
        if level == 1 { Self::ReadCommitted } else { Self::ReadUncommitted }
    }
}

/// Offsets that frame a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) log_start_offset: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) high_watermark: i64,
}

/// Result of a read.
#[derive(Debug)]
pub(crate) struct ReadOutcome {
    pub(crate) bytes: Vec<StoredBytes>,
    pub(crate) len_bytes: usize,
    pub(crate) bounds: Bounds,
    /// Filled with [`Isolation::ReadCommitted`].
    pub(crate) aborted: Vec<AbortedTransaction>,
}

/// The log of one partition.
#[derive(Debug)]
pub(crate) struct PartitionLog {
    dir: Option<PathBuf>,
    /// Never empty; the last one takes appends.
    pub(super) segments: VecDeque<Segment>,
    log_start_offset: i64,
    next_offset: i64,
    pub(super) producers: Producers,
    pub(super) transactions: Transactions,
    /// (epoch, first offset written in it), both rising.
    epochs: Vec<(i32, i64)>,
    /// Segments below this offset were compacted.
    pub(super) compacted_to: i64,
}

impl PartitionLog {
    pub(crate) fn in_memory() -> Self {
        Self::from_segments(None, VecDeque::from([Segment::in_memory(0)]))
    }

    /// An empty log in `dir`, which exists.
    pub(crate) fn create(dir: &Path) -> io::Result<Self> {
        let segment = Segment::create(&segment_path(dir, 0), 0)?;
        Ok(Self::from_segments(Some(dir.to_path_buf()), VecDeque::from([segment])))
    }

    /// A log over recovered segments; [`PartitionLog::replay`] then feeds the batches.
    pub(super) fn from_segments(dir: Option<PathBuf>, segments: VecDeque<Segment>) -> Self {
        let base_offset = segments.front().map_or(0, Segment::base_offset);
        let next_offset = segments.back().map_or(0, next_offset_of);
        Self {
            dir,
            segments,
            log_start_offset: base_offset,
            next_offset,
            producers: Producers::default(),
            transactions: Transactions::default(),
            epochs: Vec::new(),
            compacted_to: base_offset,
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            log_start_offset: self.log_start_offset,
            last_stable_offset: self.transactions.first_open_offset().unwrap_or(self.next_offset),
            high_watermark: self.next_offset,
        }
    }

    /// Bytes stored.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.segments.iter().map(Segment::len_bytes).sum()
    }

    /// Stores one batch whose CRC was verified. On a refusal nothing has changed.
    pub(crate) fn append(&mut self, batch: &RecordBatch, context: &AppendContext<'_>) -> Result<Appended, Refusal> {
        let mut header = *batch.header();
        let control = validate::check(batch, context)?;
        if context.origin == Origin::Client {
            self.check_transaction(&header)?;
        }
        if context.origin == Origin::Client
            && header.producer_id >= 0
            && let Sequence::Duplicate(seen) = self.producers.check(&header)?
        {
            return Ok(Appended {
                base_offset: seen.base_offset,
                append_time_ms: seen.append_time_ms,
                duplicate: true,
            });
        }
        let stamped;
        let (bytes, append_time_ms) = match context.config.timestamp_type {
            TimestampType::LogAppendTime if control.is_none() => {
                stamped = batch.clone().with_log_append_time(context.now_ms);
                header = *stamped.header();
                (stamped.bytes(), context.now_ms)
            }
            _ => (batch.bytes(), -1),
        };
        header.base_offset = self.next_offset;
        header.partition_leader_epoch = context.leader_epoch;
        self.store(bytes, &header, context)?;
        self.replay(&header, control.as_ref(), context.producers_max);
        self.next_offset = header.next_offset();
        Ok(Appended { base_offset: header.base_offset, append_time_ms, duplicate: false })
    }

    /// A producer with an open transaction writes nothing outside of it.
    fn check_transaction(&self, header: &BatchHeader) -> Result<(), Refusal> {
        let open = self.transactions.open_offset(header.producer_id).is_some();
        if open && !header.attributes.is_transactional() {
            let reason = format!("producer {}: a transaction is open", header.producer_id);
            return Err(Refusal::new(ErrorCode::InvalidTxnState, reason));
        }
        Ok(())
    }

    /// Producers whose sequence numbers are remembered.
    pub(crate) fn active_producers(&self) -> Vec<ActiveProducer> {
        let summaries = self.producers.summaries().into_iter();
        let active = summaries.map(|summary| {
            let open_offset = self.transactions.open_offset(summary.producer_id);
            ActiveProducer { summary, open_offset }
        });
        active.collect()
    }

    fn store(&mut self, bytes: &[u8], header: &BatchHeader, context: &AppendContext<'_>) -> Result<(), Refusal> {
        let too_large = || Refusal::new(ErrorCode::MessageTooLarge, "a batch cannot be larger than 4 GiB");
        let size_bytes = u32::try_from(bytes.len()).map_err(|_| too_large())?;
        self.roll_if_due(u64::from(size_bytes), header.max_timestamp, context.config)
            .map_err(|error| Refusal::storage(&error))?;
        let mut head = [0; HEADER_BYTES];
        let (from_client, rest) = bytes.split_at(HEADER_BYTES);
        head.copy_from_slice(from_client);
        head[..8].copy_from_slice(&header.base_offset.to_be_bytes());
        head[LEADER_EPOCH_AT..LEADER_EPOCH_AT + 4].copy_from_slice(&header.partition_leader_epoch.to_be_bytes());
        let segment = self.active_mut();
        let entry = BatchEntry {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
            leader_epoch: header.partition_leader_epoch,
            position: segment.len_bytes(),
            size_bytes,
        };
        segment.append(&head, rest, entry).map_err(|error| Refusal::storage(&error))
    }

    /// Updates producers, transactions and epochs from a stored batch. Also fed at recovery, in offset order.
    pub(super) fn replay(&mut self, header: &BatchHeader, control: Option<&ControlRecord>, producers_max: usize) {
        let base_offset = header.base_offset;
        if self.epochs.last().is_none_or(|(epoch, _)| *epoch < header.partition_leader_epoch) {
            self.epochs.push((header.partition_leader_epoch, base_offset));
        }
        if header.producer_id < 0 {
            return;
        }
        match control {
            Some(control) => {
                let (committed, coordinator_epoch) = match *control {
                    ControlRecord::Commit { coordinator_epoch } => (true, coordinator_epoch),
                    ControlRecord::Abort { coordinator_epoch } => (false, coordinator_epoch),
                    ControlRecord::Other { .. } => return,
                };
                self.producers.record_marker(header, coordinator_epoch, producers_max);
                self.transactions.on_marker(header.producer_id, base_offset, committed);
            }
            None => {
                let append_time_ms = match header.attributes.timestamp_type() {
                    TimestampType::LogAppendTime => header.max_timestamp,
                    TimestampType::CreateTime => -1,
                };
                self.producers.record(header, base_offset, append_time_ms, producers_max);
                if header.attributes.is_transactional() {
                    self.transactions.on_data(header.producer_id, base_offset);
                }
            }
        }
    }

    /// Reads whole batches from `offset` on: as many as fit `bytes_max`, and with `at_least_one` one whatever its size.
    pub(crate) fn read(
        &self,
        offset: i64,
        bytes_max: usize,
        at_least_one: bool,
        isolation: Isolation,
    ) -> Result<ReadOutcome, Refusal> {
        let bounds = self.bounds();
        if offset < bounds.log_start_offset || offset > bounds.high_watermark {
            return Err(Refusal::new(
                ErrorCode::OffsetOutOfRange,
                format!("offset {offset} is outside {} to {}", bounds.log_start_offset, bounds.high_watermark),
            ));
        }
        let end_offset = match isolation {
            Isolation::ReadUncommitted => bounds.high_watermark,
            Isolation::ReadCommitted => bounds.last_stable_offset,
        };
        let mut outcome = ReadOutcome { bytes: Vec::new(), len_bytes: 0, bounds, aborted: Vec::new() };
        let mut next_offset = offset;
        for segment in self.segments.range(self.segment_index(offset)..) {
            let Some(first) = segment.position_of(offset) else { continue };
            let mut last = first;
            for entry in &segment.entries()[first..] {
                let size = entry.size_bytes as usize;
                let fits = outcome.len_bytes + size <= bytes_max || (at_least_one && outcome.len_bytes == 0);
                if entry.base_offset >= end_offset || !fits {
                    break;
                }
                outcome.len_bytes += size;
                next_offset = entry.last_offset + 1;
                last += 1;
            }
            outcome.bytes.extend(segment.read(first..last));
            if last < segment.entries().len() {
                break;
            }
        }
        if isolation == Isolation::ReadCommitted {
            outcome.aborted = self.transactions.aborted_between(offset, next_offset);
        }
        Ok(outcome)
    }

    /// The first batch from `offset` on that holds a timestamp of at least `timestamp_ms`, and its index entry.
    pub(crate) fn batch_with_timestamp(&self, offset: i64, timestamp_ms: i64) -> Option<(BatchEntry, StoredBytes)> {
        self.segments.range(self.segment_index(offset)..).find_map(|segment| {
            if segment.max_timestamp() < timestamp_ms {
                return None;
            }
            let first = segment.position_of(offset)?;
            let found = segment.entries()[first..].iter().position(|entry| entry.max_timestamp >= timestamp_ms)?;
            self.batch_at(segment, first + found)
        })
    }

    /// The batch with the largest timestamp, the first one among equals.
    pub(crate) fn batch_with_max_timestamp(&self) -> Option<(BatchEntry, StoredBytes)> {
        let max_timestamp = self.segments.iter().map(Segment::max_timestamp).max().filter(|max| *max >= 0)?;
        self.batch_with_timestamp(self.log_start_offset, max_timestamp)
    }

    fn batch_at(&self, segment: &Segment, index: usize) -> Option<(BatchEntry, StoredBytes)> {
        let mut bytes = segment.read(index..index + 1);
        (bytes.len() == 1).then(|| bytes.pop()).flatten().map(|bytes| (segment.entries()[index], bytes))
    }

    /// Leader epoch of the batch that holds `offset`, or of the newest batch, or -1.
    pub(crate) fn epoch_at(&self, offset: i64) -> i32 {
        let after = self.epochs.partition_point(|(_, start)| *start <= offset);
        self.epochs[..after].last().map_or(-1, |(epoch, _)| *epoch)
    }

    /// For OffsetForLeaderEpoch: the largest epoch at or below `epoch` and the offset where it ends; (-1, -1) when
    /// nothing is known.
    pub(crate) fn epoch_end(&self, epoch: i32, leader_epoch: i32) -> (i32, i64) {
        if epoch < 0 || epoch > leader_epoch {
            return (-1, -1);
        }
        if epoch == leader_epoch {
            return (epoch, self.next_offset);
        }
        let after = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let end = self.epochs.get(after).map_or(self.next_offset, |(_, start)| *start);
        match self.epochs[..after].last() {
            Some((known, _)) => (*known, end),
            None => (epoch, end),
        }
    }

    /// Moves the log start forward to `offset` and drops segments that lie wholly below it.
    pub(crate) fn advance_log_start(&mut self, offset: i64) -> io::Result<()> {
        self.log_start_offset = self.log_start_offset.max(offset.min(self.next_offset));
        self.transactions.forget_before(self.log_start_offset);
        while self.segments.len() > 1 && self.segments[1].base_offset() <= self.log_start_offset {
            self.drop_first_segment()?;
        }
        Ok(())
    }

    /// Applies retention by size and time. Returns the number of segments dropped.
    pub(crate) fn apply_retention(&mut self, config: &LogConfig, now_ms: i64) -> io::Result<usize> {
        let expired = |segment: &Segment| {
            !segment.is_empty()
                && config.retention_ms >= 0
                && segment.max_timestamp() >= 0
                && now_ms.saturating_sub(segment.max_timestamp()) > config.retention_ms
        };
        if self.segments.iter().all(expired) {
            self.roll()?;
        }
        let mut dropped = 0;
        while self.segments.len() > 1 {
            let first = &self.segments[0];
            let over_size = u64::try_from(config.retention_bytes)
                .is_ok_and(|retention_bytes| self.len_bytes() - first.len_bytes() >= retention_bytes);
            // An open transaction must stay readable from its first record.
            let stable = self.segments[1].base_offset() <= self.bounds().last_stable_offset;
            if !(stable && (over_size || expired(first))) {
                break;
            }
            let log_start = self.segments[1].base_offset();
            self.advance_log_start(log_start)?;
            dropped += 1;
        }
        Ok(dropped)
    }

    /// Closes the active segment unless it is empty.
    pub(crate) fn roll(&mut self) -> io::Result<()> {
        if self.active_mut().is_empty() {
            return Ok(());
        }
        let base_offset = self.next_offset;
        let segment = match &self.dir {
            None => Segment::in_memory(base_offset),
            Some(dir) => Segment::create(&segment_path(dir, base_offset), base_offset)?,
        };
        self.segments.push_back(segment);
        Ok(())
    }

    fn roll_if_due(&mut self, size_bytes: u64, timestamp_ms: i64, config: &LogConfig) -> io::Result<()> {
        let segment = self.active_mut();
        let too_large = segment.len_bytes() + size_bytes > config.segment_bytes;
        let too_old = segment.first_timestamp() >= 0
            && timestamp_ms.saturating_sub(segment.first_timestamp()) > config.segment_ms;
        if too_large || too_old { self.roll() } else { Ok(()) }
    }

    /// Begins to learn leader epochs anew from the batches that are left, and ends behind the last of them.
    pub(super) fn forget_learnt(&mut self) {
        self.epochs.clear();
        self.next_offset = self.segments.back().map_or(0, next_offset_of);
        self.log_start_offset = self.log_start_offset.min(self.next_offset);
    }

    /// Folder of the segment files, when there is one.
    pub(super) fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    fn drop_first_segment(&mut self) -> io::Result<()> {
        match self.segments.pop_front() {
            Some(segment) => segment.delete(),
            None => Ok(()),
        }
    }

    fn segment_index(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1)
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("a log has an active segment")
    }
}

/// File name of a segment: its base offset, so that names sort by offset.
pub(super) fn segment_path(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(format!("{base_offset:020}.log"))
}

fn next_offset_of(segment: &Segment) -> i64 {
    segment.entries().last().map_or(segment.base_offset(), |entry| entry.last_offset + 1)
}
