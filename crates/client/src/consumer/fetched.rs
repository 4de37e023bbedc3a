//! What the consumer delivers, and how to read its records.
//!
//! An item holds batches as they came, still compressed. Three ways lead to the records without an object per record:
//! one batch at a time into a buffer that is used again ([`Fetched::for_each_record`], the cheapest), all at once
//! ([`Fetched::decode`]), or all at once on the runtime's blocking threads ([`Fetched::decode_async`]). Who keeps records
//! takes them as objects that own their bytes ([`Fetched::into_records`]).

use std::cell::RefCell;
use std::sync::Arc;

use kanat_protocol::batch::{Record, RecordBatch, RecordIter, Records};
use kanat_protocol::compression::{Codec, Decompressor};

use crate::error::{Error, Result};
use crate::record::RecordAndOffset;
use crate::types::{Position, TopicPartition};

/// Bytes up to which decoding does not hold an asynchronous task's thread for too long.
const INLINE_BYTES_MAX: usize = 128 * 1024;

/// As [`INLINE_BYTES_MAX`] for compressed bytes, which may become many times as many.
const INLINE_COMPRESSED_BYTES_MAX: usize = 16 * 1024;

/// Why a partition's position moved without its records being delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The position was not in the log: the records were deleted, or it lay beyond the end.
    OutOfRange,
    /// A new leader lacks records that had been read (KIP-320).
    Truncated,
}

/// A jump that [`ConsumerOptions::out_of_range`](crate::ConsumerOptions::out_of_range) allowed (delivery rule 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The offset that was to be read next.
    pub from: i64,
    /// The offset read next instead. Below `from` when the log ends before it.
    pub to: i64,
    /// What happened.
    pub reason: GapReason,
}

/// One delivery: consecutive batches of one partition.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The partition.
    pub tp: TopicPartition,
    /// Batches in order, still compressed, sharing the memory of the response they came in. Control batches are
    /// removed, and under read committed the batches of aborted transactions too. May be empty: then only the position
    /// advances.
    pub batches: Vec<RecordBatch>,
    /// The position before this item. The first batch may begin before it: records below are to be dropped.
    pub first_offset: i64,
    /// The position after this item, from the batch headers (delivery rule 5).
    pub next_offset: i64,
    /// Leader epoch of the last batch before `next_offset`, to be committed with it; -1 when unknown.
    pub leader_epoch: i32,
    /// Offset after the last replicated record.
    pub high_watermark: i64,
    /// Offset below which every transaction is decided.
    pub last_stable_offset: i64,
    /// First offset in the log, -1 when the broker does not say.
    pub log_start_offset: i64,
    /// Set on an item without batches that tells of a jump from `first_offset` to `next_offset`.
    pub gap: Option<Gap>,
}

impl Fetched {
    /// Bytes of all batches.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes().len()).sum()
    }

    /// Records in all batches, from their headers: those below `first_offset` in the first batch included.
    pub fn record_count(&self) -> usize {
        self.batches.iter().map(|batch| usize::try_from(batch.header().record_count).unwrap_or(0)).sum()
    }

    /// The position after this item, to be committed once its records are processed.
    pub fn next_position(&self) -> Position {
        Position { offset: self.next_offset, leader_epoch: self.leader_epoch }
    }

    /// Calls `each` with every record in order, decompressing one batch at a time. The decompressor's buffer serves all
    /// of them, so it is best kept for the life of the consumer.
    ///
    /// # Errors
    /// [`Error::CorruptBatch`] names topic, partition and offset of a batch that cannot be read.
    pub fn for_each_record(&self, decompressor: &mut Decompressor, mut each: impl FnMut(Record<'_>)) -> Result<()> {
        for batch in &self.batches {
            let records = self.unpack(batch, decompressor)?;
            // Only the first batch may begin before the position.
            let skips = batch.header().base_offset < self.first_offset;
            for record in &records {
                let record = record.map_err(|source| self.corrupt(batch, source))?;
                if !skips || record.offset >= self.first_offset {
                    each(record);
                }
            }
        }
        Ok(())
    }

    /// Decompresses all batches. The result's iterator borrows the records from it.
    ///
    /// # Errors
    /// [`Error::CorruptBatch`] names topic, partition and offset of a batch that cannot be decompressed.
    pub fn decode(&self, decompressor: &mut Decompressor) -> Result<DecodedRecords> {
        let batches = self.batches.iter().map(|batch| self.unpack(batch, decompressor)).collect::<Result<_>>()?;
        Ok(DecodedRecords { tp: self.tp.clone(), first_offset: self.first_offset, batches })
    }

    /// As [`decode`](Self::decode) for asynchronous code: what takes long is done on one of the runtime's blocking
    /// threads. A batch may grow to `decompressed_bytes_max` bytes.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); [`Error::Closed`] when the runtime shuts down meanwhile.
    pub async fn decode_async(self, decompressed_bytes_max: usize) -> Result<DecodedRecords> {
        self.off_thread(decompressed_bytes_max, Fetched::decode).await
    }

    /// The records as objects that share the memory of their batches, made where [`decode_async`](Self::decode_async)
    /// decodes.
    ///
    /// # Errors
    /// As [`decode_async`](Self::decode_async), and [`Error::CorruptBatch`] for a record that cannot be read.
    pub async fn into_records(self, decompressed_bytes_max: usize) -> Result<Vec<RecordAndOffset>> {
        self.off_thread(decompressed_bytes_max, |fetched, decompressor| fetched.decode(decompressor)?.to_records())
            .await
    }

    /// Does `work` at once if there is little of it, else on a blocking thread, with that thread's own decompressor.
    async fn off_thread<T: Send + 'static>(
        self,
        bytes_max: usize,
        work: fn(&Fetched, &mut Decompressor) -> Result<T>,
    ) -> Result<T> {
        let compressed =
            |batch: &&RecordBatch| batch.header().attributes.codec().is_ok_and(|codec| codec != Codec::None);
        let compressed: usize = self.batches.iter().filter(compressed).map(|batch| batch.bytes().len()).sum();
        if compressed <= INLINE_COMPRESSED_BYTES_MAX && self.bytes() <= INLINE_BYTES_MAX {
            return with_decompressor(bytes_max, |decompressor| work(&self, decompressor));
        }
        let working =
            tokio::task::spawn_blocking(move || with_decompressor(bytes_max, |decompressor| work(&self, decompressor)));
        working.await.map_err(|_| Error::Closed { what: "runtime" })?
    }

    fn unpack(&self, batch: &RecordBatch, decompressor: &mut Decompressor) -> Result<Records> {
        batch.records(decompressor).map_err(|source| self.corrupt(batch, source))
    }

    #[cold]
    fn corrupt(&self, batch: &RecordBatch, source: kanat_protocol::Error) -> Error {
        corrupt(&self.tp, batch.header().base_offset, source)
    }
}

/// Lends the decompressor that this thread keeps.
fn with_decompressor<T>(bytes_max: usize, work: impl FnOnce(&mut Decompressor) -> T) -> T {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
    }
    DECOMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(decompressor) if decompressor.bytes_max() == bytes_max => work(decompressor),
        kept => work(kept.insert(Decompressor::new(bytes_max))),
    })
}

/// The error of a batch that cannot be read.
pub(super) fn corrupt(tp: &TopicPartition, offset: i64, source: kanat_protocol::Error) -> Error {
    Error::CorruptBatch { topic: Arc::clone(&tp.topic), partition: tp.partition, offset, source: Arc::new(source) }
}

/// The records of one [`Fetched`], decompressed.
#[derive(Debug, Clone)]
pub struct DecodedRecords {
    tp: TopicPartition,
    first_offset: i64,
    batches: Vec<Records>,
}

impl DecodedRecords {
    /// The partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.tp
    }

    /// The records in order, those before the position left out. After an error the iterator ends.
    pub fn iter(&self) -> DecodedIter<'_> {
        DecodedIter { decoded: self, batches: self.batches.iter(), current: None }
    }

    /// The records as [`iter`](Self::iter) gives them, each an object that shares the memory of its batch.
    ///
    /// # Errors
    /// [`Error::CorruptBatch`].
    pub fn to_records(&self) -> Result<Vec<RecordAndOffset>> {
        let mut records = Vec::new();
        let mut iter = self.iter();
        while let Some((batch, view)) = iter.advance()? {
            let record = RecordAndOffset::sharing(batch.body(), &view);
            records.push(record.map_err(|source| corrupt(&self.tp, batch.header().base_offset, source))?);
        }
        Ok(records)
    }
}

impl<'a> IntoIterator for &'a DecodedRecords {
    type Item = Result<Record<'a>>;
    type IntoIter = DecodedIter<'a>;

    fn into_iter(self) -> DecodedIter<'a> {
        self.iter()
    }
}

/// Iterator of [`DecodedRecords::iter`]. Fails with [`Error::CorruptBatch`].
#[derive(Debug, Clone)]
pub struct DecodedIter<'a> {
    decoded: &'a DecodedRecords,
    batches: std::slice::Iter<'a, Records>,
    current: Option<(&'a Records, RecordIter<'a>)>,
}

impl<'a> DecodedIter<'a> {
    /// The next record and the batch it is in.
    fn advance(&mut self) -> Result<Option<(&'a Records, Record<'a>)>> {
        loop {
            if let Some((batch, records)) = &mut self.current {
                match records.next() {
                    Some(Ok(record)) if record.offset < self.decoded.first_offset => continue,
                    Some(Ok(record)) => return Ok(Some((batch, record))),
                    Some(Err(source)) => {
                        let offset = batch.header().base_offset;
                        (self.current, self.batches) = (None, [].iter());
                        return Err(corrupt(&self.decoded.tp, offset, source));
                    }
                    None => {}
                }
            }
            let Some(batch) = self.batches.next() else { return Ok(None) };
            self.current = Some((batch, batch.iter()));
        }
    }
}

impl<'a> Iterator for DecodedIter<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().map(|next| next.map(|(_, record)| record)).transpose()
    }
}
