//! Record batches (message format 2), the unit in which Kafka stores, sends and compresses records.
//!
//! Reading: [`Batches`] splits the bytes of a partition into [`RecordBatch`]es without copying or decompressing;
//! [`RecordBatch::records`] decompresses one into [`Records`], whose iterator yields [`Record`]s borrowed from that
//! memory. Writing: a [`BatchBuilder`] encodes records into its open batch; sealing compresses them and patches the
//! header.
//!
//! The position after a batch is [`BatchHeader::next_offset`], not the last record's offset plus one: compaction and
//! control batches leave offsets without records.

mod builder;
mod control;
mod header;
mod record;
mod varint;

use std::iter::FusedIterator;

use bytes::{Bytes, BytesMut};

pub use builder::{BatchBuilder, BatchOptions};
pub use control::ControlRecord;
pub use header::{Attributes, BatchHeader, HEADER_BYTES, LOG_OVERHEAD, NO_PRODUCER, TimestampType};
pub use record::{Header, Headers, Record, RecordIter, Records};

use crate::compression::Decompressor;
use crate::error::{Error, Result};
use header::{
    ATTRIBUTES_AT, BASE_SEQUENCE_AT, CRC_AT, LEADER_EPOCH_AT, LENGTH_AT, MAX_TIMESTAMP_AT, PRODUCER_EPOCH_AT,
    PRODUCER_ID_AT, batch_bytes, check_magic,
};

/// Far more than any control record needs.
const CONTROL_BYTES_MAX: usize = 64 << 10;

/// One whole batch: its parsed header and its bytes, records still compressed. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl RecordBatch {
    /// Takes exactly one batch.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and [`Error::MalformedBatch`] if the bytes are fewer or more than the header says.
    pub fn parse(bytes: Bytes) -> Result<RecordBatch> {
        let header = BatchHeader::parse(&bytes)?;
        if header.batch_bytes() == bytes.len() {
            Ok(RecordBatch { header, bytes })
        } else {
            Err(Error::MalformedBatch {
                base_offset: header.base_offset,
                reason: "its length does not match its bytes",
            })
        }
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The batch as on the wire, header included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Compares the checksum in the header with that of the bytes.
    ///
    /// # Errors
    /// [`Error::CorruptBatch`] if they differ.
    pub fn verify_crc(&self) -> Result<()> {
        let computed = checksum(&self.bytes);
        if computed == self.header.crc {
            return Ok(());
        }
        Err(Error::CorruptBatch { base_offset: self.header.base_offset, stored: self.header.crc, computed })
    }

    /// Decompresses the records. Those of an uncompressed batch share the batch's bytes.
    ///
    /// # Errors
    /// [`Error::UnknownCodec`]; [`Error::DecompressionBound`] and [`Error::Decompress`] from the codec;
    /// [`Error::MalformedBatch`] if the bytes cannot hold as many records as the header says.
    pub fn records(&self, decompressor: &mut Decompressor) -> Result<Records> {
        let codec = self.header.attributes.codec()?;
        let section = self.bytes.slice(HEADER_BYTES..);
        // A batch emptied by compaction keeps its codec but has no section to decompress.
        let body = if section.is_empty() { section } else { decompressor.decompress(codec, &section)? };
        Records::new(self.header, body)
    }

    /// The control record, if this is a control batch that still has it.
    ///
    /// # Errors
    /// Those of [`RecordBatch::records`], and [`Error::MalformedRecord`] if the record is not a control record.
    pub fn control(&self) -> Result<Option<ControlRecord>> {
        if !self.header.attributes.is_control() {
            return Ok(None);
        }
        let records = self.records(&mut Decompressor::new(CONTROL_BYTES_MAX))?;
        let Some(record) = records.iter().next() else { return Ok(None) };
        let malformed = |reason| Error::MalformedRecord { base_offset: self.header.base_offset, index: 0, reason };
        ControlRecord::parse(&record?).map(Some).map_err(malformed)
    }

    /// The batch at another base offset. The checksum does not cover it and stays.
    ///
    /// # Errors
    /// [`Error::MalformedBatch`] if the last offset would overflow.
    pub fn with_base_offset(self, base_offset: i64) -> Result<RecordBatch> {
        self.edited(|bytes| put(bytes, 0, base_offset.to_be_bytes()))
    }

    /// The batch in another leader epoch. The checksum does not cover it and stays.
    #[must_use]
    pub fn with_leader_epoch(self, leader_epoch: i32) -> RecordBatch {
        self.edited_infallibly(|bytes| put(bytes, LEADER_EPOCH_AT, leader_epoch.to_be_bytes()))
    }

    /// The batch with the broker's append time instead of its records' own timestamps; computes the checksum anew.
    #[must_use]
    pub fn with_log_append_time(self, timestamp_ms: i64) -> RecordBatch {
        let attributes = self.header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        self.edited_infallibly(|bytes| {
            put(bytes, ATTRIBUTES_AT, attributes.bits().to_be_bytes());
            put(bytes, MAX_TIMESTAMP_AT, timestamp_ms.to_be_bytes());
            patch_checksum(bytes);
        })
    }

    /// The bytes of the batch.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The batch under another producer id, epoch and base sequence; computes the checksum anew.
    #[must_use]
    pub fn with_producer(self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> RecordBatch {
        self.edited_infallibly(|bytes| {
            put(bytes, PRODUCER_ID_AT, producer_id.to_be_bytes());
            put(bytes, PRODUCER_EPOCH_AT, producer_epoch.to_be_bytes());
            put(bytes, BASE_SEQUENCE_AT, base_sequence.to_be_bytes());
            patch_checksum(bytes);
        })
    }

    /// Changes header fields: in place if nobody shares the bytes, else in a copy.
    fn edited(self, edit: impl FnOnce(&mut [u8])) -> Result<RecordBatch> {
        let mut bytes = self.bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        edit(&mut bytes);
        RecordBatch::parse(bytes.freeze())
    }

    fn edited_infallibly(self, edit: impl FnOnce(&mut [u8])) -> RecordBatch {
        self.edited(edit).expect("no checked field was changed")
    }
}

/// CRC-32C of a batch from its attributes to its end.
fn checksum(batch: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(&batch[ATTRIBUTES_AT..])
}

fn patch_checksum(batch: &mut [u8]) {
    let crc = checksum(batch);
    put(batch, CRC_AT, crc.to_be_bytes());
}

fn put<const N: usize>(batch: &mut [u8], at: usize, value: [u8; N]) {
    batch[at..at + N].copy_from_slice(&value);
}

/// Splits the bytes of a partition, as produced or fetched, into batches.
///
/// Brokers cut a fetch at a byte limit, so the last batch may be incomplete: that is the end, not an error, and
/// [`Batches::truncated`] tells. After an error the iterator ends.
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
    truncated: bool,
}

impl Batches {
    /// Batches of these bytes.
    pub fn new(bytes: Bytes) -> Batches {
        Batches { rest: bytes, truncated: false }
    }

    /// Whether the bytes ended inside a batch; meaningful once the iterator has ended.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Bytes not yet split off; after the end, those of the incomplete batch.
    pub fn remaining(&self) -> &Bytes {
        &self.rest
    }

    /// `None` if the next batch is incomplete.
    fn split(&mut self) -> Result<Option<RecordBatch>> {
        let Some((length, base_offset)) = self.length_and_offset() else { return Ok(None) };
        let bytes = match batch_bytes(length) {
            Some(bytes) if bytes >= HEADER_BYTES => bytes,
            _ => {
                check_magic(&self.rest, base_offset)?;
                return Err(Error::MalformedBatch { base_offset, reason: "its length does not cover its header" });
            }
        };
        check_magic(&self.rest, base_offset)?;
        if bytes > self.rest.len() {
            return Ok(None);
        }
        let header = BatchHeader::parse(&self.rest)?;
        Ok(Some(RecordBatch { header, bytes: self.rest.split_to(bytes) }))
    }

    fn length_and_offset(&self) -> Option<(i32, i64)> {
        let base_offset = self.rest.first_chunk::<8>()?;
        let length = self.rest[LENGTH_AT..].first_chunk::<4>()?;
        Some((i32::from_be_bytes(*length), i64::from_be_bytes(*base_offset)))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || self.truncated {
            return None;
        }
        match self.split() {
            Ok(Some(batch)) => Some(Ok(batch)),
            Ok(None) => {
                self.truncated = true;
                None
            }
            Err(error) => {
                self.rest = Bytes::new();
                Some(Err(error))
            }
        }
    }
}

impl FusedIterator for Batches {}

#[cfg(test)]
mod tests;
