//! Writing record batches.
//!
//! The builder's buffer begins with room for the header; each record is encoded behind it once and for all. Sealing
//! compresses the records if asked to, fills in the header and hands the bytes out.

use bytes::Bytes;

use super::header::{
    ATTRIBUTES_AT, Attributes, BASE_SEQUENCE_AT, BASE_TIMESTAMP_AT, HEADER_BYTES, LAST_OFFSET_DELTA_AT,
    LEADER_EPOCH_AT, LENGTH_AT, LOG_OVERHEAD, MAGIC, MAGIC_AT, MAX_TIMESTAMP_AT, NO_PRODUCER, PRODUCER_EPOCH_AT,
    PRODUCER_ID_AT, RECORD_COUNT_AT, advance_sequence,
};
use super::record::Header;
use super::varint;
use super::{patch_checksum, put};
use crate::compression::{Codec, Compression, Compressor};
use crate::error::{Error, Result};

/// Brokers accept batches up to about a mebibyte unless `message.max.bytes` says otherwise.
const BYTES_MAX_DEFAULT: usize = 1_048_588;

/// Leaves every codec room to expand what it cannot compress within the `i32` of the batch length.
const BYTES_MAX_POSSIBLE: usize = 1 << 30;

/// What a [`BatchBuilder`] writes into headers, and how far a batch may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// Offset of the first record; brokers assign their own, so producers leave it at 0.
    pub base_offset: i64,
    /// Leader epoch; -1 for producers.
    pub leader_epoch: i32,
    /// Producer id, or [`NO_PRODUCER`].
    pub producer_id: i64,
    /// Producer epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
    /// Whether the batch holds a control record.
    pub control: bool,
    /// Largest size of the batch before compression, header included, in bytes; at most 1 GiB.
    pub bytes_max: usize,
}

impl Default for BatchOptions {
    fn default() -> BatchOptions {
        BatchOptions {
            base_offset: 0,
            leader_epoch: -1,
            producer_id: NO_PRODUCER,
            producer_epoch: -1,
            base_sequence: -1,
            transactional: false,
            control: false,
            bytes_max: BYTES_MAX_DEFAULT,
        }
    }
}

/// An open batch. After [`BatchBuilder::seal`] it is empty again and keeps its buffer where it can.
#[derive(Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// Header room and encoded records; empty until the first record.
    buffer: Vec<u8>,
    /// Capacity to begin a batch with: that of the last one.
    capacity: usize,
    record_count: i32,
    /// Offset delta of the next record.
    next_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(options: BatchOptions) -> BatchBuilder {
        BatchBuilder::with_capacity(options, 0)
    }

    /// An empty batch with room for `bytes` bytes of records.
    pub fn with_capacity(mut options: BatchOptions, bytes: usize) -> BatchBuilder {
        // The batch length is an i32, and incompressible records grow a little when compressed.
        options.bytes_max = options.bytes_max.min(BYTES_MAX_POSSIBLE);
        let capacity = if bytes == 0 { 0 } else { HEADER_BYTES + bytes };
        BatchBuilder {
            options,
            buffer: Vec::with_capacity(capacity),
            capacity,
            record_count: 0,
            next_delta: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// An empty batch that is written into a buffer's memory.
    pub fn with_buffer(options: BatchOptions, mut buffer: Vec<u8>) -> BatchBuilder {
        buffer.clear();
        BatchBuilder { capacity: buffer.capacity(), buffer, ..BatchBuilder::new(options) }
    }

    /// The memory behind the batch; its records are dropped.
    pub fn into_buffer(mut self) -> Vec<u8> {
        self.buffer.clear();
        self.buffer
    }

    /// The options, with the base sequence of the next batch to be sealed.
    pub fn options(&self) -> &BatchOptions {
        &self.options
    }

    /// Sets producer id, epoch and base sequence of the next batch to be sealed.
    pub fn set_producer(&mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) {
        self.options.producer_id = producer_id;
        self.options.producer_epoch = producer_epoch;
        self.options.base_sequence = base_sequence;
    }

    /// Bytes that [`BatchBuilder::append`] would add for this record, exactly.
    pub fn record_size(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> usize {
        let length = self.body_size(self.next_delta, timestamp, key, value, headers);
        varint::size(wide(length)) + length
    }

    /// Appends a record at the next offset and returns its offset delta.
    ///
    /// `timestamp` is in milliseconds since 1970. Headers keep their order and may repeat.
    ///
    /// # Errors
    /// [`Error::BatchFull`] if the batch would pass `bytes_max`: seal it and append again. A record that does not fit
    /// into an empty batch never will. The batch is unchanged.
    #[inline]
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Result<i32> {
        self.append_at(self.next_delta, timestamp, key, value, headers)
    }

    /// Appends a record at a chosen offset delta, leaving a gap as compaction does.
    ///
    /// # Errors
    /// As [`BatchBuilder::append`], and [`Error::MalformedBatch`] if the delta is below that of the next record.
    #[inline]
    pub fn append_at(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Result<i32> {
        let after = self.delta_after(offset_delta)?;
        let length = self.body_size(offset_delta, timestamp, key, value, headers);
        let size = varint::size(wide(length)) + length;
        if size > self.options.bytes_max.saturating_sub(self.len_bytes()) {
            let (batch_bytes, bytes_max) = (self.len_bytes(), self.options.bytes_max);
            return Err(Error::BatchFull { record_bytes: size, batch_bytes, bytes_max });
        }

        if self.record_count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.make_room(size);
        // What comes before the key is put together apart and copied as a whole: a copy of fixed size is two stores,
        // and what of it is too much is cut off again.
        let mut head = [0; HEAD_BYTES];
        let mut end = varint::write(&mut head, 0, wide(length));
        // The attributes of a record are unused and 0.
        end += 1;
        end = varint::write(&mut head, end, timestamp.wrapping_sub(self.base_timestamp));
        end = varint::write(&mut head, end, offset_delta.into());
        end = varint::write(&mut head, end, nullable_length(key));
        let start = self.buffer.len();
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            self.buffer.extend_from_slice(&head);
            self.buffer.truncate(start + end);
            self.buffer.extend_from_slice(key);
            self.put_varint(nullable_length(value));
        } else {
            end = varint::write(&mut head, end, nullable_length(value));
            self.buffer.extend_from_slice(&head);
            self.buffer.truncate(start + end);
        }
        self.buffer.extend_from_slice(value.unwrap_or_default());
        self.put_headers(headers);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.record_count += 1;
        self.next_delta = after;
        Ok(offset_delta)
    }

    /// Makes the batch cover offsets up to `last_offset_delta` although there is no record at its end, as compaction
    /// does. A batch that covers offsets can be sealed without records.
    ///
    /// # Errors
    /// [`Error::MalformedBatch`] if the batch covers more already.
    pub fn cover(&mut self, last_offset_delta: i32) -> Result<()> {
        if last_offset_delta != self.next_delta - 1 {
            self.next_delta = self.delta_after(last_offset_delta)?;
        }
        Ok(())
    }

    /// Size of the batch if it were sealed uncompressed, header included, in bytes.
    pub fn len_bytes(&self) -> usize {
        self.buffer.len().max(HEADER_BYTES)
    }

    /// Records appended so far.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Whether there is nothing to seal.
    pub fn is_empty(&self) -> bool {
        self.next_delta == 0
    }

    /// Finishes the batch and returns its bytes. The builder is empty afterwards, its base sequence advanced by the
    /// offsets of the batch.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] without records; [`Error::Compress`] from the codec. The builder is unchanged then.
    pub fn seal(&mut self, compression: Compression, compressor: &mut Compressor) -> Result<Bytes> {
        self.seal_into(Vec::new(), compression, compressor)
    }

    /// As [`BatchBuilder::seal`]; what is compressed is written into `memory`, which is grown if need be.
    ///
    /// # Errors
    /// As [`BatchBuilder::seal`].
    pub fn seal_into(
        &mut self,
        mut memory: Vec<u8>,
        compression: Compression,
        compressor: &mut Compressor,
    ) -> Result<Bytes> {
        if self.is_empty() {
            return Err(Error::EmptyBatch);
        }
        // An empty section stays empty: a frame around nothing would only confuse readers.
        let compress = compression.codec() != Codec::None && self.record_count > 0;
        let mut batch = if compress {
            let records = &self.buffer[HEADER_BYTES..];
            memory.clear();
            memory.reserve(HEADER_BYTES + records.len() / 2);
            memory.resize(HEADER_BYTES, 0);
            compressor.compress(compression, records, &mut memory)?;
            memory
        } else {
            self.capacity = self.buffer.capacity();
            let mut batch = std::mem::take(&mut self.buffer);
            batch.resize(batch.len().max(HEADER_BYTES), 0);
            batch
        };
        self.fill_header(&mut batch, compression.codec());
        self.reset();
        Ok(Bytes::from(batch))
    }

    fn reset(&mut self) {
        if self.options.base_sequence >= 0 {
            self.options.base_sequence = advance_sequence(self.options.base_sequence, self.next_delta);
        }
        self.buffer.truncate(HEADER_BYTES);
        self.record_count = 0;
        self.next_delta = 0;
        self.base_timestamp = NO_TIMESTAMP;
        self.max_timestamp = NO_TIMESTAMP;
    }

    fn fill_header(&self, batch: &mut [u8], codec: Codec) {
        let options = &self.options;
        let attributes = Attributes::default()
            .with_codec(codec)
            .with_transactional(options.transactional)
            .with_control(options.control);
        let length = i32::try_from(batch.len() - LOG_OVERHEAD).unwrap_or(i32::MAX);
        put(batch, 0, options.base_offset.to_be_bytes());
        put(batch, LENGTH_AT, length.to_be_bytes());
        put(batch, LEADER_EPOCH_AT, options.leader_epoch.to_be_bytes());
        put(batch, MAGIC_AT, MAGIC.to_be_bytes());
        put(batch, ATTRIBUTES_AT, attributes.bits().to_be_bytes());
        put(batch, LAST_OFFSET_DELTA_AT, (self.next_delta - 1).to_be_bytes());
        put(batch, BASE_TIMESTAMP_AT, self.base_timestamp.to_be_bytes());
        put(batch, MAX_TIMESTAMP_AT, self.max_timestamp.to_be_bytes());
        put(batch, PRODUCER_ID_AT, options.producer_id.to_be_bytes());
        put(batch, PRODUCER_EPOCH_AT, options.producer_epoch.to_be_bytes());
        put(batch, BASE_SEQUENCE_AT, options.base_sequence.to_be_bytes());
        put(batch, RECORD_COUNT_AT, self.record_count.to_be_bytes());
        patch_checksum(batch);
    }

    /// Bytes of a record behind its length.
    #[inline]
    fn body_size(
        &self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> usize {
        let base_timestamp = if self.record_count == 0 { timestamp } else { self.base_timestamp };
        let attributes = 1;
        attributes
            + varint::size(timestamp.wrapping_sub(base_timestamp))
            + varint::size(offset_delta.into())
            + nullable_size(key)
            + nullable_size(value)
            + headers_size(headers)
    }

    /// The delta after `offset_delta`, if that one is free.
    #[inline]
    fn delta_after(&self, offset_delta: i32) -> Result<i32> {
        let base_offset = self.options.base_offset;
        if offset_delta < self.next_delta {
            return Err(Error::MalformedBatch { base_offset, reason: "its records must be appended in offset order" });
        }
        offset_delta.checked_add(1).ok_or(Error::MalformedBatch { base_offset, reason: "it covers too many offsets" })
    }

    /// Capacity for a record of `size` bytes, and the header room if this is the first one.
    #[inline]
    fn make_room(&mut self, size: usize) {
        if self.buffer.is_empty() {
            self.buffer.reserve(self.capacity.max(HEADER_BYTES + size));
            self.buffer.resize(HEADER_BYTES, 0);
        }
        self.buffer.reserve(size + HEAD_BYTES);
    }

    fn put_varint(&mut self, value: i64) {
        let start = self.buffer.len();
        self.buffer.resize(start + varint::size(value), 0);
        varint::write(&mut self.buffer[start..], 0, value);
    }

    #[inline]
    fn put_headers(&mut self, headers: &[Header<'_>]) {
        if headers.is_empty() {
            self.buffer.push(0);
            return;
        }
        self.put_varint(wide(headers.len()));
        for (key, value) in headers {
            self.put_varint(wide(key.len()));
            self.buffer.extend_from_slice(key);
            self.put_varint(nullable_length(*value));
            self.buffer.extend_from_slice(value.unwrap_or_default());
        }
    }
}

/// Room for all of a record that comes before its key, and for the length of its value: at most 5 + 1 + 10 + 5 + 5 + 5.
const HEAD_BYTES: usize = 32;

/// Timestamp of a batch without records.
const NO_TIMESTAMP: i64 = -1;

#[inline]
fn nullable_size(field: Option<&[u8]>) -> usize {
    varint::size(nullable_length(field)) + field.map_or(0, <[u8]>::len)
}

#[inline]
fn headers_size(headers: &[Header<'_>]) -> usize {
    let sizes = headers.iter().map(|(key, value)| nullable_size(Some(key)) + nullable_size(*value));
    varint::size(wide(headers.len())) + sizes.sum::<usize>()
}

#[inline]
fn nullable_length(field: Option<&[u8]>) -> i64 {
    field.map_or(-1, |field| wide(field.len()))
}

/// Lengths of slices never pass `i64`.
#[inline]
fn wide(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
