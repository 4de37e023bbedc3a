//! The 61 bytes in front of a record batch.

use crate::compression::Codec;
use crate::error::{Error, Result};

/// Bytes of the base offset and the batch length, which the batch length does not count.
pub const LOG_OVERHEAD: usize = 12;
/// Bytes of a batch's header, base offset and length included.
pub const HEADER_BYTES: usize = 61;
/// Value of producer id, producer epoch and base sequence in a batch of a producer that is not idempotent.
pub const NO_PRODUCER: i64 = -1;

pub(super) const MAGIC: i8 = 2;
pub(super) const LENGTH_AT: usize = 8;
pub(super) const LEADER_EPOCH_AT: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC_AT: usize = 17;
/// The checksum covers everything from here to the end of the batch.
pub(super) const ATTRIBUTES_AT: usize = 21;
pub(super) const LAST_OFFSET_DELTA_AT: usize = 23;
pub(super) const BASE_TIMESTAMP_AT: usize = 27;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
pub(super) const PRODUCER_ID_AT: usize = 43;
pub(super) const PRODUCER_EPOCH_AT: usize = 51;
pub(super) const BASE_SEQUENCE_AT: usize = 53;
pub(super) const RECORD_COUNT_AT: usize = 57;

const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// What the timestamps of a batch mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// Each record has the time its producer gave it.
    CreateTime,
    /// All records have the time the broker appended the batch, which is the batch's maximum timestamp.
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Attributes(i16);

impl Attributes {
    /// Attributes from their bits.
    pub const fn from_bits(bits: i16) -> Attributes {
        Attributes(bits)
    }

    /// The bits as they are on the wire.
    pub const fn bits(self) -> i16 {
        self.0
    }

    /// Codec of the record section.
    ///
    /// # Errors
    /// [`Error::UnknownCodec`] for the numbers Kafka does not use.
    pub fn codec(self) -> Result<Codec> {
        Codec::from_id((self.0 & CODEC_MASK).to_be_bytes()[1])
    }

    /// Whether the batch belongs to a transaction.
    pub const fn is_transactional(self) -> bool {
        self.0 & TRANSACTIONAL != 0
    }

    /// Whether the batch holds a control record instead of data.
    pub const fn is_control(self) -> bool {
        self.0 & CONTROL != 0
    }

    /// What the timestamps mean.
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & LOG_APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    /// Whether the base timestamp is the time from which a tombstone or marker may be removed.
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & DELETE_HORIZON != 0
    }

    pub(super) fn with_codec(self, codec: Codec) -> Attributes {
        Attributes(self.0 & !CODEC_MASK | i16::from(codec.id()))
    }

    pub(super) fn with_transactional(self, transactional: bool) -> Attributes {
        self.with(TRANSACTIONAL, transactional)
    }

    pub(super) fn with_control(self, control: bool) -> Attributes {
        self.with(CONTROL, control)
    }

    pub(super) fn with_timestamp_type(self, timestamp_type: TimestampType) -> Attributes {
        self.with(LOG_APPEND_TIME, timestamp_type == TimestampType::LogAppendTime)
    }

    fn with(self, bit: i16, set: bool) -> Attributes {
        Attributes(if set { self.0 | bit } else { self.0 & !bit })
    }
}

/// The header of a record batch, field by field as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchHeader {
    /// Offset that the offset deltas count from.
    pub base_offset: i64,
    /// Bytes of the batch behind this field.
    pub batch_length: i32,
    /// Leader epoch in which the broker appended the batch.
    pub partition_leader_epoch: i32,
    /// Message format, always 2.
    pub magic: i8,
    /// CRC-32C of everything behind it.
    pub crc: u32,
    /// Codec, timestamp type, transactional and control bits.
    pub attributes: Attributes,
    /// Distance from the base offset to the last offset, which counts also when that record was compacted away.
    pub last_offset_delta: i32,
    /// Milliseconds that the timestamp deltas count from.
    pub base_timestamp: i64,
    /// Largest timestamp in the batch, or the append time.
    pub max_timestamp: i64,
    /// Id of an idempotent producer, or -1.
    pub producer_id: i64,
    /// Epoch of the producer id, or -1.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// Records in the batch; 0 if all were compacted away.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which need not hold the whole batch.
    ///
    /// What a reader relies on is checked: the magic is 2, the length covers a header, counts and deltas are not
    /// negative, and no offset overflows.
    ///
    /// # Errors
    /// [`Error::OldMagic`] or [`Error::UnknownMagic`] for other formats, [`Error::MalformedBatch`] for the rest.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader> {
        let base_offset = i64::from_be_bytes(field(bytes, 0)?);
        check_magic(bytes, base_offset)?;
        let header = BatchHeader {
            base_offset,
            batch_length: i32::from_be_bytes(field(bytes, LENGTH_AT)?),
            partition_leader_epoch: i32::from_be_bytes(field(bytes, LEADER_EPOCH_AT)?),
            magic: MAGIC,
            crc: u32::from_be_bytes(field(bytes, CRC_AT)?),
            attributes: Attributes(i16::from_be_bytes(field(bytes, ATTRIBUTES_AT)?)),
            last_offset_delta: i32::from_be_bytes(field(bytes, LAST_OFFSET_DELTA_AT)?),
            base_timestamp: i64::from_be_bytes(field(bytes, BASE_TIMESTAMP_AT)?),
            max_timestamp: i64::from_be_bytes(field(bytes, MAX_TIMESTAMP_AT)?),
            producer_id: i64::from_be_bytes(field(bytes, PRODUCER_ID_AT)?),
            producer_epoch: i16::from_be_bytes(field(bytes, PRODUCER_EPOCH_AT)?),
            base_sequence: i32::from_be_bytes(field(bytes, BASE_SEQUENCE_AT)?),
            record_count: i32::from_be_bytes(field(bytes, RECORD_COUNT_AT)?),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<()> {
        let malformed = |reason| Err(Error::MalformedBatch { base_offset: self.base_offset, reason });
        if batch_bytes(self.batch_length).is_none_or(|bytes| bytes < HEADER_BYTES) {
            return malformed("its length does not cover its header");
        }
        if self.last_offset_delta < 0 {
            return malformed("its last offset lies before its base offset");
        }
        // Room for the next offset too.
        if self.base_offset.checked_add(i64::from(self.last_offset_delta) + 1).is_none() {
            return malformed("its last offset overflows");
        }
        if self.record_count < 0 {
            return malformed("its record count is negative");
        }
        if i64::from(self.record_count) > i64::from(self.last_offset_delta) + 1 {
            return malformed("it has more records than offsets");
        }
        Ok(())
    }

    /// Offset of the last record, whether or not it is still there.
    pub const fn last_offset(&self) -> i64 {
        self.base_offset + self.last_offset_delta as i64
    }

    /// Offset behind the batch: where reading goes on.
    pub const fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// Sequence number of the last record, -1 without a producer id. Sequences wrap from the largest `i32` to 0.
    pub const fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 { -1 } else { advance_sequence(self.base_sequence, self.last_offset_delta) }
    }

    /// Bytes of the whole batch, header included.
    pub fn batch_bytes(&self) -> usize {
        batch_bytes(self.batch_length).unwrap_or(usize::MAX)
    }
}

/// Adds to a sequence number; from the largest `i32` it goes on with 0.
pub(super) const fn advance_sequence(sequence: i32, by: i32) -> i32 {
    sequence.wrapping_add(by) & i32::MAX
}

/// Bytes of a batch whose length field says `batch_length`; `None` if that is negative.
pub(super) fn batch_bytes(batch_length: i32) -> Option<usize> {
    usize::try_from(batch_length).ok().map(|length| length.saturating_add(LOG_OVERHEAD))
}

/// Fails if the magic byte is there and is not 2.
pub(super) fn check_magic(bytes: &[u8], base_offset: i64) -> Result<()> {
    match bytes.get(MAGIC_AT).map(|byte| byte.cast_signed()) {
        None | Some(MAGIC) => Ok(()),
        Some(magic @ (0 | 1)) => Err(Error::OldMagic { magic, base_offset }),
        Some(magic) => Err(Error::UnknownMagic { magic, base_offset }),
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    field.copied().ok_or(Error::MalformedBatch { base_offset: 0, reason: "its header is cut off" })
}
